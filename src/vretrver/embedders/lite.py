"""`lite`: the embedded default. Runs on a plain CPU from weights that ship with the package, without torch.

It finds similar pictures and colours, texts by their meaning, and, once taught a few labels or captions, pictures by
those. It is not a semantic photo search: what it knows of the world's words and pictures is ImageNet's thousand
classes (`lite_data/MODEL_CARD.md`). Networks are in `lite_towers`, the vector's blocks in `lite_space`, teaching
in `lite_teaching`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vretrver import colours
from vretrver.embedders.lite_space import FEATURES_DIM, Parts, Space, settings
from vretrver.embedders.lite_teaching import Taught, teach, unit_rows
from vretrver.embedders.lite_towers import MOST_TOKENS, PIXELS, TEXT_DIM, TRUNK_DIM, Towers
from vretrver.errors import InvalidInput, MissingPath
from vretrver.images import open_image
from vretrver.types import Document, ImageRef, Query

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

DATA = Path(__file__).parent / "lite_data"
_CHUNK = 64  # items whose pictures are open at once
_FORMAT = 1  # of the file that save_taught writes


class LiteEmbedder:
    """Queries and documents to unit vectors of `dim` numbers; see the module's docstring for what it can do.

    Make one with `LiteEmbedder.load()`. It is immutable: `taught` gives a new one.
    """

    name = "lite"

    def __init__(self, towers: Towers, space: Space) -> None:
        self._towers = towers
        self._space = space
        self.fingerprint = _fingerprint(space.taught)

    @classmethod
    def load(cls, taught: str | PathLike[str] | None = None) -> LiteEmbedder:
        """The shipped embedder, or with `taught` the one that `save_taught` wrote there.

        Raises:
            MissingPath: there is no such file.
            InvalidInput: the file is not one that `save_taught` wrote for these weights.
        """
        embedder = cls(*_shipped())
        if taught is None:
            return embedder
        return cls(embedder._towers, replace(embedder._space, taught=_read_taught(Path(taught), embedder)))

    @property
    def dim(self) -> int:
        """Length of a vector; teaching does not change it."""
        return self._space.dim

    @property
    def feature_fingerprint(self) -> str:
        """SHA-256 of what `features` depends on; teaching leaves it alone, so stored features stay good."""
        return _feature_hash()

    def encode(self, items: Sequence[Query | Document]) -> NDArray[np.float32]:
        """Unit vectors, shape (N, dim); queries and documents may be mixed. About 22 ms a picture, 4 ms a text.

        A query's vector weighs the blocks by what the query holds; compare queries with documents, not with queries.

        Raises:
            MissingPath, ImageError: a picture cannot be read.
        """
        features = self.features(items)
        asked = np.array([isinstance(item, Query) for item in items], bool)
        vectors = np.zeros((len(items), self.dim), np.float32)
        for queries in (False, True):
            vectors[asked == queries] = self.project(features[asked == queries], queries=queries)
        return vectors

    def features(self, items: Sequence[Query | Document]) -> NDArray[np.float16]:
        """The costly part, once for all time, shape (N, F): `project` and `taught` work from it without any picture.

        Several pictures in one query are averaged.

        Raises:
            MissingPath, ImageError: a picture cannot be read.
        """
        chunks = [self._chunk_features(items[start : start + _CHUNK]) for start in range(0, len(items), _CHUNK)]
        return np.concatenate([np.zeros((0, FEATURES_DIM), np.float16), *chunks])

    def project(self, features_N_F: NDArray[np.float16], *, queries: bool) -> NDArray[np.float32]:
        """Features to unit vectors, shape (N, dim); `queries` says whether the rows are queries or documents.

        Raises:
            InvalidInput: the features have another length than this embedder's.
        """
        return self._space.project(_checked(features_N_F), queries=queries)

    def image_features(self, images: Sequence[PILImage]) -> NDArray[np.float32]:
        """The best vectors for picture-to-picture similarity (whole pictures or crops), shape (N, P), unit rows."""
        return self._space.picture(self._towers.picture_features(images))

    def joint_image(self, images: Sequence[PILImage]) -> NDArray[np.float32]:
        """What pictures or crops show, in the coordinates of `joint_text`, unit rows, shape (N, J)."""
        trunk = self._towers.picture_features(images)
        own = np.array([colours.describe_picture(image) for image in images], np.float32).reshape(-1, colours.DIM)
        return self._space.joint_of_picture(trunk, own)

    def joint_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What texts say, in the coordinates of `joint_image`, unit rows, shape (N, J); labels taught count too."""
        return self._space.joint_of_text(self._towers.text_embeddings(texts))

    def region_features(self, images: Sequence[PILImage]) -> NDArray[np.float32]:
        """Trunk features for comparing crops of one picture with crops of another, shape (N, 1280), not unit rows.

        Square roots tame the few strong channels; centre them by the pictures at hand and make them unit before
        a dot product. Crops matched so 0.50 where whitened ones matched 0.40 (policies/evidence).
        """
        return np.sqrt(np.maximum(self._towers.picture_features(images), 0))

    def taught(self, features_N_F: NDArray[np.float16], labels: Sequence[str]) -> LiteEmbedder:
        """A new embedder that also knows which label or caption belongs to each row; seconds for thousands of rows.

        Every call starts from the shipped weights: pass all examples, old and new. Rows without a picture are ignored.

        Args:
            features_N_F: from `features`, of documents with pictures.
            labels: a label or caption for each row.

        Raises:
            InvalidInput: lengths differ, a label is blank, or no row has a picture.
        """
        parts, texts = Parts.of(_checked(features_N_F)), [label.strip() for label in labels]
        if len(texts) != len(features_N_F):
            raise InvalidInput(f"{len(features_N_F)} rows of features but {len(texts)} labels; give one label a row")
        if not all(texts):
            raise InvalidInput("a label is blank; every example needs a label or caption")
        shown = np.flatnonzero(parts.has_picture[:, 0] > 0)
        if not len(shown):
            raise InvalidInput("none of the examples has a picture; teaching maps pictures to labels")
        distinct = sorted({texts[row] for row in shown})
        place = {label: row for row, label in enumerate(distinct)}
        said = self._space.said(self._towers.text_embeddings(distinct))
        seen = self._space.teachable(parts.trunk, parts.colours)[shown]
        taught = teach(seen, [place[texts[row]] for row in shown], said)
        return LiteEmbedder(self._towers, replace(self._space, taught=taught))

    def save_taught(self, path: str | PathLike[str]) -> None:
        """Write what was taught to an `.npz` file, for `load(taught=...)`; no pickle.

        Raises:
            InvalidInput: nothing was taught.
        """
        if self._space.taught is None:
            raise InvalidInput("this embedder was not taught anything; there is nothing to save")
        header = np.frombuffer(f"{_FORMAT}:{_fingerprint(None)}".encode(), np.uint8)
        with open(path, "wb") as file:
            np.savez(file, allow_pickle=False, header=header, **self._space.taught.arrays())

    def _chunk_features(self, items: Sequence[Query | Document]) -> NDArray[np.float16]:
        trunk = np.zeros((len(items), TRUNK_DIM), np.float32)
        text = np.zeros((len(items), TEXT_DIM), np.float32)
        own, named = np.zeros((2, len(items), colours.DIM), np.float32)
        present = np.zeros((len(items), 2), np.float32)
        for row, item in enumerate(items):
            refs = _pictures(item)
            if refs:
                opened = [open_image(ref, near=PIXELS) for ref in refs]
                trunk[row] = self._towers.picture_features(opened).mean(axis=0)
                own[row] = unit_rows(np.mean([colours.describe_picture(one) for one in opened], axis=0)[None])[0]
                present[row, 0] = 1
        said = [(row, item.text) for row, item in enumerate(items) if item.text]
        if said:
            rows = [row for row, _ in said]
            text[rows] = self._towers.text_embeddings([words for _, words in said])
            named[rows] = [colours.describe_text(words) for _, words in said]
            present[rows, 1] = 1
        return np.concatenate([trunk, text, own, named, present], axis=1).astype(np.float16)


@cache
def _shipped() -> tuple[Towers, Space]:
    return Towers(DATA), Space.load(DATA / "space.npz")


@cache
def _feature_hash() -> str:
    digest = hashlib.sha256(repr((FEATURES_DIM, PIXELS, MOST_TOKENS)).encode() + colours.settings())
    for name in ("trunk.onnx", "text.onnx", "tokenizer.json"):
        digest.update((DATA / name).read_bytes())
    return digest.hexdigest()


@cache
def _shipped_hash() -> str:
    """SHA-256 over every weight file and every setting: whatever changes a vector changes this."""
    return hashlib.sha256((_feature_hash() + settings()).encode() + (DATA / "space.npz").read_bytes()).hexdigest()


def _fingerprint(taught: Taught | None) -> str:
    if taught is None:
        return _shipped_hash()
    digest = hashlib.sha256(_shipped_hash().encode())
    for name, array in sorted(taught.arrays().items()):
        digest.update(name.encode() + str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read_taught(path: Path, embedder: LiteEmbedder) -> Taught:
    if not path.is_file():
        raise MissingPath(f"no such file of taught labels: {path}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
        header = bytes(stored.pop("header")).decode()
        taught = Taught(**stored)
    except Exception as fault:  # np.load raises what zipfile, zlib, ast and struct raise
        raise InvalidInput(f"{path} is not a file that save_taught wrote: {fault}") from fault
    if header != f"{_FORMAT}:{embedder.fingerprint}":
        raise InvalidInput(f"{path} was taught on other weights of lite; teach again from the labels")
    return taught


def _checked(features_N_F: NDArray[np.float16]) -> NDArray[np.float16]:
    if features_N_F.ndim != 2 or features_N_F.shape[1] != FEATURES_DIM:
        raise InvalidInput(f"features of shape {features_N_F.shape} do not fit lite; expected (N, {FEATURES_DIM})")
    return features_N_F


def _pictures(item: Query | Document) -> tuple[ImageRef, ...]:
    if isinstance(item, Query):
        return item.images
    return () if item.image is None else (item.image,)

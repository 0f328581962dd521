"""Close-ups of tags with what is on them, as arrays on disk: the eye learns from them, episodes are made of them.

A shard holds the pictures of some groups of the small-detail world: of each group the query's picture, if it has one,
then its candidates' in order. Boxes are jittered as a model's are. Shards are written whole or not at all, so a killed
run goes on where it was. Words are not stored: a group is a pure function of (seed, split, index).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from vretrver.training.nano.settings import HEIGHT, WIDTH
from vretrver.types import Box
from vretrver.world import MODALITIES, Group, Scene, group, layout
from vretrver.world.close_up import Spot, close_up, squeezed
from vretrver.world.icons import owned
from vretrver.world.scenes import INKS, KINDS, seeded

SPOTS = 8
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.%$/-"
GROUPS = 250  # of one shard
SHARE = 1.15  # a close-up's sides as a multiple of the tag's box


@dataclass(frozen=True, slots=True)
class CloseUps:
    """N close-ups.

    Args:
        pixels: (N, HEIGHT, WIDTH, 3), 8 bits, or none where they were not asked for. kinds: (N,), positions in `KINDS`.
        places: (N, 8, 2), x and y of each spot as shares of the sides.
        marks, inks, characters: (N, 8), numbers in `mark_names()`, `INKS` and `CHARACTERS`; -1 where there is none.
        groups: seed, split, index of each group. firsts: (G + 1,), at which row each group begins.
    """

    pixels: NDArray[np.uint8]
    kinds: NDArray[np.int64]
    places: NDArray[np.float32]
    marks: NDArray[np.int64]
    inks: NDArray[np.int64]
    characters: NDArray[np.int64]
    groups: tuple[tuple[int, str, int], ...]
    firsts: NDArray[np.int64]

    def rows(self, number: int) -> range:
        return range(int(self.firsts[number]), int(self.firsts[number + 1]))


@cache
def mark_names() -> tuple[str, ...]:
    """Every mark of every split; those of `val` and `test` stand last and occur in no training picture."""
    trained = sorted({*owned("wide")[1], *owned("train")[1]})
    return (*trained, *owned("val")[1], *owned("test")[1])


@cache
def trained_marks() -> int:
    """How many of `mark_names` may be trained on."""
    return len({*owned("wide")[1], *owned("train")[1]})


def scenes_of(one: Group) -> list[Scene]:
    """The pictures of a group: the query's first, then the candidates' in order."""
    shown = [one.picture] if one.picture is not None else []
    return shown + [candidate for candidate in one.candidates if isinstance(candidate, Scene)]


def jittered(box: Box, dice: Random, share: float = SHARE, spread: float = 0.12) -> Box:
    """A box about as much larger as a close-up is, displaced and scaled as a model's boxes are."""
    (x0, y0, x1, y1), wide, high = box, box[2] - box[0], box[3] - box[1]
    x = (x0 + x1) / 2 + dice.gauss(0, spread / 2) * wide
    y = (y0 + y1) / 2 + dice.gauss(0, spread / 2) * high
    across, down = (side * share * (1 + dice.uniform(-spread, spread)) / 2 for side in (wide, high))
    return round(x - across), round(y - down), round(x + across), round(y + down)


def write(
    folder: Path,
    seed: int,
    split: str,
    shards: Sequence[int],
    *,
    kinds: Sequence[str] = KINDS,
    modalities: Sequence[str] = MODALITIES,
    distractors: int = 3,
    groups: int = GROUPS,
) -> Iterator[Path]:
    """Write shards that are not there yet, and give every shard's path as soon as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        path = folder / f"{split}-{seed}-{shard:05d}.npz"
        if not path.exists():
            arrays = _arrays(
                [
                    group(seed, split, index, distractors, kinds=kinds, modalities=modalities)
                    for index in range(shard * groups, (shard + 1) * groups)
                ]
            )
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            part.replace(path)
        yield path


def read(paths: Sequence[Path], *, pixels: bool = True) -> CloseUps:
    """Shards as one; without their pixels where maps of them are enough."""
    loaded = [np.load(path, allow_pickle=False) for path in paths]
    names = [name for name in _COLUMNS if pixels or name != "pixels"]
    joined = {name: np.concatenate([shard[name] for shard in loaded]) for name in names}
    joined.setdefault("pixels", np.zeros((0, HEIGHT, WIDTH, 3), np.uint8))
    groups = tuple(
        (int(shard["seed"]), str(shard["split"]), int(index)) for shard in loaded for index in shard["indices"]
    )
    counts = np.concatenate([shard["counts"] for shard in loaded])
    return CloseUps(**joined, groups=groups, firsts=np.concatenate([[0], counts.cumsum()]))


_COLUMNS = ("pixels", "kinds", "places", "marks", "inks", "characters")


def _arrays(groups: Sequence[Group]) -> dict[str, NDArray[np.generic]]:
    rows: dict[str, list[NDArray[np.generic]]] = {name: [] for name in _COLUMNS}
    for scene in (scene for one in groups for scene in scenes_of(one)):
        lay = layout(scene)
        picture, spots = close_up(scene, jittered(lay.tag_box, seeded(f"box/{scene.nuisance}")), lay)
        rows["pixels"].append(np.asarray(squeezed(picture, (WIDTH, HEIGHT)), np.uint8))
        rows["kinds"].append(np.asarray(KINDS.index(scene.tag.kind)))
        for name, column in _labels(spots).items():
            rows[name].append(column)
    arrays: dict[str, NDArray[np.generic]] = {name: np.stack(column) for name, column in rows.items()}
    return arrays | {
        "seed": np.asarray(groups[0].seed),
        "split": np.asarray(groups[0].split),
        "indices": np.asarray([one.index for one in groups]),
        "counts": np.asarray([len(scenes_of(one)) for one in groups]),
    }


def _labels(spots: Sequence[Spot]) -> dict[str, NDArray[np.generic]]:
    names, inks = {name: at for at, name in enumerate(mark_names())}, tuple(INKS)
    places = np.zeros((SPOTS, 2), np.float32)
    found = {name: np.full(SPOTS, -1, np.int64) for name in ("marks", "inks", "characters")}
    for at, spot in enumerate(spots[:SPOTS]):
        places[at] = spot.x, spot.y
        if spot.character is not None:
            found["characters"][at] = CHARACTERS.index(spot.character)
        else:
            found["marks"][at], found["inks"][at] = names[str(spot.mark)], inks.index(str(spot.ink))
    return {"places": places, **found}

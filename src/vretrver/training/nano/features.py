"""Stored pictures as the frozen eye sees them: what every question of the language side is made from.

A picture is computed once in several copies, each moved by whole cells of the early map (as boxes are displaced), so no
step draws, decodes or convolves. Close-ups are kept with what is on them: two are the same when their tags are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vretrver.training.nano import close_ups, thumbnails
from vretrver.training.nano.close_ups import CHARACTERS, scenes_of
from vretrver.training.nano.maps import stored
from vretrver.training.nano.tower import own_stages
from vretrver.world import KINDS, Group, Scene, group

NEAR, FAR = (2, 1), (4, 2)
"""By how many cells of 8 pixels copies are moved, across and down: close-ups, and thumbnails."""
BATCH = 100
Key = tuple[int, str, int]
Label = tuple[Any, ...]


@torch.no_grad()
def seen(tower: Any, maps: Tensor) -> Tensor:
    """Features (N, cells, 1280) in half precision of early maps (N, 48, rows, columns)."""
    found = []
    for part in torch.split(maps, BATCH):
        with torch.autocast(part.device.type, dtype=torch.bfloat16):
            out = own_stages(tower, part.contiguous(memory_format=torch.channels_last))
        found.append(out.flatten(2).transpose(1, 2).half().cpu())
    return torch.cat(found)


def moved(maps: Tensor, reach: tuple[int, int], dice: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Maps (N, C, rows, columns) displaced by whole cells, edges repeated; and by what shares of the sides (N, 2)."""
    (across, down), (rows, columns) = reach, maps.shape[2:]
    wide = functional.pad(maps, (across, across, down, down), mode="replicate")
    left, top = (dice.integers(0, 2 * side + 1, len(maps)) for side in (across, down))
    out = [wide[at, :, y : y + rows, x : x + columns] for at, (x, y) in enumerate(zip(left, top, strict=True))]
    shares = np.stack([(across - left) / columns, (down - top) / rows], 1)
    return torch.stack(out), torch.as_tensor(shares, dtype=torch.float32)


def as_maps(maps: NDArray[np.float16]) -> Tensor:
    """Stored maps (N, rows, columns, 48) as the tower's layers take them."""
    return torch.as_tensor(maps).permute(0, 3, 1, 2).float()


@dataclass(frozen=True, slots=True)
class Glances:
    """Thumbnails. Args: `features`: (N, cells, 1280). `boxes`: (N, 4), the tags' as shares of the sides."""

    features: Tensor
    boxes: Tensor


def glances(tower: Any, paths: Sequence[Path], *, copies: int = 1, seed: int = 0) -> Glances:
    """Shards of thumbnails as the eye sees them, `copies` of each, all but the first moved."""
    dice = np.random.default_rng(seed)
    maps, boxes = as_maps(stored(tower, paths)), torch.as_tensor(thumbnails.read(paths).boxes)
    features, places = [seen(tower, maps)], [boxes]
    for _ in range(1, copies):
        changed, shares = moved(maps, FAR, dice)
        features.append(seen(tower, changed))
        places.append(boxes + shares.repeat(1, 2))
    return Glances(torch.cat(features), torch.cat(places))


@dataclass(slots=True)
class Looks:
    """Close-ups, and what is on them.

    Args:
        features: (N, copies, cells, 1280). labels: per row, equal where the tags show the same. kinds: positions in
            `KINDS`. scenes: where each row's scene is found. groups: rows by kind and group: look-alikes of each other.
        rows: all rows by label. siblings: a row's own group.
    """

    features: Tensor
    labels: list[Label]
    kinds: list[int]
    scenes: list[tuple[Key, tuple[str, ...], tuple[str, ...], int]]
    groups: dict[int, list[list[int]]]
    rows: dict[Label, list[int]] = field(init=False)
    siblings: dict[int, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = defaultdict(list)
        for row, label in enumerate(self.labels):
            self.rows[label].append(row)
        self.siblings = {row: rows for found in self.groups.values() for rows in found for row in rows}

    def paired(self, kind: int) -> list[int]:
        """Rows of a kind whose like occurs elsewhere."""
        return [row for rows in self.groups.get(kind, ()) for row in rows if len(self.rows[self.labels[row]]) > 1]

    def scene(self, row: int) -> Scene:
        key, kinds, modalities, at = self.scenes[row]
        return scenes_of(_group(key, kinds, modalities))[at]

    def group(self, row: int) -> Group:
        key, kinds, modalities, _at = self.scenes[row]
        return _group(key, kinds, modalities)

    def copies(self, rows: Sequence[int], dice: Random) -> list[Tensor]:
        """Features of some rows, each a copy drawn by lot."""
        return [self.features[row, dice.randrange(self.features.shape[1])] for row in rows]


def looks(
    tower: Any,
    shards: Sequence[tuple[Path, tuple[str, ...], tuple[str, ...]]],
    *,
    copies: int = 1,
    seed: int = 0,
) -> Looks:
    """Shards of close-ups as the eye sees them.

    Args:
        shards: paths, each with the kinds and modalities that it was written with.
    """
    dice = np.random.default_rng(seed)
    features: list[Tensor] = []
    labels: list[Label] = []
    kinds: list[int] = []
    scenes: list[tuple[Key, tuple[str, ...], tuple[str, ...], int]] = []
    groups: dict[int, list[list[int]]] = defaultdict(list)
    for path, asked, modalities in shards:
        shown = close_ups.read([path], pixels=False)
        maps = as_maps(stored(tower, [path]))
        features.append(
            torch.stack([seen(tower, maps), *(seen(tower, moved(maps, NEAR, dice)[0]) for _ in range(1, copies))], 1)
        )
        first = len(labels)
        for number, key in enumerate(shown.groups):
            rows = shown.rows(number)
            kind = int(shown.kinds[rows[0]])
            labels += [label_of(shown, row) for row in rows]
            kinds += [kind] * len(rows)
            scenes += [(key, asked, modalities, at) for at in range(len(rows))]
            groups[kind].append([first + row for row in rows])
    return Looks(torch.cat(features), labels, kinds, scenes, dict(groups))


def label_of(shown: close_ups.CloseUps, row: int) -> Label:
    """What a tag shows: its print, its one mark, or how many there are of which marks."""
    characters, marks = shown.characters[row], shown.marks[row]
    kind = KINDS[int(shown.kinds[row])]
    if kind == "print":
        return kind, "".join(CHARACTERS[at] for at in characters if at >= 0)
    names, counts = np.unique(marks[marks >= 0], return_counts=True)
    return (kind, *(int(name) for name in names), *(int(count) for count in counts))


@lru_cache(maxsize=100_000)
def _group(key: Key, kinds: tuple[str, ...], modalities: tuple[str, ...]) -> Group:
    return group(*key, kinds=kinds, modalities=modalities)

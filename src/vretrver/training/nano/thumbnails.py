"""Scenes as the window shows them, with the tag's box: what the agent learns to point from. Stored as `close_ups` are.

Where the tag is does not depend on what is on it, and a thumbnail does not show what is: so any thumbnail may stand for
any candidate of a composed episode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vretrver.images import from_pil, render
from vretrver.messages import View
from vretrver.sizes import shown_size
from vretrver.training.nano.settings import HEIGHT, WIDTH
from vretrver.world import draw, group, layout
from vretrver.world.close_up import squeezed_to
from vretrver.world.scenes import Scene

WINDOW_PIXELS = 200 * 200
SCENES = 100  # of one shard


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Args: `pixels`: (N, HEIGHT, WIDTH, 3), 8 bits. `boxes`: (N, 4), the tags' corners as shares of the sides."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def write(folder: Path, seed: int, split: str, shards: Sequence[int], *, scenes: int = SCENES) -> Iterator[Path]:
    """Write shards that are not there yet, and give every shard's path as soon as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        path = folder / f"thumbnails-{split}-{seed}-{shard:05d}.npz"
        if not path.exists():
            pixels, boxes = zip(*(_thumbnail(seed, split, shard * scenes + at) for at in range(scenes)), strict=True)
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez(file, pixels=np.stack(pixels), boxes=np.stack(boxes).astype(np.float32))
            part.replace(path)
        yield path


def read(paths: Sequence[Path]) -> Thumbnails:
    """Shards as one."""
    loaded = [np.load(path, allow_pickle=False) for path in paths]
    return Thumbnails(*(np.concatenate([shard[name] for shard in loaded]) for name in ("pixels", "boxes")))


def _thumbnail(seed: int, split: str, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    scene = group(seed, split, index, 1, modalities=["t->i"]).candidates[0]
    assert isinstance(scene, Scene)
    lay = layout(scene)
    ref = from_pil(draw(scene))
    shown = render(View(ref, *shown_size(*lay.size, max_pixels=WINDOW_PIXELS)))
    pixels = np.asarray(squeezed_to(shown, (WIDTH, HEIGHT)), np.uint8)
    return pixels, np.asarray(lay.tag_box) / np.asarray([*lay.size, *lay.size])

"""What the tower's frozen layers make of stored pictures, computed once and kept beside them: no step draws or decodes.

A map of a picture is (16, 24, 48) in half precision, 37 kB: a stride of 8 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vretrver.training.nano.eye import pixels_of
from vretrver.training.nano.tower import trunk

BATCH = 32


@torch.no_grad()
def maps_of(tower: Any, pixels: NDArray[np.uint8], device: torch.device | str = "cpu") -> NDArray[np.float16]:
    """Maps (N, rows, columns, 48) of pictures (N, H, W, 3)."""
    tower.eval()
    found = []
    for start in range(0, len(pixels), BATCH):
        part = pixels_of(pixels[start : start + BATCH], device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            found.append(trunk(tower, part).permute(0, 2, 3, 1).half().cpu().numpy())
    return np.concatenate(found)


def stored(tower: Any, paths: Sequence[Path], device: torch.device | str = "cpu") -> NDArray[np.float16]:
    """The maps of some shards, one after another; those not there yet are computed and written."""
    found = []
    for path in paths:
        kept = path.with_suffix(".maps.npy")
        if not kept.exists():
            with np.load(path, allow_pickle=False) as shard:
                made = maps_of(tower, shard["pixels"], device)
            part = kept.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, made)
            part.replace(kept)
        found.append(np.load(kept, allow_pickle=False))
    return np.concatenate(found)

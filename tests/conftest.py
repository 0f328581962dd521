"""Pictures made on the spot, small enough to reason about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vretrver.images import open_image
from vretrver.types import Document, Query

Paint = Callable[..., str]


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Write a picture of one colour and give its path."""

    def write(name: str = "plain.png", colour: str = "red", size: tuple[int, int] = (64, 48)) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)
        return str(path)

    return write


class MeanColour:
    """An embedder to reason about: a picture is its mean colour, a text one of five directions beside it."""

    name = "mean-colour"
    dim = 8

    def __init__(self, fingerprint: str = "mean-colour-1") -> None:
        self.fingerprint = fingerprint
        self.opened = 0

    def encode(self, items: Sequence[Query | Document]) -> NDArray[np.float32]:
        rows = [self._row(item) for item in items]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)

    def _row(self, item: Query | Document) -> NDArray[np.float32]:
        row = np.full(self.dim, 0.1, np.float32)
        images = item.images if isinstance(item, Query) else [item.image] if item.image else []
        for image in images:
            self.opened += 1
            row[:3] += np.asarray(open_image(image).resize((1, 1)), np.float32)[0, 0] / 255
        if item.text:
            row[3 + sum(item.text.encode()) % 5] += 0.2
        return row


@pytest.fixture
def embedder() -> MeanColour:
    return MeanColour()

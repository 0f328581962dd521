"""Pictures made on the spot, small enough to reason about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

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

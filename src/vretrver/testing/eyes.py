"""What the fake model sees in plain painted pictures: enough for the questions of `policies.chat.doctor`."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from vretrver.boxes import BoxFamily, from_original
from vretrver.errors import ImageError
from vretrver.images import open_image
from vretrver.testing.reading import Reading
from vretrver.types import ImageRef

COLOURS = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255)}


def seen(reading: Reading, boxes: BoxFamily) -> str | None:
    """The answer to "which image is red" or to "the bounding box of the green square"; None to anything else."""
    which = re.search(r"which (?:image|picture) is (red|green|blue)", reading.text, re.IGNORECASE)
    where = re.search(r"box of the (red|green|blue) square", reading.text, re.IGNORECASE)
    try:
        if which:
            shares = [float(_near(image, which[1]).mean()) for image in reading.images]
            return str(int(np.argmax(shares)) + 1) if shares else None
        if where and reading.images:
            return _box(reading, where[1], boxes)
    except ImageError:
        return None
    return None


def _box(reading: Reading, colour: str, boxes: BoxFamily) -> str:
    found = _near(reading.images[-1], colour)
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    if not rows.size:
        return "There is none."
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    size = (found.shape[1], found.shape[0])
    # No model knows the original's pixels: one of the released family writes those it is shown, as Qwen2.5-VL does.
    family: BoxFamily = "qwen2.5-vl" if boxes == "released" else boxes
    return str([round(value) for value in from_original(box, family, size, size)])


def _near(image: bytes, colour: str) -> NDArray[np.bool_]:
    """Where a picture has a colour, JPEG's blur allowed for."""
    pixels = np.asarray(open_image(ImageRef(data=image)), np.int16)
    return np.asarray(np.abs(pixels - np.array(COLOURS[colour])).max(-1) < 60)

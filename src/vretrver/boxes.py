"""Box coordinates as each family of models writes them. The house has one convention (`types.Box`); this is its edge.

| family       | a number means                                                             |
|--------------|----------------------------------------------------------------------------|
| `released`   | a pixel of the original file, as the released tool divides by its size     |
| `qwen2.5-vl` | a pixel of the picture as it was shown, resized                            |
| `0-1000`     | a thousandth of the side (Qwen2-VL, Qwen3-VL)                              |

In every family, four numbers that are all at most 1 are fractions of the sides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from vretrver.errors import InvalidInput
from vretrver.types import Box

BoxFamily: TypeAlias = Literal["released", "qwen2.5-vl", "0-1000"]
Size: TypeAlias = tuple[int, int]

MEANING: dict[BoxFamily, str] = {
    "released": "pixels of the image",
    "qwen2.5-vl": "pixels of the image as it is shown to you",
    "0-1000": "thousandths of the image's width and height, from 0 to 1000",
}


def box_family(name: str) -> BoxFamily:
    """The family of a name.

    Raises:
        InvalidInput: no such family.
    """
    for family in get_args(BoxFamily):
        if name == family:
            return family  # type: ignore[no-any-return]
    raise InvalidInput(f"unknown box family {name!r}; choose from {', '.join(get_args(BoxFamily))}")


def to_original(
    values: Sequence[float], family: BoxFamily, original: Size, shown: Size
) -> tuple[float, float, float, float]:
    """Pixels of the original from four numbers a model wrote. Neither clamped nor checked for order.

    Args:
        values: x1, y1, x2, y2, finite.
        original: the original's width and height.
        shown: the width and height at which the model saw the picture.
    """
    x0, y0, x1, y1 = values
    width, height = original
    columns, rows = (1, 1) if max(values) <= 1 else _units(family, original, shown)
    return x0 * width / columns, y0 * height / rows, x1 * width / columns, y1 * height / rows


def from_original(box: Box, family: BoxFamily, original: Size, shown: Size) -> list[float]:
    """What a model of the family writes for a box: whole numbers that cover it and exceed it by less than one unit.

    A box so small at the corner that its numbers would be read as fractions is written as fractions.
    """
    x0, y0, x1, y1 = box
    width, height = original
    columns, rows = _units(family, original, shown)
    values: list[float] = [
        x0 * columns // width,
        y0 * rows // height,
        -(-x1 * columns // width),
        -(-y1 * rows // height),
    ]
    return [x0 / width, y0 / height, x1 / width, y1 / height] if max(values) <= 1 else values


def whole_pixels(box: Sequence[float], original: Size) -> Box:
    """The smallest box of whole pixels inside the picture that covers `box`; at least one pixel on each side."""
    x0, y0, x1, y1 = box
    width, height = original
    left = min(max(0, math.floor(x0)), width - 1)
    top = min(max(0, math.floor(y0)), height - 1)
    return left, top, max(left + 1, min(width, math.ceil(x1))), max(top + 1, min(height, math.ceil(y1)))


def _units(family: BoxFamily, original: Size, shown: Size) -> Size:
    match family:
        case "released":
            return original
        case "qwen2.5-vl":
            return shown
        case "0-1000":
            return (1000, 1000)


def is_released(name: str) -> bool:
    """Whether a model's name is that of a released checkpoint: V-Retrver-7B, -SFT-7B or -RFT-7B, in any spelling.

    Only a name tells: by their configuration they are Qwen2.5-VL. Our own trained models are none of them.
    """
    return re.search(r"v-?retrver[-:_](?:[a-z]+-)?7b", name, re.IGNORECASE) is not None

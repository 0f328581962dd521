"""How large a picture is shown to a model: a rule on numbers alone. Pictures are resized in `vretrver.images`.

Qwen2.5-VL's processor cuts pictures into patches of 28x28 pixels; shown sizes are multiples of that.
"""

from __future__ import annotations

import math
from collections.abc import Callable

PATCH = 28
MIN_PIXELS = 4 * PATCH * PATCH
MAX_PIXELS = 5120 * PATCH * PATCH


def shown_size(
    width: int, height: int, *, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """Width and height, multiples of 28, with about the picture's aspect ratio and an area within the bounds.

    The same result as the processor's `smart_resize` for aspect ratios up to 200; beyond that, where the processor
    refuses, the thin side is one patch and the long side is cut to the upper bound.

    Args:
        width, height: the picture's own size in pixels, at least 1.
        min_pixels, max_pixels: bounds on the shown area; `max_pixels` is at least one patch.
    """
    long, thin = max(width, height), min(width, height)
    if long > 200 * thin:
        side = min(_multiple(long, round), max_pixels // (PATCH * PATCH) * PATCH)
        side = max(side, math.ceil(min_pixels / PATCH / PATCH) * PATCH)
        return (side, PATCH) if width > height else (PATCH, side)
    columns, rows = _multiple(width, round), _multiple(height, round)
    if columns * rows > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        return _multiple(width / shrink, math.floor), _multiple(height / shrink, math.floor)
    if columns * rows < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        return _multiple(width * grow, math.ceil), _multiple(height * grow, math.ceil)
    return columns, rows


def _multiple(length: float, rounding: Callable[[float], int]) -> int:
    return max(PATCH, rounding(length / PATCH) * PATCH)

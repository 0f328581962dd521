"""crop_image: show one region of a picture enlarged, cut from the original file (the paper's ZOOM-IN).

The box is padded on each side by a tenth of that side of the picture, at most 600 pixels, then clamped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vretrver.boxes import whole_pixels
from vretrver.errors import ToolError
from vretrver.messages import ImagePart, Observation, View
from vretrver.sizes import MAX_PIXELS, shown_size
from vretrver.tools import Gallery, Picture, shown
from vretrver.types import Box

PAD_SHARE = 0.1
PAD_PIXELS = 600
FARTHEST = 1e7  # no picture is that wide; a larger number is nonsense and would overflow


class CropImage:
    """Args: `max_pixels`: the largest area of the shown crop."""

    name = "crop_image"
    aliases = ("zoom_in", "crop_image_normalized")
    signature: Mapping[str, Any] = {
        "name": name,
        "description": "Zoom in on a region of one image.",
        "parameters": {
            "type": "object",
            "properties": {
                "bbox_2d": {
                    "type": "array",
                    "description": "The region as [x1, y1, x2, y2], top left and bottom right corner.",
                    "items": {"type": "number"},
                    "minItems": 4,
                    "maxItems": 4,
                },
                "target_image": {
                    "type": "integer",
                    "description": "Image index: 0 is the query image, 1 to N are the candidate images in order.",
                },
            },
            "required": ["bbox_2d", "target_image"],
        },
    }

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self.max_pixels = max_pixels

    def run(self, arguments: Mapping[str, Any], gallery: Gallery) -> Observation:
        picture, asked = region(arguments, gallery)
        box = padded(asked, picture.size)
        width, height = shown_size(box[2] - box[0], box[3] - box[1], max_pixels=self.max_pixels)
        part = ImagePart(View(picture.view.image, width, height, box), arguments["target_image"])
        return shown(f"Here is the cropped image. (Image Size: {width}x{height})\n", [part])


def region(arguments: Mapping[str, Any], gallery: Gallery) -> tuple[Picture, tuple[float, float, float, float]]:
    """The picture of `target_image`, and `bbox_2d` in pixels of its original, in part at least inside it.

    Raises:
        ToolError: there is no such picture, or the box is none.
    """
    values = _four_numbers(arguments["bbox_2d"])
    picture = gallery.picture(arguments["target_image"])
    return picture, _inside(gallery.pixels(picture, values), picture)


def padded(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """The box grown by min(0.1, 600 / side) of each side of the picture, clamped, in whole pixels."""
    across, down = (min(PAD_SHARE * side, PAD_PIXELS) for side in size)
    return whole_pixels((box[0] - across, box[1] - down, box[2] + across, box[3] + down), size)


def _four_numbers(values: Any) -> list[float]:
    if not isinstance(values, list | tuple) or len(values) != 4 or not all(map(_is_number, values)):
        raise ToolError("Invalid bbox_2d format. It should be a list of four numbers.")
    if not all(abs(value) <= FARTHEST for value in values):  # also False for NaN
        raise ToolError("Invalid bbox_2d values. Each should be a finite coordinate inside the image.")
    return [float(value) for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inside(box: tuple[float, float, float, float], picture: Picture) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if x0 >= x1 or y0 >= y1:
        raise ToolError("Invalid bbox_2d values. x1 should be less than x2 and y1 less than y2.")
    width, height = picture.size
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise ToolError(
            "Invalid bbox_2d values. The box lies outside the image, which is shown at "
            f"{picture.view.width}x{picture.view.height}."
        )
    assert all(map(math.isfinite, box))
    return box

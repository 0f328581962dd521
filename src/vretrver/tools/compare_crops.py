"""compare_crops: show regions of several pictures in one call, one after another, cut from the originals. Ours.

The paper's two tools look at one region a turn; with two turns and four candidates that settles no question on a
detail. Not in the default toolbox, so that the released prompt stays what it is: `load_toolbox("select,zoom,compare")`.

A box is padded on each side by a tenth of the box's own side, so that a small one stays small, unlike `crop_image`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vretrver.boxes import whole_pixels
from vretrver.errors import ToolError
from vretrver.messages import ImagePart, Observation, Part, TextPart, View
from vretrver.sizes import PATCH, shown_size
from vretrver.tools import Gallery, brief
from vretrver.tools.crop_image import CropImage, region
from vretrver.types import Box

MOST = 6
PAD_SHARE = 0.1
LEAST_PIXELS = 64 * PATCH * PATCH
MOST_PIXELS = 256 * PATCH * PATCH
_CROP = CropImage.signature["parameters"]


class CompareCrops:
    """Args: `min_pixels`, `max_pixels`: about the smallest, and the largest, area of one shown crop."""

    name = "compare_crops"
    aliases = ("compare",)
    signature: Mapping[str, Any] = {
        "name": name,
        "description": "Zoom in on regions of several images at once, to compare a detail.",
        "parameters": {
            "type": "object",
            "properties": {
                "crops": {
                    "type": "array",
                    "description": "The regions, shown in this order.",
                    "items": {
                        "type": "object",
                        "properties": {key: _CROP["properties"][key] for key in ("target_image", "bbox_2d")},
                        "required": ["target_image", "bbox_2d"],
                    },
                    "minItems": 1,
                    "maxItems": MOST,
                }
            },
            "required": ["crops"],
        },
    }

    def __init__(self, min_pixels: int = LEAST_PIXELS, max_pixels: int = MOST_PIXELS) -> None:
        self.max_pixels = max_pixels
        self.min_pixels = min(min_pixels, max_pixels)

    def run(self, arguments: Mapping[str, Any], gallery: Gallery) -> Observation:
        crops = arguments["crops"]
        if not isinstance(crops, list | tuple):
            raise ToolError(f"Invalid crops format. It should be a list of 1 to {MOST} crops, not {brief(crops)}.")
        if not 1 <= len(crops) <= MOST:
            raise ToolError(f"Invalid crops format. It should hold 1 to {MOST} crops, not {len(crops)}.")
        shown = [self._crop(number, crop, gallery) for number, crop in enumerate(crops, 1)]
        parts: list[Part] = []
        for number, part in enumerate(shown, 1):
            opening = f"Here are the cropped images. (Numbered 1 to {len(shown)})" if number == 1 else ""
            size = f"{part.view.width}x{part.view.height}"
            parts += [TextPart(f"{opening}\n{number}. Image {part.index} (Image Size: {size}): "), part]
        return Observation(tuple(parts))

    def _crop(self, number: int, crop: Any, gallery: Gallery) -> ImagePart:
        try:
            return self._cut(crop, gallery)
        except ToolError as refusal:
            raise ToolError(f"Crop {number}: {refusal}") from refusal

    def _cut(self, crop: Any, gallery: Gallery) -> ImagePart:
        if not isinstance(crop, Mapping):
            raise ToolError(f"Invalid format. It should hold target_image and bbox_2d; {brief(crop)} does not.")
        if missing := [key for key in ("target_image", "bbox_2d") if key not in crop]:
            raise ToolError(f"Missing parameters: {', '.join(missing)}")
        picture, asked = region(crop, gallery)
        box = padded(asked, picture.size)
        width, height = shown_size(
            box[2] - box[0], box[3] - box[1], min_pixels=self.min_pixels, max_pixels=self.max_pixels
        )
        return ImagePart(View(picture.view.image, width, height, box), crop["target_image"])


def padded(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """The box grown by a tenth of each of its own sides, clamped to the picture, in whole pixels."""
    across, down = PAD_SHARE * (box[2] - box[0]), PAD_SHARE * (box[3] - box[1])
    return whole_pixels((box[0] - across, box[1] - down, box[2] + across, box[3] + down), size)

"""select_images: show up to four pictures again, whole and as large as a model can take (the paper's SELECT-IMAGE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vretrver.errors import ToolError
from vretrver.messages import ImagePart, Observation, View
from vretrver.sizes import MAX_PIXELS, shown_size
from vretrver.tools import Gallery, Picture, brief, shown

MOST = 4


class SelectImages:
    """Args: `max_pixels`: the largest area of one shown picture."""

    name = "select_images"
    aliases: tuple[str, ...] = ()
    signature: Mapping[str, Any] = {
        "name": name,
        "description": "Show some of the images again at full view, to compare them in detail.",
        "parameters": {
            "type": "object",
            "properties": {
                "target_images": {
                    "type": "array",
                    "description": "Image indices: 0 is the query image, 1 to N are the candidate images in order.",
                    "items": {"type": "integer"},
                    "minItems": 1,
                    "maxItems": MOST,
                }
            },
            "required": ["target_images"],
        },
    }

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self.max_pixels = max_pixels

    def run(self, arguments: Mapping[str, Any], gallery: Gallery) -> Observation:
        parts = [self._part(index, picture) for index, picture in self._chosen(arguments["target_images"], gallery)]
        first = parts[0].view
        size = f"{first.width}x{first.height}"
        return shown(
            f"Here are the selected images for detailed analysis. (Image Size: {size}, Numbered 1 to {len(parts)}):",
            parts,
        )

    def _part(self, index: int, picture: Picture) -> ImagePart:
        width, height = shown_size(*picture.size, max_pixels=self.max_pixels)
        return ImagePart(View(picture.view.image, width, height), index)

    @staticmethod
    def _chosen(indices: Any, gallery: Gallery) -> list[tuple[int, Picture]]:
        if not isinstance(indices, list | tuple):
            raise ToolError(
                f"Invalid target_images format. It should be a list of 1 to {MOST} integers, not {brief(indices)}."
            )
        if not 1 <= len(indices) <= MOST:
            raise ToolError(f"Invalid target_images format. It should hold 1 to {MOST} integers, not {len(indices)}.")
        pictures = [gallery.picture(index) for index in indices]
        return list(dict(zip(indices, pictures, strict=True)).items())  # a picture named twice is shown once

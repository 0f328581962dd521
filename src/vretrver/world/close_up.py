"""The tag of a scene alone, close up, without drawing the scene around it: a fifth of `draw`'s time. For training.

What surrounds the tag is a patch of the object's colour, perhaps with an edge in it, under an even light: enough for
the margin of a crop. The tag itself is `drawing.plate`'s, hung by `drawing.hang`, and passes through JPEG as scenes do.
It leaves out what a crop of the whole scene has besides: the object's outline, the wallpaper, the gradient of light.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vretrver.sizes import PATCH, shown_size
from vretrver.types import Box
from vretrver.world.drawing import hang, lettering, plate
from vretrver.world.scenes import COLOURS, SURFACES, WALLS, Layout, Scene, layout, on_picture, seeded

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_ROOM = 64  # pixels drawn around the tag's box
_QUALITY = 86


@dataclass(frozen=True, slots=True)
class Spot:
    """Something on the tag and where, as shares of the crop's sides: a mark with its ink, or one character."""

    x: float
    y: float
    mark: str | None = None
    ink: str | None = None
    character: str | None = None


def close_up(scene: Scene, box: Box, lay: Layout | None = None) -> tuple[PILImage, tuple[Spot, ...]]:
    """A crop of the scene around its tag, at the original's resolution, and what is where in it.

    Args:
        scene: whose tag. box: what is cut, in pixels of the scene's picture; within 64 pixels of the tag's box.
        lay: the scene's layout where it is known already.
    """
    lay = layout(scene) if lay is None else lay
    x0, y0 = lay.tag_box[0] - _ROOM, lay.tag_box[1] - _ROOM
    size = (lay.tag_box[2] - x0 + _ROOM, lay.tag_box[3] - y0 + _ROOM)
    picture = _ground(scene, size)
    near = replace(lay, plate=(lay.plate[0] - x0, lay.plate[1] - y0, *lay.plate[2:]))
    hang(picture, plate(scene.tag, lay, scene.nuisance), near)
    picture = _jpeg(_lit(picture, scene.nuisance))
    cut = picture.crop((box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0))
    return cut, tuple(_spots(scene, lay, box))


def _ground(scene: Scene, size: tuple[int, int]) -> PILImage:
    dice = seeded(f"close up/{scene.nuisance}")
    picture = Image.new("RGB", size, _scaled(COLOURS[scene.colour], dice.uniform(0.6, 1.3)))
    if dice.random() < 0.5:
        other = dice.choice((SURFACES[scene.surface], WALLS[scene.wall], COLOURS[scene.colour]))
        at = [dice.uniform(-0.3, 1.3) * side for side in size] + [dice.uniform(-0.3, 1.3) * side for side in size]
        corners = (min(at[0], at[2]), min(at[1], at[3]), max(at[0], at[2]), max(at[1], at[3]))
        pen = ImageDraw.Draw(picture)
        shape = dice.choice((pen.rectangle, pen.ellipse))
        shape(corners, fill=_scaled(other, dice.uniform(0.6, 1.2)))
    return picture


def _lit(picture: PILImage, nuisance: str) -> PILImage:
    dice = seeded(f"close up light/{nuisance}")
    tone, share = dice.choice(((30, 20, 10), (14, 18, 34), (18, 18, 18))), dice.uniform(0, 0.26)
    pixels: NDArray[np.float32] = np.asarray(picture, np.float32) * np.float32(1 - share)
    grain = np.random.RandomState(dice.getrandbits(32)).standard_normal((picture.height, picture.width, 1))
    pixels += np.asarray(tone, np.float32) * np.float32(share) + grain.astype(np.float32)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _jpeg(picture: PILImage) -> PILImage:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return Image.open(buffer).convert("RGB")


def _spots(scene: Scene, lay: Layout, box: Box) -> list[Spot]:
    def share(x: float, y: float) -> tuple[float, float]:
        across, down = on_picture(x, y, lay.plate)
        return (across - box[0]) / (box[2] - box[0]), (down - box[1]) / (box[3] - box[1])

    if lay.text is None:
        return [Spot(*share(mark.x, mark.y), mark.icon, mark.colour) for mark in lay.marks]
    x, y, em = lay.text
    font, text = lettering(round(em * 3)), scene.tag.value
    ends = [font.getlength(text[:at]) / 3 for at in range(len(text) + 1)]
    middles = [(left + right - ends[-1]) / 2 for left, right in itertools.pairwise(ends)]
    return [Spot(*share(x + at, y), character=letter) for at, letter in zip(middles, text, strict=True)]


def _scaled(colour: tuple[int, int, int], gain: float) -> tuple[int, int, int]:
    red, green, blue = (min(255, round(value * gain)) for value in colour)
    return red, green, blue


def squeezed(crop: PILImage, size: tuple[int, int], *, least: int = 64, most: int = 256) -> PILImage:
    """A crop as a model of fixed input size sees it: enlarged as `compare_crops` shows it, then squeezed to `size`.

    Args:
        least, most: bounds on the shown area, in patches of 28x28 pixels.
    """
    patch = PATCH * PATCH
    shown = shown_size(crop.width, crop.height, min_pixels=least * patch, max_pixels=most * patch)
    return squeezed_to(crop.resize(shown, Image.Resampling.LANCZOS), size)


def squeezed_to(shown: PILImage, size: tuple[int, int]) -> PILImage:
    """A shown picture at a model's fixed input size."""
    return shown.resize(size, Image.Resampling.BICUBIC)

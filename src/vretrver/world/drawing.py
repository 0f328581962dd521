"""Pixels of a scene. `layout` has said where everything lies; here is only how it looks: paint, shadow, light, grain.

The tag is drawn so that a thumbnail learns nothing: marks carry the same amount of ink whatever they show, and the
plate's mottled paper varies as much, at a thumbnail's scale, as one mark differs from another. At full size the marks
stand out by far.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from vretrver.world.icons import coverage, mask
from vretrver.world.scenes import COLOURS, INKS, PLATE, SURFACES, WALLS, Layout, Placed, Scene, Tag, layout, seeded

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_PAPERS = ((246, 240, 222), (240, 240, 236), (226, 234, 240), (236, 240, 220), (240, 228, 220), (220, 222, 224))
_RIMS = ((60, 52, 46), (70, 74, 80), (40, 56, 78), (96, 70, 40), (44, 70, 54))
_INK_SHARE = 0.24  # of the em: the mass every mark is brought to, as far as its opacity allows
_MOTTLE = 11.0  # standard deviation of the paper's brightness, of 255
_MOTTLE_SCALE = 8  # pixels of the original between two independent values
_OVER = 3  # the plate is drawn this many times larger and then reduced


def draw(scene: Scene) -> PILImage:
    """A scene as an RGB picture of 1280 x 1280, 1440 x 1152 or 1152 x 1440 pixels. Same scene, same pixels."""
    lay = layout(scene)
    dice = seeded(f"drawing/{scene.nuisance}")
    picture = _setting(scene, lay, dice)
    for thing in lay.clutter:
        _stand(picture, thing, dice)
    _stand(picture, lay.thing, dice)
    hang(picture, plate(scene.tag, lay, scene.nuisance), lay)
    return _light(picture, dice)


def plate(tag: Tag, lay: Layout, nuisance: str) -> PILImage:
    """The tag by itself, upright, RGBA, `lay.plate`'s width and height."""
    dice = seeded(f"plate/{nuisance}")
    size = (PLATE[0] * _OVER, PLATE[1] * _OVER)
    paper, rim = dice.choice(_PAPERS), dice.choice(_RIMS)
    face = Image.new("RGB", size, paper)
    face = _mottled(face, dice.getrandbits(32), _MOTTLE, _MOTTLE_SCALE * _OVER)
    pen = ImageDraw.Draw(face)
    width = _OVER * 4
    pen.rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=10 * _OVER, outline=rim, width=width)
    for x in (11, PLATE[0] - 11):
        y = PLATE[1] / 2
        pen.ellipse([(x - 3) * _OVER, (y - 3) * _OVER, (x + 3) * _OVER, (y + 3) * _OVER], fill=rim)
    for mark in lay.marks:
        _ink(face, mark)
    if lay.text is not None:
        _write(face, tag.value, lay.text)
    shape = Image.new("L", size)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=10 * _OVER, fill=255)
    face.putalpha(shape)
    return face.resize(lay.plate[2:4], Image.Resampling.LANCZOS)


def hang(picture: PILImage, face: PILImage, lay: Layout) -> None:
    """Put a plate where the layout has it, with its tilt and a shadow."""
    centre_x, centre_y, _wide, _high, tilt = lay.plate
    turned = face.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    at = (round(centre_x - turned.width / 2), round(centre_y - turned.height / 2))
    shadow = turned.getchannel("A").point(lambda value: value // 2)
    padded = Image.new("L", (shadow.width + 32, shadow.height + 32))
    padded.paste(shadow, (16, 16))
    picture.paste((20, 18, 22), (at[0] - 12, at[1] - 9), padded.filter(ImageFilter.BoxBlur(5)))
    picture.paste(turned, at, turned)


def _ink(face: PILImage, mark: Placed) -> None:
    shape = mask(mark.icon, round(mark.size * _OVER)).rotate(mark.tilt, Image.Resampling.BICUBIC, expand=True)
    opacity = min(1.0, max(0.62, _INK_SHARE / coverage(mark.icon))) * mark.strength
    at = (round(mark.x * _OVER - shape.width / 2), round(mark.y * _OVER - shape.height / 2))
    face.paste(INKS[mark.colour], at, shape.point(lambda value: round(value * opacity)))


def _write(face: PILImage, text: str, where: tuple[float, float, float]) -> None:
    x, y, em = where
    pen = ImageDraw.Draw(face)
    pen.text((x * _OVER, y * _OVER), text, font=_lettering(round(em * _OVER)), fill=INKS["black"], anchor="mm")


@lru_cache(maxsize=16)
def _lettering(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # Pillow carries it: no font of the machine's is used


def _setting(scene: Scene, lay: Layout, dice: Random) -> PILImage:
    width, height = lay.size
    picture = Image.new("RGB", lay.size, _shift(WALLS[scene.wall], dice))
    _pattern(picture, lay.horizon, dice)
    ground = Image.new("RGB", (width, height - lay.horizon), _shift(SURFACES[scene.surface], dice))
    streaks = (2, 26) if "wood" in scene.surface else (9, 9) if "marble" in scene.surface else (40, 40)
    ground = _streaked(ground, dice.getrandbits(32), *streaks)
    picture.paste(ground, (0, lay.horizon))
    edge = ImageDraw.Draw(picture)
    tone = _scaled(SURFACES[scene.surface], 0.72)
    edge.rectangle((0, lay.horizon - 3, width, lay.horizon + 4), fill=tone)
    return picture


def _pattern(picture: PILImage, horizon: int, dice: Random) -> None:
    """Wallpaper: plain, stripes, tiles or panels, a little darker than the wall."""
    colour = picture.getpixel((0, 0))
    assert isinstance(colour, tuple)
    tone = _scaled((int(colour[0]), int(colour[1]), int(colour[2])), dice.uniform(0.93, 0.97))
    pen, step, offset = ImageDraw.Draw(picture), dice.randint(60, 150), dice.randint(0, 59)
    match dice.randint(0, 3):
        case 1:
            for x in range(-offset, picture.width, step):
                pen.rectangle((x, 0, x + step // 2, horizon), fill=tone)
        case 2:
            for x in range(-offset, picture.width, step):
                pen.line((x, 0, x, horizon), fill=tone, width=4)
            for y in range(-offset, horizon, step):
                pen.line((0, y, picture.width, y), fill=tone, width=4)
        case 3:
            pen.rectangle((0, horizon - 2 * step, picture.width, horizon), fill=tone)
            pen.line((0, horizon - 2 * step, picture.width, horizon - 2 * step), fill=_scaled(tone, 0.85), width=8)


def _stand(picture: PILImage, thing: Placed, dice: Random) -> None:
    """An object with a shadow on the ground, shaded from its lit side to the other."""
    shape = mask(thing.icon, round(thing.size)).rotate(thing.tilt, Image.Resampling.BILINEAR, expand=True)
    width, height = shape.size
    left, top = round(thing.x - width / 2), round(thing.y - height / 2)
    pool = Image.new("L", (64, 24))
    ImageDraw.Draw(pool).ellipse((10, 7, 54, 17), fill=120)
    pool = pool.filter(ImageFilter.GaussianBlur(3)).resize(
        (round(width * 1.3), round(height * 0.22)), Image.Resampling.BILINEAR
    )
    picture.paste((16, 14, 18), (round(thing.x - pool.width / 2), round(top + height - pool.height * 0.58)), pool)
    base = _shift(COLOURS[thing.colour], dice)
    paint = _gradient((width, height), _scaled(base, 1.18), _scaled(base, 0.7), dice.uniform(0.2, 0.5))
    rim = max(2, round(thing.size / 70))
    lit = ImageChops.subtract(shape, ImageChops.offset(shape, rim, rim))
    paint.paste(_scaled(base, 1.45), (0, 0), lit.point(lambda value: value * 2 // 3))
    dark = ImageChops.subtract(shape, ImageChops.offset(shape, -rim, -rim))
    paint.paste(_scaled(base, 0.5), (0, 0), dark.point(lambda value: value * 2 // 3))
    picture.paste(paint, (left, top), shape)


def _light(picture: PILImage, dice: Random) -> PILImage:
    """A soft lamp from one side and a fine grain over everything."""
    corners = [round(255 * dice.uniform(0.8, 1.0)) for _ in range(9)]
    corners[4] = 255
    lamp = Image.new("L", (3, 3))
    lamp.putdata(corners)
    lamp = lamp.resize(picture.size, Image.Resampling.BICUBIC)
    tint = [dice.uniform(0.94, 1.0) for _ in range(3)]
    lamps = Image.merge("RGB", [lamp.point([round(value * share) for value in range(256)]) for share in tint])
    picture = ImageChops.multiply(picture, lamps)
    x, y = dice.randint(0, 95), dice.randint(0, 95)
    grain = _grain().crop((x, y, x + picture.width, y + picture.height))
    return ImageChops.add(picture, grain, 1, -128)


@lru_cache(maxsize=1)
def _grain() -> PILImage:
    values = np.random.RandomState(0).normal(128, 1.2, (1536, 1536))
    level = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return Image.merge("RGB", (level, level, level))


def _noise(seed: int, rows: int, columns: int, spread: float) -> PILImage:
    values: NDArray[np.float64] = np.random.RandomState(seed).normal(128, spread, (rows, columns))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _mottled(face: PILImage, seed: int, spread: float, scale: int) -> PILImage:
    rows, columns = face.height // scale + 2, face.width // scale + 2
    level = _noise(seed, rows, columns, spread).resize(face.size, Image.Resampling.BICUBIC)
    return ImageChops.add(face, Image.merge("RGB", (level, level, level)), 1, -128)


def _streaked(face: PILImage, seed: int, columns: int, rows: int) -> PILImage:
    """Wood's long streaks, marble's clouds or a floor's blotches, by how many independent values there are each way."""
    level = _noise(seed, rows, columns + 1, 9.0).resize(face.size, Image.Resampling.BICUBIC)
    return ImageChops.add(face, Image.merge("RGB", (level, level, level)), 1, -128)


def _gradient(size: tuple[int, int], lit: tuple[int, int, int], dark: tuple[int, int, int], slant: float) -> PILImage:
    """From the lit upper left to the dark lower right."""
    small = Image.new("L", (2, 2))
    small.putdata([0, round(255 * slant), round(255 * (1 - slant)), 255])
    return Image.composite(
        Image.new("RGB", size, dark), Image.new("RGB", size, lit), small.resize(size, Image.Resampling.BILINEAR)
    )


def _shift(colour: tuple[int, int, int], dice: Random) -> tuple[int, int, int]:
    gain = dice.uniform(0.93, 1.06)
    red, green, blue = (min(255, round(value * gain + dice.uniform(-5, 5))) for value in colour)
    return max(0, red), max(0, green), max(0, blue)


def _scaled(colour: tuple[int, int, int], gain: float) -> tuple[int, int, int]:
    red, green, blue = (min(255, round(value * gain)) for value in colour)
    return red, green, blue

"""Pixels of a scene. `layout` has said where everything lies; here is only how it looks: paint, shadow, light, grain.

The tag is a hybrid image (Oliva, Torralba and Schyns, 2006), drawn so that a thumbnail learns nothing: of each mark
only what is finer than a thumbnail's pixels is kept, and what is coarser is replaced by that of a plain spot, the same
for every mark. The paper is mottled at that scale too. At full size the marks stand out by far.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from vretrver.world.icons import mask
from vretrver.world.scenes import COLOURS, INKS, PLATE, SURFACES, WALLS, Layout, Placed, Scene, Tag, layout, seeded

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

Pixels: TypeAlias = NDArray[np.float64]
_PAPERS = ((214, 206, 186), (208, 208, 204), (196, 206, 214), (206, 210, 190), (212, 198, 190), (200, 202, 204))
_RIMS = ((60, 52, 46), (70, 74, 80), (40, 56, 78), (96, 70, 40), (44, 70, 54))
# A mark's part with longer periods than this, in pixels of the original, is replaced by a plain spot's: from the first
# number on wholly, down to the second less and less. A thumbnail of 224 pixels shows periods above 11 to 13.
_SHOWN = (9.5, 6.7)
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


def plate(tag: Tag, lay: Layout, nuisance: str | None) -> PILImage:
    """The tag by itself, upright, RGBA, `lay.plate`'s width and height; without a nuisance seed its paper is plain."""
    dice = seeded(f"plate/{nuisance}")
    paper, rim = dice.choice(_PAPERS), dice.choice(_RIMS)
    size = (PLATE[0] * _OVER, PLATE[1] * _OVER)
    face = Image.new("RGB", size, paper)
    printed, blurred = face.copy(), face.copy()
    for mark in lay.marks:
        _ink(printed, mark)
        _blob(blurred, mark, dice)
    if lay.text is not None:
        _write(printed, tag.value, lay.text)
        _bar(blurred, len(tag.value), lay.text, dice)
    pen = ImageDraw.Draw(face)
    pen.rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=10 * _OVER, outline=rim, width=4 * _OVER)
    for x in (11 * _OVER, size[0] - 11 * _OVER):
        pen.ellipse([x - 9, size[1] / 2 - 9, x + 9, size[1] / 2 + 9], fill=rim)
    pixels = _pixels(face) + _fine(_pixels(printed) - paper) + _coarse(_pixels(blurred) - paper)
    if nuisance is not None:
        pixels += _mottle(dice.getrandbits(32))[..., None]
    shown = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    shape = Image.new("L", size)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=10 * _OVER, fill=255)
    shown.putalpha(shape.resize(PLATE, Image.Resampling.LANCZOS))
    return shown.resize(lay.plate[2:4], Image.Resampling.BICUBIC)


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


def _pixels(face: PILImage) -> Pixels:
    return np.asarray(face.resize(PLATE, Image.Resampling.LANCZOS), np.float64)


def _ink(face: PILImage, mark: Placed) -> None:
    shape = mask(mark.icon, round(mark.size * _OVER)).rotate(mark.tilt, Image.Resampling.BICUBIC, expand=True)
    at = (round(mark.x * _OVER - shape.width / 2), round(mark.y * _OVER - shape.height / 2))
    face.paste(INKS[mark.colour], at, shape.point(lambda value: round(value * mark.strength)))


def _blob(face: PILImage, mark: Placed, dice: Random) -> None:
    """What a thumbnail sees in place of any mark: a spot of its ink, not quite where the mark is."""
    x, y = ((value + dice.uniform(-2, 2)) * _OVER for value in (mark.x, mark.y))
    radius = round(mark.size * 0.36 * _OVER)
    spot = Image.new("L", (2 * radius + 1, 2 * radius + 1))
    ImageDraw.Draw(spot).ellipse((0, 0, 2 * radius, 2 * radius), fill=round(dice.uniform(100, 140)))
    face.paste(INKS[mark.colour], (round(x) - radius, round(y) - radius), spot)


def _write(face: PILImage, text: str, where: tuple[float, float, float]) -> None:
    x, y, em = where
    pen = ImageDraw.Draw(face)
    pen.text((x * _OVER, y * _OVER), text, font=lettering(round(em * _OVER)), fill=INKS["black"], anchor="mm")


def _bar(face: PILImage, length: int, where: tuple[float, float, float], dice: Random) -> None:
    """What a thumbnail sees in place of any print of this many characters."""
    x, y, em = ((value + dice.uniform(-2, 2)) * _OVER for value in where)
    across, down = round(length * em * 0.28), round(em * 0.36)
    bar = Image.new("L", (2 * across, 2 * down), round(dice.uniform(80, 110)))
    face.paste(INKS["black"], (round(x) - across, round(y) - down), bar)


def _fine(difference: Pixels) -> Pixels:
    return difference - _coarse(difference)


def _coarse(difference: Pixels) -> Pixels:
    """The part of (height, width, 3) that a thumbnail of 224 pixels can hold: periods above `_SHOWN` pixels."""
    height, width, _ = difference.shape
    rate = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    low, high = 1 / _SHOWN[0], 1 / _SHOWN[1]
    kept = 0.5 + 0.5 * np.cos(np.pi * np.clip((rate - low) / (high - low), 0, 1))
    spectrum = np.fft.rfft2(difference, axes=(0, 1)) * kept[..., None]
    return np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))


def _mottle(seed: int) -> Pixels:
    width, height = PLATE
    level = _noise(seed, height // _MOTTLE_SCALE + 2, width // _MOTTLE_SCALE + 2, _MOTTLE)
    return np.asarray(level.resize(PLATE, Image.Resampling.BICUBIC), np.float64) - 128


@lru_cache(maxsize=16)
def lettering(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # Pillow carries it: no font of the machine's is used


def _setting(scene: Scene, lay: Layout, dice: Random) -> PILImage:
    width, height = lay.size
    picture = Image.new("RGB", lay.size, _shift(WALLS[scene.wall], dice))
    _pattern(picture, lay.horizon, dice)
    streaks = (2, 26) if "wood" in scene.surface else (9, 9) if "marble" in scene.surface else (40, 40)
    colour, size = _shift(SURFACES[scene.surface], dice), (width, height - lay.horizon)
    ground = _streaked(colour, size, dice.getrandbits(32), *streaks)
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
    _shadow(picture, thing.x, top + (shape.getbbox() or (0, 0, 0, height))[3], width)
    base = _shift(COLOURS[thing.colour], dice)
    paint = _gradient((width, height), _scaled(base, 1.18), _scaled(base, 0.7), dice.uniform(0.2, 0.5))
    rim = max(2, round(thing.size / 70))
    lit = ImageChops.subtract(shape, ImageChops.offset(shape, rim, rim))
    paint.paste(_scaled(base, 1.45), (0, 0), lit.point(lambda value: value * 2 // 3))
    dark = ImageChops.subtract(shape, ImageChops.offset(shape, -rim, -rim))
    paint.paste(_scaled(base, 0.5), (0, 0), dark.point(lambda value: value * 2 // 3))
    picture.paste(paint, (left, top), shape)


def _shadow(picture: PILImage, x: float, ground: int, width: int) -> None:
    """What keeps a thing of this width from floating: a soft dark pool around the line where it stands."""
    pool = Image.new("L", (64, 24))
    ImageDraw.Draw(pool).ellipse((8, 6, 56, 18), fill=150)
    pool = pool.filter(ImageFilter.GaussianBlur(2.5))
    pool = pool.resize((round(width * 1.25), max(8, round(width * 0.15))), Image.Resampling.BILINEAR)
    picture.paste((16, 14, 18), (round(x - pool.width / 2), round(ground - pool.height * 0.56)), pool)


def _light(picture: PILImage, dice: Random) -> PILImage:
    """Shade that gathers away from a lamp somewhere, and a fine grain over everything."""
    shade = Image.new("L", (3, 3))
    shade.putdata([0 if at == 4 else round(255 * dice.uniform(0, 0.26)) for at in range(9)])
    tone = dice.choice(((30, 20, 10), (14, 18, 34), (18, 18, 18)))
    picture.paste(tone, (0, 0), shade.resize(picture.size, Image.Resampling.BICUBIC))
    x, y = dice.randint(0, 95), dice.randint(0, 95)
    return ImageChops.add(picture, _grain().crop((x, y, x + picture.width, y + picture.height)), 1, -128)


@lru_cache(maxsize=1)
def _grain() -> PILImage:
    values = np.random.RandomState(0).normal(128, 1.0, (1536, 1536))
    level = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return Image.merge("RGB", (level, level, level))


def _noise(seed: int, rows: int, columns: int, spread: float) -> PILImage:
    values: NDArray[np.float64] = np.random.RandomState(seed).normal(128, spread, (rows, columns))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _streaked(colour: tuple[int, int, int], size: tuple[int, int], seed: int, columns: int, rows: int) -> PILImage:
    """Wood's long streaks, marble's clouds or a floor's blotches, by how many independent values there are each way."""
    level = _noise(seed, rows, columns + 1, 9.0).resize(size, Image.Resampling.BICUBIC)
    tones = [[min(255, max(0, value + step - 128)) for step in range(256)] for value in colour]
    return Image.merge("RGB", [level.point(tone) for tone in tones])


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

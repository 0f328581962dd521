"""What a scene shows and where everything in it lies, as plain values; `drawing` turns them into pixels.

A `Scene` says what (object, tag, setting) and carries a `nuisance` seed; `layout` derives from the seed all that does
not matter to the answer: place, size, tilt, order of the marks, light, clutter. So the same tag can be drawn any number
of times, no two alike, and its box is known to the pixel. Random numbers come from `random.Random` seeded by text: the
same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from vretrver.types import Box
from vretrver.world.icons import extent, owned, solid_spot

VERSION = 1
KINDS = ("which", "where", "count", "colour", "print")

COLOURS = {
    "red": (196, 48, 44),
    "orange": (224, 122, 38),
    "yellow": (226, 182, 44),
    "green": (62, 138, 74),
    "teal": (32, 134, 138),
    "blue": (52, 98, 180),
    "purple": (116, 70, 150),
    "pink": (214, 100, 140),
}
SURFACES = {
    "wooden table": (168, 120, 78),
    "dark wooden table": (104, 72, 52),
    "marble counter": (206, 204, 200),
    "grey stone floor": (136, 138, 140),
    "white shelf": (222, 220, 214),
    "green lawn": (110, 148, 84),
    "sandy ground": (208, 186, 144),
    "blue tablecloth": (104, 132, 172),
}
WALLS = {
    "white": (232, 230, 226),
    "cream": (236, 224, 198),
    "pale blue": (192, 212, 228),
    "pale green": (200, 218, 196),
    "grey": (176, 180, 186),
    "pink": (230, 206, 206),
    "dark blue": (68, 84, 112),
    "lilac": (206, 196, 222),
}
INKS = {
    "red": (206, 30, 36),
    "blue": (30, 74, 200),
    "green": (20, 132, 54),
    "orange": (236, 128, 0),
    "purple": (136, 44, 160),
    "black": (24, 24, 28),
}

CANVASES = ((1280, 1280), (1440, 1152), (1152, 1440))
PLATE = (168, 116)  # pixels of the original
MARK = 20  # em of a mark on the tag, pixels of the original
GRID = {"which": (1, 1), "where": (3, 2), "count": (4, 2), "colour": (3, 2), "print": (1, 1)}
PLACES = ("top left", "top middle", "top right", "bottom left", "bottom middle", "bottom right")


@dataclass(frozen=True, slots=True)
class Tag:
    """What is on the tag; the deciding detail is `value`.

    Args:
        kind: one of `KINDS`.
        value: the answer in words: an icon's name, one of `PLACES`, a count, an ink's name, or the print.
        subject: the mark that `where`, `count` and `colour` ask about; None for `which` and `print`.
        others: what fills the other cells, in no order: icons for `where` and `colour`, one icon for `count`.
        inks: for `colour`, all inks on the tag, the subject's own among them.
    """

    kind: str
    value: str
    subject: str | None = None
    others: tuple[str, ...] = ()
    inks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture: what is to be seen and the seed of all that does not matter.

    Args:
        object: the icon that carries the tag. colour: its colour, one of `COLOURS`.
        surface, wall: the setting, of `SURFACES` and `WALLS`.
        tag: what is on the tag.
        split: whose icons the clutter is taken from.
        nuisance: seed of place, size, tilt, order, light, clutter and grain.
    """

    object: str
    colour: str
    surface: str
    wall: str
    tag: Tag
    split: str
    nuisance: str


@dataclass(frozen=True, slots=True)
class Placed:
    """An icon somewhere: its centre, em, tilt (degrees) and colour's name; `strength` 0..1 is the ink's opacity."""

    icon: str
    colour: str
    x: float
    y: float
    size: float
    tilt: float
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies, in pixels of the picture (of the upright plate for `marks` and `text`).

    Args:
        size: width and height. horizon: where the wall meets the surface. thing: the object.
        plate: centre, width, height, and tilt in degrees of the tag.
        marks: what is printed on it, in plate pixels. text: (x, y, em) of the centre of the print, or None.
        clutter: what stands behind, farthest first.
        tag_box: the tag's bounding box. detail_box: that of the deciding marks alone.
    """

    size: tuple[int, int]
    horizon: int
    thing: Placed
    plate: tuple[float, float, int, int, float]
    marks: tuple[Placed, ...]
    text: tuple[float, float, float] | None
    clutter: tuple[Placed, ...]
    tag_box: Box
    detail_box: Box


def seeded(name: str) -> Random:
    """Random numbers that depend on the name alone."""
    return Random(name)  # noqa: S311


def layout(scene: Scene) -> Layout:
    """Where everything in a scene lies: a pure function of the scene."""
    dice = seeded(f"layout/{scene.nuisance}")
    size = width, height = dice.choice(CANVASES)
    horizon = round(height * dice.uniform(0.52, 0.64))
    em = min(width, height) * dice.uniform(0.52, 0.64)
    thing = Placed(
        scene.object,
        scene.colour,
        width * dice.uniform(0.36, 0.64),
        height * dice.uniform(0.82, 0.9) - em * extent(scene.object)[1] / 2,
        em,
        dice.uniform(-2.5, 2.5),
    )
    plate = _plate(thing, dice)
    marks, text, deciding = _print(scene.tag, dice)
    clutter = _clutter(scene, dice, size, horizon, thing)
    tag_box = _turned((0, 0, *PLATE), plate)
    return Layout(size, horizon, thing, plate, marks, text, clutter, tag_box, _turned(deciding, plate))


def _plate(thing: Placed, dice: Random) -> tuple[float, float, int, int, float]:
    (across, down), (wide, high) = solid_spot(thing.icon), extent(thing.icon)
    scale = dice.uniform(0.95, 1.08)
    return (
        thing.x + (across - 0.5) * thing.size * wide + dice.uniform(-12, 12),
        thing.y + (down - 0.5) * thing.size * high + dice.uniform(-12, 12),
        round(PLATE[0] * scale),
        round(PLATE[1] * scale),
        dice.uniform(-7, 7),
    )


def _print(
    tag: Tag, dice: Random
) -> tuple[tuple[Placed, ...], tuple[float, float, float] | None, tuple[float, float, float, float]]:
    """What is printed where, in pixels of a plate of `PLATE`'s size; and the box of what decides."""
    columns, rows = GRID[tag.kind]
    shift_x, shift_y = dice.uniform(-6, 6), dice.uniform(-5, 5)
    if tag.kind == "print":
        x, y, em = PLATE[0] / 2 + shift_x * 3, PLATE[1] / 2 + shift_y * 2, MARK * dice.uniform(1.02, 1.14)
        return (), (x, y, em), (x - 3 * em * 0.62, y - em * 0.8, x + 3 * em * 0.62, y + em * 0.8)
    shown = _cells(tag, dice)
    marks = []
    for at, (icon, ink) in enumerate(shown):
        marks.append(
            Placed(
                icon,
                ink,
                PLATE[0] / 2
                + shift_x
                + (at % columns - (columns - 1) / 2) * (32 if columns == 4 else 40)
                + dice.uniform(-4, 4),
                PLATE[1] / 2 + shift_y + (at // columns - (rows - 1) / 2) * 40 + dice.uniform(-4, 4),
                MARK * dice.uniform(0.94, 1.08),
                dice.uniform(-12, 12),
                dice.uniform(0.8, 1.0),
            )
        )
    deciding = marks if tag.kind in ("which", "count") else [mark for mark in marks if mark.icon == tag.subject]
    return tuple(marks), None, _around(deciding)


def _cells(tag: Tag, dice: Random) -> list[tuple[str, str]]:
    """Icon and ink of every cell, row by row. What the answer leaves open is shuffled."""
    match tag.kind:
        case "which":
            return [(tag.value, "black")]
        case "where":
            icons = dice.sample(tag.others, len(tag.others))
            icons.insert(PLACES.index(tag.value), str(tag.subject))
            return [(icon, "black") for icon in icons]
        case "count":
            columns, rows = GRID["count"]
            icons = [str(tag.subject)] * int(tag.value)
            icons += [tag.others[0]] * (columns * rows - len(icons))
            return [(icon, "black") for icon in dice.sample(icons, len(icons))]
        case _:
            inks = [ink for ink in tag.inks if ink != tag.value]
            cells = [(str(tag.subject), tag.value), *zip(tag.others, dice.sample(inks, len(inks)), strict=True)]
            return dice.sample(cells, len(cells))


def _clutter(scene: Scene, dice: Random, size: tuple[int, int], horizon: int, thing: Placed) -> tuple[Placed, ...]:
    width, height = size
    objects = [icon for icon in owned(scene.split)[0] if icon != scene.object]
    shown = []
    for at in range(dice.randint(3, 6)):
        icon, em = dice.choice(objects), dice.uniform(0.13, 0.22) * min(width, height)
        x = (at + dice.uniform(0.2, 0.8)) / 6 * width
        if abs(x - thing.x) < thing.size * 0.3:  # mostly hidden by the object
            x = dice.choice((dice.uniform(0.04, 0.18), dice.uniform(0.82, 0.96))) * width
        y = horizon + dice.uniform(-0.02, 0.16) * height - em * extent(icon)[1] / 2
        shown.append(Placed(icon, dice.choice(tuple(COLOURS)), x, y, em, dice.uniform(-2.5, 2.5)))
    return tuple(sorted(shown, key=lambda one: one.y + one.size * extent(one.icon)[1] / 2))


def _around(marks: Sequence[Placed]) -> tuple[float, float, float, float]:
    half = [mark.size * 0.62 for mark in marks]
    return (
        min(mark.x - reach for mark, reach in zip(marks, half, strict=True)),
        min(mark.y - reach for mark, reach in zip(marks, half, strict=True)),
        max(mark.x + reach for mark, reach in zip(marks, half, strict=True)),
        max(mark.y + reach for mark, reach in zip(marks, half, strict=True)),
    )


def on_picture(x: float, y: float, plate: tuple[float, float, int, int, float]) -> tuple[float, float]:
    """A point of the upright plate of `PLATE`'s size, in pixels of the picture."""
    centre_x, centre_y, wide, high, tilt = plate
    across, down = (x / PLATE[0] - 0.5) * wide, (y / PLATE[1] - 0.5) * high
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    return centre_x + across * cos + down * sin, centre_y - across * sin + down * cos


def _turned(box: tuple[float, float, float, float], plate: tuple[float, float, int, int, float]) -> Box:
    x0, y0, x1, y1 = box
    corners = [on_picture(x, y, plate) for x in (x0, x1) for y in (y0, y1)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys))

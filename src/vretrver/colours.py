"""Colours by name and by picture: which colours a text names, what colours a picture's subject has.

Pure NumPy on an open picture. A picture and a colour name become the same kind of 64-number descriptor, so
that "the same in gray" and a photo can be compared by one dot product. It leaves out what only a trained
model could do: it does not find the subject, it only removes an even background that touches the border.

Colours are compared in CIELAB (D65).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vretrver.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

DIM = 64
_SIDE = 40  # a picture is judged on 40 x 40 pixels: 2 ms
_SOFTNESS = 11.0  # standard deviation, in CIELAB units, with which a colour spreads over the anchors
_SHADE_DISTANCE = 21.0  # CIELAB units within which a pixel has a shade such as navy
_BACKGROUND_DISTANCE = 9.0  # CIELAB units around the border's median colour that still count as background
_EVEN_BORDER = 0.6  # share of border pixels that must agree before a background is removed
_LEAST_FOREGROUND = 0.04

# The eleven basic colour terms (Berlin and Kay 1969), each with the range of sRGB that people call so.
BASIC = {
    "black": ("000000", "161616", "202024", "2b2b2b"),
    "white": ("ffffff", "f4f4f4", "ebebe6", "f8f4ea"),
    "gray": ("3f4246", "5c5c5c", "808080", "9c9fa3", "b9b9bb", "d0d0d2"),
    "red": ("ff0000", "d01c1f", "a81418", "7d1015", "e0443c"),
    "orange": ("ff8000", "f26a1b", "e57a10", "ffa040", "d65a14"),
    "yellow": ("ffff00", "ffe119", "f2d21b", "e6c84b", "fff27a"),
    "green": ("00a000", "2e8b3d", "1f5c2d", "6fae3c", "8cd07a", "54704a", "9bbf30"),
    "blue": ("0000ff", "1f4fb0", "1b2f66", "3d7fd0", "86b8e8", "2c5f86", "39a0c8"),
    "purple": ("800080", "6a2f8a", "4b2a63", "9a64b8", "b89ad6", "70204f"),
    "pink": ("ff69b4", "ffb6c8", "f0508c", "e88aa6", "ff8fa8"),
    "brown": ("6b3e1d", "4a2c17", "8a5a2c", "a9805a", "5e4636"),
}
# Shades that are named on their own.
SHADES = {
    "navy": ("14213d", "1b2f66", "000080"),
    "teal": ("008080", "1f6f78"),
    "turquoise": ("40e0d0", "30b5ad"),
    "cyan": ("00ffff", "30c8d8"),
    "sky blue": ("87ceeb", "6fb7e0"),
    "maroon": ("800000", "5e1420"),
    "burgundy": ("800020", "5a1228"),
    "crimson": ("dc143c", "a8112e"),
    "magenta": ("ff00ff", "c8209c"),
    "violet": ("7f3fbf", "8f5fd0"),
    "lavender": ("c9b8e8", "b8a6d9"),
    "lilac": ("c8a2c8", "b58cc0"),
    "indigo": ("3f2a8c", "2e2a6b"),
    "olive": ("808000", "5f6330"),
    "khaki": ("b3a37a", "c3b091", "8f8560"),
    "lime": ("a6e22e", "bfff00"),
    "mint": ("aaf0d1", "9bd8b8"),
    "beige": ("e3d5b8", "d8c8a8", "f0e6d2"),
    "cream": ("fff5d6", "f3e9cf"),
    "tan": ("d2b48c", "bf9a6c"),
    "gold": ("d4af37", "c8962a", "e8c860"),
    "silver": ("c0c0c0", "a8abb0"),
    "charcoal": ("36393d", "2a2d31"),
    "coral": ("ff7f50", "f0705c"),
    "salmon": ("fa8072", "f29a86"),
    "peach": ("ffcba4", "f5b48a"),
    "rose": ("e8507a", "d83a68"),
}
_SYNONYMS = {"grey": "gray", "golden": "gold", "navy blue": "navy", "light blue": "sky blue", "scarlet": "crimson"}
_WORDS = {**{name: name for name in (*BASIC, *SHADES)}, **_SYNONYMS}
_PATTERN = re.compile(r"\b(" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")(?:ish)?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedColour:
    """A colour that a text names: `name` is the canonical one (`gray` for `grey`), `start`:`end` where it stands."""

    name: str
    start: int
    end: int


def named_colours(text: str) -> list[NamedColour]:
    """The colours a text names, in its order; `navy blue` is one colour, `grey` comes out as `gray`."""
    return [NamedColour(_WORDS[match[1].lower()], match.start(), match.end()) for match in _PATTERN.finditer(text)]


def describe_text(text: str) -> NDArray[np.float32]:
    """Descriptor of the colours that `text` names: shape (64,), unit length, or zeros if it names none."""
    names = sorted({colour.name for colour in named_colours(text)})
    if not names:
        return np.zeros(DIM, np.float32)
    return _unit(np.sqrt(np.mean([_name_histogram(name) for name in names], axis=0)))


def describe_picture(picture: PILImage) -> NDArray[np.float32]:
    """Descriptor of the colours of a picture's foreground: shape (64,), unit length, no number negative.

    The square root of a soft histogram over 64 anchor colours, so that a dot product is the Bhattacharyya
    coefficient: 1 for equal colours in equal shares, about 0 for nothing in common.
    """
    lab, weights = _foreground(picture)
    return _unit(np.sqrt(weights @ _memberships(lab)))


def similarity(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Bhattacharyya coefficient of two descriptors, 0..1; 0 where one of them names no colour."""
    return float(first @ second)


def colour_share(picture: PILImage, name: str) -> float:
    """How much of the picture's foreground has the named colour, 0..1.

    For the eleven basic terms a pixel has the colour whose range is nearest; for a shade (`navy`) the pixel has to
    be near the shade itself.

    Raises:
        InvalidInput: the name is no known colour.
    """
    canonical = _WORDS.get(name.strip().lower())
    if canonical is None:
        raise InvalidInput(f"unknown colour {name!r}; choose from {', '.join(sorted(_WORDS))}")
    lab, weights = _foreground(picture)
    if canonical in BASIC:
        names = list(BASIC)
        distances = np.stack([_distance(lab, _exemplars(other)).min(1) for other in names], axis=1)
        member = (distances.argmin(1) == names.index(canonical)).astype(np.float32)
    else:
        member = (_distance(lab, _exemplars(canonical)).min(1) < _SHADE_DISTANCE).astype(np.float32)
    return float(weights @ member)


def settings() -> bytes:
    """What a descriptor depends on besides the picture, for fingerprints."""
    numbers = (
        _SIDE,
        _SOFTNESS,
        _SHADE_DISTANCE,
        _BACKGROUND_DISTANCE,
        _EVEN_BORDER,
        _LEAST_FOREGROUND,
        BASIC,
        SHADES,
    )
    return repr((numbers, sorted(_WORDS.items()))).encode()


def _foreground(picture: PILImage) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """CIELAB pixels, shape (P, 3), and their weights, shape (P,), summing to 1."""
    small = picture.convert("RGB").resize((_SIDE, _SIDE), resample=4, reducing_gap=2.0)  # 4: Pillow's BOX filter
    lab = _lab(np.asarray(small, np.uint8).reshape(-1, 3))
    weights = _centre().copy()
    background = _background(lab)
    if background is not None and (1 - background).mean() >= _LEAST_FOREGROUND:
        weights *= 1 - background
    return lab, (weights / weights.sum()).astype(np.float32)


def _background(lab: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """1 where an even background reaches in from the border, shape (P,); None if the border is not even."""
    grid = lab.reshape(_SIDE, _SIDE, 3)
    border = np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]])
    median = np.median(border, axis=0)
    if (np.linalg.norm(border - median, axis=1) < _BACKGROUND_DISTANCE).mean() < _EVEN_BORDER:
        return None
    alike: NDArray[np.bool_] = np.linalg.norm(grid - median, axis=2) < _BACKGROUND_DISTANCE
    reached = alike.copy()
    reached[1:-1, 1:-1] = False
    while True:  # grow from the border: a white shirt inside its outline stays foreground
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= alike
        if np.array_equal(grown, reached):
            return np.asarray(reached, np.float32).ravel()
        reached = grown


@cache
def _centre() -> NDArray[np.float32]:
    """Weights that trust the middle of a picture more than its rim."""
    axis = np.linspace(-1, 1, _SIDE)
    squared = axis[:, None] ** 2 + axis[None, :] ** 2
    return np.asarray(np.exp(-squared / (2 * 0.6**2)), np.float32).ravel()


def _memberships(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each colour belongs to each anchor: shape (P, 64), rows sum to 1."""
    logits = -0.5 * (_distance(lab, _anchors()) / _SOFTNESS) ** 2
    logits -= logits.max(1, keepdims=True)
    shares = np.exp(logits)
    return np.asarray(shares / shares.sum(1, keepdims=True), np.float32)


@cache
def _name_histogram(name: str) -> NDArray[np.float32]:
    return np.asarray(_memberships(_exemplars(name)).mean(0), np.float32)


@cache
def _exemplars(name: str) -> NDArray[np.float32]:
    codes = BASIC.get(name) or SHADES[name]
    return _lab(np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes], np.uint8))


@cache
def _anchors() -> NDArray[np.float32]:
    """64 colours spread evenly over what a screen can show: farthest-point sampling of a 9 x 9 x 9 RGB grid."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = _lab(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3))
    chosen = [0]
    nearest = _distance(grid, grid[:1])[:, 0]
    while len(chosen) < DIM:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distance(grid, grid[chosen[-1:]])[:, 0])
    return grid[chosen]


def _distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances in CIELAB (CIE 1976): shape (len(first), len(second))."""
    squared = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


def _lab(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """8-bit sRGB, shape (P, 3), to CIELAB under D65 (IEC 61966-2-1, CIE 15)."""
    rgb = pixels / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return np.asarray(np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1), np.float32)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)

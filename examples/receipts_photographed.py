"""Flat papers to what a scanner or a phone makes of them; the places of printed details go along.

Five ways: `scan` (a little askew), `photo` (on a table, in perspective, half in shadow), `faded` (a photo of thermal
print that has gone pale, not quite in focus), `far` (the paper is a quarter of the picture's width), `sideways` (lying
on its side: the reader knows upside down, not this).
"""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageChops, ImageFilter
from receipts_drawn import Sheet

Box = tuple[int, int, int, int]
WAYS = {"scan": 14, "photo": 14, "faded": 5, "far": 4, "sideways": 3}  # of 40
TABLES = ((126, 92, 64), (88, 84, 82), (168, 148, 120), (60, 66, 74))


def ways(count: int, seed: int = 5) -> list[str]:
    """How each of `count` papers is taken, in the proportions of `WAYS`."""
    deck = [way for way, many in WAYS.items() for _ in range(many)]
    random.Random(seed).shuffle(deck)
    return [deck[at % len(deck)] for at in range(count)]


def taken(sheet: Sheet, way: str, seed: int) -> tuple[Image.Image, dict[str, Box]]:
    """The picture, and the box around each printed detail in its pixels."""
    chance = random.Random(seed)
    noise = np.random.default_rng(seed)
    paper = sheet.picture
    if way == "faded":
        paper = Image.blend(paper, Image.new("RGB", paper.size, "#e9e6df"), 0.72)
    if way == "scan":
        size = paper.size
        corners = _turned(size, size, chance.uniform(-1.4, 1.4), 1.0, chance=chance, tilt=0)
        ground = Image.new("RGB", size, "#f1f1ef")
    else:
        share = {"far": 0.24}.get(way, 0.8)
        size = (1500, 2000)
        angle = chance.uniform(-9, 9) + (chance.choice((-90, 90)) if way == "sideways" else 0)
        corners = _turned(paper.size, size, angle, share, chance=chance, tilt=0.04)
        ground = _table(size, chance, noise)
    picture = _laid(paper, ground, corners, shadow=way != "scan")
    if way != "scan":
        picture = _lit(picture, chance)
    if way == "faded":
        picture = picture.filter(ImageFilter.GaussianBlur(1.6))
    picture = _noisy(picture, {"scan": 2.5}.get(way, 6.0), noise)
    onto = _homography(_corners_of(paper.size), corners)
    return picture, {name: _moved(box, onto, picture.size) for name, box in sheet.boxes.items()}


def _turned(
    paper: tuple[int, int], size: tuple[int, int], angle: float, share: float, *, chance: random.Random, tilt: float
) -> np.ndarray:
    """Where a paper's corners come to lie: turned, made to fill `share` of the picture, and a little out of true."""
    turn = np.radians(angle)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    spread = (_corners_of(paper) - np.array(paper) / 2) @ spin.T
    extent = spread.max(0) - spread.min(0)
    scale = min(share * np.array(size) / extent) if share < 1 else 1.0
    spread = spread * min(scale, 1.6)
    room = np.array(size) * (1 - share) / 3
    centre = np.array(size) / 2 + np.array([chance.uniform(-1, 1), chance.uniform(-1, 1)]) * room
    loose = np.array([[chance.uniform(-tilt, tilt) for _ in range(2)] for _ in range(4)]) * spread.max()
    return spread + loose + centre


def _corners_of(size: tuple[int, int]) -> np.ndarray:
    width, height = size
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], float)


def _homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 3x3 matrix that takes four points to four others (Hartley and Zisserman, 2004, 4.1)."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)


def _moved(box: tuple[float, float, float, float], onto: np.ndarray, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = box
    points = np.array([(x0, y0, 1), (x1, y0, 1), (x1, y1, 1), (x0, y1, 1)]) @ onto.T
    flat = points[:, :2] / points[:, 2:]
    (left, top), (right, bottom) = flat.min(0), flat.max(0)
    return max(0, int(left)), max(0, int(top)), min(size[0], int(right) + 1), min(size[1], int(bottom) + 1)


def _laid(paper: Image.Image, ground: Image.Image, corners: np.ndarray, shadow: bool) -> Image.Image:
    back = _homography(corners, _corners_of(paper.size)).ravel()[:8].tolist()
    how = (ground.size, Image.Transform.PERSPECTIVE, back, Image.Resampling.BICUBIC)
    sheet, mask = paper.transform(*how), Image.new("L", paper.size, 255).transform(*how)
    if shadow:
        dark = ImageChops.offset(mask, 14, 20).filter(ImageFilter.GaussianBlur(18)).point(lambda value: value * 0.5)
        ground = Image.composite(Image.new("RGB", ground.size, "#14110e"), ground, dark)
    return Image.composite(sheet, ground, mask)


def _table(size: tuple[int, int], chance: random.Random, noise: np.random.Generator) -> Image.Image:
    """A table top: a colour with grain along it."""
    grain = noise.normal(0, 9, (size[1] // 4, 12)).cumsum(1)
    grain = (grain - grain.mean()) / grain.std() * 7
    stripes = np.asarray(Image.fromarray(grain.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    colour = np.array(chance.choice(TABLES), np.float32)
    return Image.fromarray(np.clip(colour + stripes[:, :, None], 0, 255).astype(np.uint8))


def _lit(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Warm light from one side, and the edge of a shadow across the picture."""
    width, height = picture.size
    turn = chance.uniform(0, 2 * np.pi)
    x = np.linspace(-0.5, 0.5, width // 8, dtype=np.float32) * np.float32(np.cos(turn))
    y = np.linspace(-0.5, 0.5, height // 8, dtype=np.float32) * np.float32(np.sin(turn))
    along = x[None, :] + y[:, None]
    edge = 1 / (1 + np.exp(-(along - chance.uniform(-0.15, 0.15)) * 28))
    light = (0.86 + 0.28 * along) * (1 - chance.uniform(0.25, 0.45) * edge)
    warm = np.array([1.0, 0.965, 0.90], np.float32)
    shade = Image.fromarray(np.clip(light[:, :, None] * warm * 255, 0, 255).astype(np.uint8))
    return ImageChops.multiply(picture, shade.resize(picture.size, Image.Resampling.BILINEAR))


def _noisy(picture: Image.Image, sigma: float, noise: np.random.Generator) -> Image.Image:
    grey = noise.standard_normal(picture.size[::-1], dtype=np.float32)
    speckle = Image.fromarray(np.clip(128 + sigma * grey, 0, 255).astype(np.uint8)).convert("RGB")
    return ImageChops.add(picture, speckle, offset=-128)

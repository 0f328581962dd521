"""How hard the small-detail world is: one oracle on pictures shrunk to a thumbnail's size, and on the originals.

    python runs/world_oracles.py --split test --topics 500

The oracle has no eyes to train and nothing to guess but the detail. It is told the query's answer and, of every
candidate, the exact pose of the tag and the place, size and tilt of each mark; only what the marks are, their ink's
strength and the paper's mottling are hidden. It draws each alternative at that very place, shrinks it as the picture
was shrunk, and compares the two by normalised correlation around every mark. So it is a strong bound for matched
comparison by eyes that know the grammar of tags, though not for every conceivable learner. Pictures pass through the
world's own JPEG first, and are shrunk as one should, with an antialiasing filter. Nothing is written but the table.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vretrver.world.drawing import draw, hang, plate
from vretrver.world.files import JPEG_QUALITY
from vretrver.world.groups import Group, group
from vretrver.world.scenes import INKS, KINDS, PLACES, Layout, Placed, Scene, Tag, layout, on_picture

SIZES = (56, 112, 224, 336, 448, 640, 0)  # pixels of the longer side; 0: the original
SHARPNESS = 50.0  # correlation to log-likelihood
MARGIN = 170  # of the original around the tag that a 56-pixel thumbnail of it depends on
REACH = 13  # pixels of the original around a mark's centre that are compared
Pixels = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test")
    parser.add_argument("--topics", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--distractors", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="pixels of the longer side; 0: the original")
    arguments = parser.parse_args()
    sizes = [int(side) for side in arguments.sizes.split(",")]
    right: dict[tuple[str, int], list[bool]] = defaultdict(list)
    chance: dict[str, list[float]] = defaultdict(list)
    started = time.perf_counter()
    kinds = arguments.kinds.split(",")
    for index in tqdm(range(arguments.topics), unit="topic", mininterval=10):
        one = group(arguments.seed, arguments.split, index, arguments.distractors, kinds=kinds)
        for side, hit in judged(one, sizes).items():
            for name in (one.kind, one.modality, "all"):
                right[name, side].append(hit)
        for name in (one.kind, one.modality, "all"):
            chance[name].append(1 / len(one.candidates))
    print(table(right, chance, sizes))
    print(f"\n{arguments.topics} topics of {arguments.split}, {time.perf_counter() - started:.0f} s")


def judged(one: Group, sizes: Sequence[int] = SIZES) -> dict[int, bool]:
    """Whether the oracle puts the right candidate first, by the size it saw."""
    scenes = [scene for scene in one.candidates if isinstance(scene, Scene)]
    if one.modality == "i->t" and one.picture is not None:
        scenes = [one.picture]
    hits = {}
    alternatives = sorted(set(one.values))
    pictures = [(scene.tag, Drawings(layout(scene)), as_file(scene)) for scene in scenes]
    for side in sizes:
        beliefs = [belief(Seen(picture, drawings, side), tag, alternatives) for tag, drawings, picture in pictures]
        if one.modality == "i->t":
            scores = [beliefs[0][alternatives.index(value)] for value in one.values]
        else:
            scores = [one_belief[alternatives.index(one.values[one.answer])] for one_belief in beliefs]
        hits[side] = int(np.argmax(scores)) == one.answer
    return hits


def belief(seen: Seen, tag: Tag, alternatives: list[str]) -> Pixels:
    """Log-probability of each alternative for a picture. Uses of `tag` only what all alternatives share."""
    if tag.kind == "print":
        scores = np.array([seen.match(seen.template(replace(tag, value=value)), None) for value in alternatives])
        return log_softmax(SHARPNESS * scores)
    if tag.kind == "which":
        return log_softmax(SHARPNESS * seen.shapes(alternatives)[0])
    icons = [str(tag.subject), *tag.others]
    likely = log_softmax(SHARPNESS * seen.shapes(icons))  # (cells, icons): which icon a cell holds
    subject = likely[:, 0]
    if tag.kind == "where":
        return log_softmax(np.array([subject[PLACES.index(value)] for value in alternatives]))
    if tag.kind == "count":
        chances = counts(np.exp(subject))
        return log_softmax(np.log(np.array([chances[int(value)] for value in alternatives]) + 1e-300))
    inks = log_softmax(-40 * seen.ink_distances(icons, likely))  # (cells, inks)
    joint = np.exp(subject[:, None] + inks).sum(0)
    return log_softmax(np.log(np.array([joint[list(INKS).index(value)] for value in alternatives]) + 1e-300))


class Drawings:
    """The tag with other marks or another print on plain paper, in an otherwise empty picture; each drawn once.

    Only a region around the tag is kept, as far as a thumbnail's pixels and their filter reach.
    """

    def __init__(self, lay: Layout) -> None:
        self.lay = lay
        x0, y0, x1, y1 = lay.tag_box
        self.left, self.top = (x0 - MARGIN) // 2 * 2, (y0 - MARGIN) // 2 * 2
        self.region = (self.left, self.top, x1 + MARGIN, y1 + MARGIN)
        self.box = (x0 - self.left, y0 - self.top, x1 - self.left, y1 - self.top)
        centre_x, centre_y, wide, high, tilt = lay.plate
        self.moved = replace(lay, plate=(centre_x - self.left, centre_y - self.top, wide, high, tilt))
        self.drawn: dict[tuple[Tag, tuple[Placed, ...]], Image.Image] = {}

    def with_marks(self, tag: Tag, marks: tuple[Placed, ...]) -> Image.Image:
        if (tag, marks) not in self.drawn:
            size = (self.region[2] - self.region[0], self.region[3] - self.region[1])
            canvas = Image.new("RGB", size, (128, 128, 128))
            hang(canvas, plate(tag, replace(self.lay, marks=marks), nuisance=None), self.moved)
            self.drawn[tag, marks] = canvas
        return self.drawn[tag, marks]


class Seen:
    """A tag as it is seen at one size, enlarged back, beside drawings of alternatives that went the same way."""

    def __init__(self, picture: Image.Image, drawings: Drawings, side: int) -> None:
        self.drawings, self.side = drawings, side
        lay = drawings.lay
        self.pixels = self.look(picture.crop(drawings.region))
        x0, y0, *_ = lay.tag_box
        self.centres = [(x - x0, y - y0) for x, y in (on_picture(mark.x, mark.y, lay.plate) for mark in lay.marks)]

    def look(self, region: Image.Image) -> Pixels:
        """The tag's box, shrunk with the picture and enlarged to its first size: (height, width, 3)."""
        box = self.drawings.box
        if not self.side:
            return np.asarray(region.crop(box), np.float64)
        lay = self.drawings.lay
        step = max(lay.size) / self.side
        # The thumbnail's own pixels, not pixels counted from the tag: where an edge falls decides what is left of it.
        x0, y0 = (int(edge / step) - 3 for edge in lay.tag_box[:2])
        x1, y1 = (int(edge / step) + 4 for edge in lay.tag_box[2:])
        corner = (x0 * step - self.drawings.left, y0 * step - self.drawings.top)
        part = (*corner, corner[0] + (x1 - x0) * step, corner[1] + (y1 - y0) * step)
        small = region.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS, box=part)
        left, top = (box[0] - corner[0]) / step, (box[1] - corner[1]) / step
        size = (box[2] - box[0], box[3] - box[1])
        inside = (left, top, left + size[0] / step, top + size[1] / step)
        return np.asarray(small.resize(size, Image.Resampling.BICUBIC, box=inside), np.float64)

    def template(self, tag: Tag, marks: tuple[Placed, ...] = ()) -> Pixels:
        """The tag with these marks on plain paper, at its place, seen the same way."""
        return self.look(self.drawings.with_marks(tag, marks))

    def shapes(self, icons: list[str]) -> Pixels:
        """Correlation of each cell (rows) with each icon (columns)."""
        tag = Tag("which", icons[0])
        scores = []
        for icon in icons:
            marks = tuple(replace(mark, icon=icon, colour="black", strength=0.9) for mark in self.drawings.lay.marks)
            drawn = self.template(tag, marks)
            scores.append([self.match(drawn, centre) for centre in self.centres])
        return np.array(scores).T

    def ink_distances(self, icons: list[str], likely: Pixels) -> Pixels:
        """How far each cell's tint (rows) is from what each ink (columns) would give there: 0 the same, 4 opposite."""
        found = []
        seen = self.tints(self.pixels)
        for ink in INKS:
            marks = tuple(
                replace(mark, icon=icons[int(row.argmax())], colour=ink, strength=0.9)
                for mark, row in zip(self.drawings.lay.marks, likely, strict=True)
            )
            found.append(seen - self.tints(self.template(Tag("which", icons[0]), marks)))
        return np.asarray((np.array(found) ** 2).sum(2).T)

    def tints(self, pixels: Pixels) -> Pixels:
        """In which direction of RGB each cell leaves the paper: (cells, 3). How far depends on the ink's strength."""
        paper = np.median(pixels.reshape(-1, 3), axis=0)
        means = np.array([self.window(pixels, centre).reshape(-1, 3).mean(0) for centre in self.centres]) - paper
        return np.asarray(means / (np.linalg.norm(means, axis=1, keepdims=True) + 1e-9))

    def window(self, pixels: Pixels, centre: tuple[float, float] | None) -> Pixels:
        if centre is None:
            height, width, _ = pixels.shape
            return pixels[height // 5 : -height // 5, width // 6 : -width // 6]
        x, y = round(centre[0]), round(centre[1])
        return pixels[max(0, y - REACH) : y + REACH + 1, max(0, x - REACH) : x + REACH + 1]

    def match(self, drawn: Pixels, centre: tuple[float, float] | None) -> float:
        """Normalised correlation of brightness, -1 to 1."""
        one, other = (self.window(pixels, centre).mean(2).ravel() for pixels in (self.pixels, drawn))
        one, other = one - one.mean(), other - other.mean()
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-9))


def counts(shares: Pixels) -> Pixels:
    """Poisson-binomial: how likely each number of cells, 0 to all, is."""
    chances = np.array([1.0])
    for share in shares:
        chances = np.convolve(chances, [1 - share, share])
    return chances


def log_softmax(scores: Pixels) -> Pixels:
    shifted = scores - scores.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def as_file(scene: Scene) -> Image.Image:
    buffer = io.BytesIO()
    draw(scene).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return Image.open(buffer).convert("RGB")


def table(right: dict[tuple[str, int], list[bool]], chance: dict[str, list[float]], sizes: Sequence[int]) -> str:
    """hit@1 with a 95 % bootstrap interval over topics, by kind and by modality."""
    random = np.random.RandomState(0)
    lines = ["| | topics | chance | " + " | ".join(f"{side} px" if side else "original" for side in sizes) + " |"]
    lines.append("|---|---:|---:|" + "---|" * len(sizes))
    for name, shares in chance.items():
        cells = []
        for side in sizes:
            hits = np.array(right[name, side], float)
            means = hits[random.randint(0, len(hits), (10_000, len(hits)))].mean(1)
            low, high = np.quantile(means, [0.025, 0.975])
            cells.append(f"{hits.mean():.3f} [{low:.2f}, {high:.2f}]")
        lines.append(f"| {name} | {len(shares)} | {np.mean(shares):.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

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
SHARPNESS = 12.0  # correlation to log-likelihood
REACH = 13  # pixels of the original around a mark's centre that are compared
Pixels = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test")
    parser.add_argument("--topics", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--distractors", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(KINDS))
    arguments = parser.parse_args()
    right: dict[tuple[str, int], list[bool]] = defaultdict(list)
    chance: dict[str, list[float]] = defaultdict(list)
    started = time.perf_counter()
    kinds = arguments.kinds.split(",")
    for index in tqdm(range(arguments.topics), unit="topic", mininterval=10):
        one = group(arguments.seed, arguments.split, index, arguments.distractors, kinds=kinds)
        for side, hit in judged(one).items():
            for name in (one.kind, one.modality, "all"):
                right[name, side].append(hit)
        for name in (one.kind, one.modality, "all"):
            chance[name].append(1 / len(one.candidates))
    print(table(right, chance))
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
        return log_softmax(SHARPNESS * 2 * scores)
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
    inks = log_softmax(-seen.ink_distances(icons, likely) / 60)  # (cells, inks)
    joint = np.exp(subject[:, None] + inks).sum(0)
    return log_softmax(np.log(np.array([joint[list(INKS).index(value)] for value in alternatives]) + 1e-300))


class Drawings:
    """The tag with other marks or another print on plain paper, at its place in an empty picture; each drawn once."""

    def __init__(self, lay: Layout) -> None:
        self.lay = lay
        self.drawn: dict[tuple[Tag, tuple[Placed, ...]], Image.Image] = {}

    def with_marks(self, tag: Tag, marks: tuple[Placed, ...]) -> Image.Image:
        if (tag, marks) not in self.drawn:
            canvas = Image.new("RGB", self.lay.size, (128, 128, 128))
            hang(canvas, plate(tag, replace(self.lay, marks=marks), nuisance=None), self.lay)
            self.drawn[tag, marks] = canvas
        return self.drawn[tag, marks]


class Seen:
    """A tag as it is seen at one size, enlarged back, beside drawings of alternatives that went the same way."""

    def __init__(self, picture: Image.Image, drawings: Drawings, side: int) -> None:
        self.drawings, self.lay, self.side = drawings, drawings.lay, side
        lay = self.lay
        self.pixels = self.look(picture)
        x0, y0, *_ = lay.tag_box
        self.centres = [(x - x0, y - y0) for x, y in (on_picture(mark.x, mark.y, lay.plate) for mark in lay.marks)]

    def look(self, picture: Image.Image) -> Pixels:
        """The tag's box, shrunk with the picture and enlarged to its first size: (height, width, 3)."""
        box = self.lay.tag_box
        if self.side:
            step = max(picture.size) / self.side
            x0, y0 = int(box[0] / step) - 3, int(box[1] / step) - 3
            x1, y1 = int(box[2] / step) + 4, int(box[3] / step) + 4
            part = (x0 * step, y0 * step, min(x1 * step, picture.width), min(y1 * step, picture.height))
            small = picture.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS, box=part)
            inside = tuple(edge / step - (x0 if at % 2 == 0 else y0) for at, edge in enumerate(box))
            shown = small.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BICUBIC, box=inside)  # type: ignore[arg-type]
        else:
            shown = picture.crop(box)
        return np.asarray(shown, np.float64)

    def template(self, tag: Tag, marks: tuple[Placed, ...] = ()) -> Pixels:
        """The tag with these marks on plain paper, at its place, seen the same way."""
        return self.look(self.drawings.with_marks(tag, marks))

    def shapes(self, icons: list[str]) -> Pixels:
        """Correlation of each cell (rows) with each icon (columns)."""
        tag = Tag("which", icons[0])
        scores = []
        for icon in icons:
            marks = tuple(replace(mark, icon=icon, colour="black", strength=0.9) for mark in self.lay.marks)
            drawn = self.template(tag, marks)
            scores.append([self.match(drawn, centre) for centre in self.centres])
        return np.array(scores).T

    def ink_distances(self, icons: list[str], likely: Pixels) -> Pixels:
        """Squared distance of each cell's mean colour (rows) from what each ink (columns) would give there."""
        found = []
        for ink in INKS:
            marks = tuple(
                replace(mark, icon=icons[int(row.argmax())], colour=ink, strength=0.9)
                for mark, row in zip(self.lay.marks, likely, strict=True)
            )
            drawn = self.template(Tag("which", icons[0]), marks)
            found.append([self.chroma(self.pixels, centre) - self.chroma(drawn, centre) for centre in self.centres])
        differences = np.array(found)  # (inks, cells, 2)
        return np.asarray((differences**2).sum(2).T)

    def chroma(self, pixels: Pixels, centre: tuple[float, float]) -> Pixels:
        red, green, blue = self.window(pixels, centre).reshape(-1, 3).mean(0)
        paper = (
            np.median(self.pixels.reshape(-1, 3), axis=0)
            if pixels is self.pixels
            else np.median(pixels.reshape(-1, 3), axis=0)
        )
        red, green, blue = red - paper[0], green - paper[1], blue - paper[2]
        return np.array([red - green, (red + green) / 2 - blue])

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


def table(right: dict[tuple[str, int], list[bool]], chance: dict[str, list[float]]) -> str:
    """hit@1 with a 95 % bootstrap interval over topics, by kind and by modality."""
    random = np.random.RandomState(0)
    lines = ["| | topics | chance | " + " | ".join(f"{side} px" if side else "original" for side in SIZES) + " |"]
    lines.append("|---|---:|---:|" + "---|" * len(SIZES))
    for name, shares in chance.items():
        cells = []
        for side in SIZES:
            hits = np.array(right[name, side], float)
            means = hits[random.randint(0, len(hits), (10_000, len(hits)))].mean(1)
            low, high = np.quantile(means, [0.025, 0.975])
            cells.append(f"{hits.mean():.3f} [{low:.2f}, {high:.2f}]")
        lines.append(f"| {name} | {len(shares)} | {np.mean(shares):.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

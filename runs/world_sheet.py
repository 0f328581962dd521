"""The picture in docs/world.md: one group of each kind of detail, scenes as thumbnails and their tags enlarged.

python runs/world_sheet.py -o docs/world.jpg
"""

from __future__ import annotations

import argparse
import io
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vretrver.world import KINDS, Group, Scene, draw, group, layout
from vretrver.world.files import JPEG_QUALITY

TILE, TAG, TEXT, GAP = 200, 140, 34, 10
RIGHT, PLAIN, INK = (34, 139, 74), (205, 205, 205), (30, 30, 34)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--split", default="train")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [row(group(arguments.seed, arguments.split, index)) for index in range(len(KINDS))]
    sheet = Image.new("RGB", (rows[0].width, sum(one.height for one in rows)), "white")
    for at, one in enumerate(rows):
        sheet.paste(one, (0, at * one.height))
    sheet.save(arguments.output, "JPEG", quality=68, optimize=True)
    print(f"{arguments.output}: {sheet.width}x{sheet.height}, {arguments.output.stat().st_size // 1000} KB")


def row(of: Group) -> Image.Image:
    """A group's question, its four scenes as a window shows them, and below each its tag; the right one framed."""
    picture = Image.new("RGB", (4 * (TILE + GAP) + GAP, TEXT + TILE + TAG + 2 * GAP), "white")
    pen = ImageDraw.Draw(picture)
    words = "\n".join(textwrap.wrap(f"{of.kind}: {of.text}", 140))
    pen.text((GAP, 8), words, font=ImageFont.load_default(13), fill=INK)
    for at, scene in enumerate(of.candidates):
        assert isinstance(scene, Scene)
        buffer = io.BytesIO()
        draw(scene).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        original = Image.open(buffer).convert("RGB")
        x, y = GAP + at * (TILE + GAP), TEXT
        frame = RIGHT if at == of.answer else PLAIN
        pen.rectangle((x - 4, y - 4, x + TILE + 3, y + TILE + TAG + 3), fill=frame)
        side = min(original.size)  # a square around the tag, so that tiles are alike
        left, top = (min(max(0, (edge0 + edge1 - side) // 2), long - side) for edge0, edge1, long in corners(scene))
        small = original.crop((left, top, left + side, top + side)).resize((TILE, TILE), Image.Resampling.LANCZOS)
        picture.paste(small, (x, y))
        enlarged = original.crop(layout(scene).tag_box).resize((TILE, TAG), Image.Resampling.BICUBIC)
        picture.paste(enlarged, (x, y + TILE))
    return picture


def corners(scene: Scene) -> list[tuple[int, int, int]]:
    """Across and down: where the tag begins and ends, and how long the picture is."""
    shown = layout(scene)
    x0, y0, x1, y1 = shown.tag_box
    return [(x0, x1, shown.size[0]), (y0, y1, shown.size[1])]


if __name__ == "__main__":
    main()

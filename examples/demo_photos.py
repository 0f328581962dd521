"""The demo's collection: photographs that packages deliver, and shop shelves composed of them.

scikit-image's wheel brings some twenty photographs; the npm package @vendure/create brings 54 product photographs
with names, descriptions and prices. Both are read as files; no code of the npm package runs. Shelves are made here:
many products in one large picture, each over a small price tag, so that what decides a query is small. The page
that the demo writes says so. Without npm the demo goes on with what there is.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

PACKAGE = "@vendure/create@3.7.3"
INTEGRITY = "sha512-8gqMan5X8rBgwXBPd2kco7GDJ70iHmXIlhfDbeS05D7JgsaC7Sc+dsUptQnpg33aPocT92Ejq3ZD5TKGKdzGRw=="
MAX_MEMBER = 4 * 2**20

CAPTIONS = {
    "astronaut.png": "An astronaut in an orange suit, smiling, with a flag behind her",
    "brick.png": "A wall of bricks, black and white",
    "camera.png": "A man with a camera on a tripod, black and white",
    "chelsea.png": "A tabby cat looking up",
    "clock_motion.png": "A wall clock, blurred by motion",
    "coffee.png": "A cup of espresso on a saucer with a spoon, on a wooden table",
    "coins.png": "Greek coins from Pompeii on a dark ground",
    "grass.png": "Blades of grass, black and white",
    "gravel.png": "Gravel from above, black and white",
    "hubble_deep_field.jpg": "Distant galaxies, the Hubble eXtreme Deep Field",
    "ihc.png": "Stained tissue under a microscope, blue and brown",
    "moon.png": "The surface of the Moon with craters",
    "motorcycle_left.png": "A red motorcycle in a garage",
    "page.png": "A scanned page of a book, unevenly lit",
    "retina.jpg": "The retina of an eye with its blood vessels",
    "rocket.jpg": "A rocket on its launch pad at night, lit by floodlights",
    "text.png": "Handwritten words on a sheet, black and white",
}


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture of the collection, as a line of the listing says it."""

    id: str
    path: Path
    text: str | None
    metadata: dict[str, Any]


def packaged_photos(folder: Path) -> list[Photo]:
    """scikit-image's photographs, copied out of its wheel. Pictures that it would download are not asked for."""
    try:
        source = files("skimage").joinpath("data")
    except ModuleNotFoundError:
        return []
    photos = []
    for name, text in CAPTIONS.items():
        file = source.joinpath(name)
        if file.is_file():
            target = kept(folder / name, file.read_bytes())
            photos.append(Photo(target.stem, target, text, {"kind": "photo", "source": "scikit-image"}))
    return photos


def product_photos(folder: Path, cache: Path) -> list[Photo]:
    """The npm package's product photographs with name, description and price.

    Raises:
        RuntimeError: npm is missing or failed, or the tarball is not the pinned one; the message says which.
    """
    members = _members(_tarball(cache).read_bytes())
    rows = csv.DictReader(io.StringIO(members.pop("products.csv").decode("utf-8", "replace")), skipinitialspace=True)
    photos = []
    for row in (
        {(key or "").strip(): (value or "").strip() for key, value in raw.items() if isinstance(value, str)}
        for raw in rows
    ):
        name = row.get("assets", "").split("|")[0].strip()
        if name in members:
            about = " ".join(row["description"].strip('"').split())
            text = f"{row['name']}. {about.split('. ')[0].rstrip('.')}."
            facts = {"kind": "product", "name": row["name"], "price": row["price"], "source": PACKAGE, "file": name}
            photos.append(Photo(row["slug"], kept(folder / f"{row['slug']}.jpg", members[name]), text, facts))
    return photos


def _tarball(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    found = next(cache.glob("vendure-create-*.tgz"), None)
    if found is None:
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is not installed")
        command = [npm, "pack", PACKAGE, "--silent", "--ignore-scripts", "--pack-destination", str(cache)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=180, stdin=subprocess.DEVNULL)
        except (subprocess.SubprocessError, OSError) as fault:
            raise RuntimeError(f"npm could not fetch {PACKAGE} ({type(fault).__name__})") from fault
        found = next(cache.glob("vendure-create-*.tgz"), None)
        if found is None:
            raise RuntimeError(f"npm said nothing of where {PACKAGE} went")
    digest = "sha512-" + base64.b64encode(hashlib.sha512(found.read_bytes()).digest()).decode()
    if digest != INTEGRITY:
        found.unlink()
        raise RuntimeError(
            f"the tarball of {PACKAGE} has {digest[:20]}..., not the pinned {INTEGRITY[:20]}...; removed"
        )
    return found


def _members(tarball: bytes) -> dict[str, bytes]:
    """The photographs and their table by plain file name. Nothing is unpacked to a path that the archive chose."""
    wanted = {}
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if member.isfile() and member.size <= MAX_MEMBER and (path.suffix == ".jpg" or path.name == "products.csv"):
                body = archive.extractfile(member)
                assert body is not None
                wanted[path.name] = body.read()
    return wanted


def kept(path: Path, content: bytes) -> Path:
    """Write a file unless it is there with this content: an index then sees no change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
    return path


def write_listing(photos: Sequence[Photo], path: Path) -> Path:
    """The collection as a .jsonl listing: id, path, text and metadata a line."""
    lines = [{"id": p.id, "path": str(p.path.relative_to(path.parent)), "text": p.text, **p.metadata} for p in photos]
    return kept(path, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode())


# -- shelves ----------------------------------------------------------------------------------------------------

WALLS = ("#d9cfc0", "#c9cdc8", "#d6d0c9")


def shelf(goods: Sequence[tuple[Image.Image, str, str]], size: tuple[int, int] = (3600, 2400), columns: int = 5,
          letters: int = 30, seed: int = 0) -> Image.Image:  # fmt: skip
    """A shelf as one large picture: products in rows, each over a tag with its name and price.

    Args:
        goods: (photograph, name, price) of each product, left to right, top to bottom.
        letters: height of the price's letters in pixels: small against the picture, readable when zoomed into.
        seed: moves each product a little, so that no two shelves are alike to the pixel.
    """
    chance = random.Random(seed)
    width, height = size
    picture = Image.new("RGB", size, WALLS[seed % len(WALLS)])
    draw = ImageDraw.Draw(picture)
    rows = -(-len(goods) // columns)
    cell_width, cell_height = width // columns, height // rows
    board = cell_height // 14
    for row in range(rows):
        bottom = (row + 1) * cell_height
        draw.rectangle((0, bottom - board, width, bottom), fill="#8a6a49")
        draw.rectangle((0, bottom - board, width, bottom - board + board // 6), fill="#a58563")
    font = ImageFont.load_default(letters)
    for place, (photo, name, price) in enumerate(goods):
        x, y = place % columns * cell_width, place // columns * cell_height
        side = int(min(cell_width, cell_height - board) * chance.uniform(0.74, 0.8))
        item = ImageOps.fit(photo, (side, side), Image.Resampling.LANCZOS)
        left = x + (cell_width - side) // 2 + chance.randint(-20, 20)
        top = y + cell_height - board - side
        picture.paste(item, (left, top))
        _tag(draw, f"{name}   {price}", (x + cell_width // 2, y + cell_height - board // 2), font)
    return picture


def _tag(draw: ImageDraw.ImageDraw, words: str, centre: tuple[int, int], font: Any) -> None:
    x0, y0, x1, y1 = draw.textbbox(centre, words, font=font, anchor="mm")
    draw.rectangle((x0 - 14, y0 - 9, x1 + 14, y1 + 9), fill="#fdfdf8")
    draw.text(centre, words, font=font, fill="#1b1b1b", anchor="mm")

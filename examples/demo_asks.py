"""What the demo asks: shelves whose difference is small, queries on them and on single photographs.

Queries and right answers are fixed here, before any agent runs. The right answers are known because the shelves
are composed here, and because single photographs were chosen by eye.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo_photos import Photo, kept, shelf
from PIL import Image

from vretrver import ImageRef, Query

SHELF_SIZE = (3600, 2400)
SHELF_LETTERS = 12  # pixels: misread in the whole picture, read well in a crop
PER_SHELF = 15
SAME_GOODS = (
    "All these shelves hold the same products and the same prices. Only on one does this price hang under this "
    "product, in letters twelve pixels high."
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A query of the demo and the documents that answer it."""

    name: str
    text: str | None
    about: str
    right: frozenset[str]
    image: Path | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.text or f"Find this: {self.image.stem.replace('-', ' ') if self.image else ''}"

    @property
    def query(self) -> Query:
        return Query(self.text, (ImageRef(path=str(self.image)),) if self.image else ())


def shelves_and_asks(
    photos: Sequence[Photo], folder: Path, size: tuple[int, int] = SHELF_SIZE
) -> tuple[list[Photo], list[Ask]]:
    """The composed shelves, and every query of the demo.

    Args:
        photos: the collection; products if there are any stand on the shelves, else all of it.
        folder: where shelves and cut-outs are written.
        size: of a shelf's picture, in pixels.
    """
    goods = [photo for photo in photos if photo.metadata["kind"] == "product"] or list(photos)
    priced, price_asks = priced_shelves(goods[-PER_SHELF:], folder, size)
    mixed, mixed_asks = mixed_shelves(goods[:-PER_SHELF] or goods, folder, size)
    return [*priced, *mixed], [*price_asks, *mixed_asks, *single_asks(photos, folder)]


def priced_shelves(
    goods: Sequence[Photo], folder: Path, size: tuple[int, int], count: int = 6
) -> tuple[list[Photo], list[Ask]]:
    """Shelves with the same products and the same prices; only which price hangs under which product differs."""
    prices = [_price(photo, place) for place, photo in enumerate(goods)]
    turned = [prices[number * 2 % len(prices) :] + prices[: number * 2 % len(prices)] for number in range(count)]
    where = {"kind": "price shelf"}
    shelves = [
        _shelf(f"price-shelf-{number + 1}", list(zip(goods, tags, strict=True)), _Place(folder, size, number, where))
        for number, tags in enumerate(turned)
    ]
    asks = []
    for place, number in ((1, 3 % count), (6, 4 % count), (10, 1 % count)):
        product, price = goods[place % len(goods)], turned[number][place % len(goods)]
        right = frozenset({f"price-shelf-{number + 1}"})
        asks.append(Ask(f"price-{len(asks) + 1}", f"{_name(product)} {price}", SAME_GOODS, right, where=where))
    return shelves, asks


def mixed_shelves(
    goods: Sequence[Photo], folder: Path, size: tuple[int, int], count: int = 8
) -> tuple[list[Photo], list[Ask]]:
    """Shelves of other products each; a query's picture is one small part of one or two of them."""
    where = {"kind": "shelf"}
    shelves, holders = [], {}
    for number in range(count):
        chosen = random.Random(number).sample(list(goods), min(PER_SHELF, len(goods)))
        holders[f"shelf-{number + 1}"] = {photo.id for photo in chosen}
        tagged = [(photo, _price(photo, place)) for place, photo in enumerate(chosen)]
        shelves.append(_shelf(f"shelf-{number + 1}", tagged, _Place(folder, size, number, where)))
    right = {p.id: frozenset(name for name, held in holders.items() if p.id in held) for p in goods}
    rare = sorted((photo for photo in goods if right[photo.id]), key=lambda photo: (len(right[photo.id]), photo.id))
    about = "Which shelf has it? It is one fifteenth of the picture, among others."
    return shelves, [Ask(f"shelf-with-{p.id}", None, about, right[p.id], p.path, where) for p in rare[:3]]


def single_asks(photos: Sequence[Photo], folder: Path) -> list[Ask]:
    """Queries on single photographs: a printed word, a colour, what the coarse stage should know alone, and a miss."""
    by_id = {photo.id: photo for photo in photos}
    product = {"kind": "product"}
    asks = []
    if "instamatic-camera" in by_id:
        about = "The words stand on the camera, not in its caption."
        asks.append(Ask("printed", "kodak 133", about, frozenset({"instamatic-camera"}), where=product))
        shoe, white = by_id["freerun-running-shoe"], frozenset({"hi-top-basketball-shoe", "pureboost-running-shoe"})
        about = "A black running shoe, asked for in white; two others of its kind are."
        asks.append(Ask("white", "the same in white", about, white, shoe.path, product))
    if "coffee" in by_id:
        right = frozenset({"coffee"})
        about = "Its caption says it; there is nothing to look for."
        asks.append(Ask("coffee", "a cup of coffee on a wooden table", about, right))
        with Image.open(by_id["coffee"].path) as picture:
            part = _saved(picture.convert("RGB").crop((150, 60, 420, 300)), folder / "asked" / "part-of-a-photo.jpg")
        asks.append(Ask("part", None, "A part of one photograph, cut out by the demo.", right, part))
    asks.append(Ask("nothing", "a submarine below the ice", "No picture shows one.", frozenset()))
    return asks


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a shelf's picture goes and what is said of it."""

    folder: Path
    size: tuple[int, int]
    seed: int
    where: Mapping[str, Any]


def _shelf(name: str, goods: Sequence[tuple[Photo, str]], place: _Place) -> Photo:
    """A shelf's picture, made once: its file's name changes with what is on it."""
    made_of = repr([[(photo.id, price) for photo, price in goods], place.size, SHELF_LETTERS, place.seed])
    path = place.folder / "shelves" / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}.jpg"
    if not path.exists():
        pictures = []
        for photo, price in goods:
            with Image.open(photo.path) as picture:
                pictures.append((picture.convert("RGB"), _name(photo), price))
        _saved(shelf(pictures, place.size, letters=SHELF_LETTERS, seed=place.seed), path)
    return Photo(name, path, None, {**place.where, "source": "composed by the demo"})


def _saved(picture: Image.Image, path: Path) -> Path:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return kept(path, buffer.getvalue())


def _name(photo: Photo) -> str:
    return str(photo.metadata.get("name") or " ".join(photo.id.split("_")).title())


def _price(photo: Photo, place: int) -> str:
    return str(photo.metadata.get("price") or f"{3 + 7 * place % 40}.{(37 * place) % 90 + 10}")

"""What the demo asks: photographs whose small print decides, shelves with many things, and what looking cannot mend.

The queries were written with earlier versions of the agent at hand, to show both; they measure nothing. The right
answers are known because the shelves are composed here, and because single photographs were chosen by eye.
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

from vretrver import Document, ImageRef, Query

SHELF_SIZE = (2400, 1600)
SHELVES, PER_SHELF = 8, 6
MOST_SHELF_ASKS = 12
CAMERAS = (
    "instamatic-camera",
    "instant-camera",
    "twin-lens-camera",
    "nikkormat-slr-camera",
    "compact-digital-camera",
    "tripod",
    "vintage-folding-camera",
    "compact-slr-camera",
)
SHOES = (
    "allstar-sneakers",
    "hi-top-basketball-shoe",
    "pureboost-running-shoe",
    "runx-running-shoe",
    "ultraboost-running-shoe",
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A query of the demo.

    Args:
        name: of its trace's files.
        about: why it is asked.
        right: ids of the documents that answer it; empty when none does.
        where: which part of the index is searched.
        among: pictures to rank as they are, without an index: nobody has read them before.
        series: asks of one kind, of which the page tells only those that looking changed.
    """

    name: str
    text: str | None
    about: str
    right: frozenset[str]
    image: Path | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    among: tuple[Document, ...] = ()
    series: str | None = None

    @property
    def title(self) -> str:
        shown = self.image.stem.replace("-", " ").replace("_", " ") if self.image else ""
        return self.text or f"Find: {shown}"

    @property
    def query(self) -> Query:
        return Query(self.text, (ImageRef(path=str(self.image)),) if self.image else ())


def shelves_and_asks(
    photos: Sequence[Photo], folder: Path, size: tuple[int, int] = SHELF_SIZE
) -> tuple[list[Photo], list[Ask]]:
    """The composed shelves, and every query of the demo.

    Args:
        photos: the collection.
        folder: where shelves and cut-outs are written.
        size: of a shelf's picture, in pixels.
    """
    shelves, shelf_asks = mixed_shelves(photos, folder, size)
    return shelves, [*camera_asks(photos), *shelf_asks, *shoe_asks(photos), *single_asks(photos, folder)]


def camera_asks(photos: Sequence[Photo]) -> list[Ask]:
    """Photographs of cameras without their captions, ranked as files: who made which stands on them, small."""
    among = _bare(photos, CAMERAS)
    about = "Eight photographs of cameras, without captions and not indexed. The word stands on one of them, small."
    rows = (
        ("kodak", "Kodak", "instamatic-camera"),
        ("nikon", "Nikon", "nikkormat-slr-camera"),
        ("germany", "a camera made in Germany", "instamatic-camera"),
        ("rolleiflex", "Rolleiflex", "twin-lens-camera"),
    )
    if not among:
        return []
    return [Ask(f"camera-{name}", text, about, frozenset({right}), among=among) for name, text, right in rows]


def mixed_shelves(
    goods: Sequence[Photo], folder: Path, size: tuple[int, int], each: int = PER_SHELF
) -> tuple[list[Photo], list[Ask]]:
    """Things dealt out to shelves, each to one; and for the first of them by name: which shelf is it on?"""
    where = {"kind": "shelf"}
    dealt = random.Random(0).sample(sorted(goods, key=lambda photo: photo.id), len(goods))
    shelves: list[Photo] = []
    homes: dict[str, str] = {}
    for number, start in enumerate(range(0, min(len(dealt), SHELVES * each), each)):
        chosen = dealt[start : start + each]
        tagged = [(photo, _price(photo, place)) for place, photo in enumerate(chosen)]
        shelves.append(_shelf(f"shelf-{number + 1}", tagged, _Place(folder, size, number, where)))
        homes |= {photo.id: shelves[-1].id for photo in chosen}
    about = f"It stands on one of {len(shelves)} shelves, a small part of a large picture."
    asked = sorted((photo for photo in dealt if photo.id in homes), key=lambda photo: photo.id)[:MOST_SHELF_ASKS]
    return shelves, [
        Ask(f"shelf-{p.id}", None, about, frozenset({homes[p.id]}), p.path, where, series="shelf") for p in asked
    ]


def shoe_asks(photos: Sequence[Photo]) -> list[Ask]:
    """The same shoe in another colour."""
    among = _bare(photos, SHOES)
    if not among:
        return []
    about = "Five photographs of other shoes, without captions and not indexed; the query's shoe is black."
    black = next(photo.path for photo in photos if photo.id == "freerun-running-shoe")
    white = frozenset({"hi-top-basketball-shoe", "pureboost-running-shoe"})
    return [
        Ask("shoe-blue", "the same in blue", about, frozenset({"ultraboost-running-shoe"}), black, among=among),
        Ask("shoe-white", "the same in white", about, white, black, among=among),
    ]


def single_asks(photos: Sequence[Photo], folder: Path) -> list[Ask]:
    """What the index should know by itself: a caption, a printed word, a part of a picture. And a miss."""
    by_id = {photo.id: photo for photo in photos}
    asks = []
    if "instamatic-camera" in by_id:
        about = "The words are not in its caption, but the index read them off the picture before anybody asked."
        asks.append(
            Ask("printed", "instamatic 133", about, frozenset({"instamatic-camera"}), where={"kind": "product"})
        )
    if "coffee" in by_id:
        right = frozenset({"coffee"})
        about = "Its caption says it; there is nothing to look for."
        asks.append(Ask("coffee", "a cup of coffee on a wooden table", about, right))
        with Image.open(by_id["coffee"].path) as picture:
            part = _saved(picture.convert("RGB").crop((150, 60, 420, 300)), folder / "asked" / "part-of-a-photo.jpg")
        asks.append(Ask("part", None, "A part of one photograph, cut out by the demo.", right, part))
    asks.append(Ask("nothing", "a submarine below the ice", "No picture shows one.", frozenset()))
    return asks


def _bare(photos: Sequence[Photo], ids: Sequence[str]) -> tuple[Document, ...]:
    """Documents of the photographs alone, without what is written about them; none unless all are there."""
    by_id = {photo.id: photo for photo in photos}
    if not set(ids) <= by_id.keys():
        return ()
    return tuple(Document(name, image=ImageRef(path=str(by_id[name].path))) for name in ids)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a shelf's picture goes and what is said of it."""

    folder: Path
    size: tuple[int, int]
    seed: int
    where: Mapping[str, Any]


def _shelf(name: str, goods: Sequence[tuple[Photo, str]], place: _Place) -> Photo:
    """A shelf's picture, made once: its file's name changes with what is on it."""
    made_of = repr([[(photo.id, price) for photo, price in goods], place.size, place.seed])
    path = place.folder / "shelves" / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}.jpg"
    if not path.exists():
        pictures = []
        for photo, price in goods:
            with Image.open(photo.path) as picture:
                pictures.append((picture.convert("RGB"), _name(photo), price))
        _saved(shelf(pictures, place.size, columns=3, seed=place.seed), path)
    return Photo(name, path, None, {**place.where, "source": "composed by the demo"})


def _saved(picture: Image.Image, path: Path) -> Path:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return kept(path, buffer.getvalue())


def _name(photo: Photo) -> str:
    return str(photo.metadata.get("name") or " ".join(photo.id.split("_")).title())


def _price(photo: Photo, place: int) -> str:
    return str(photo.metadata.get("price") or f"{3 + 7 * place % 40}.{(37 * place) % 90 + 10}")

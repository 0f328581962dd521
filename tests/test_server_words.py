"""Words printed on uploads are read in the background, and only good ones are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL.Image import Image as PILImage

from conftest import MeanColour
from served import Served, cards, data_url, png
from vretrver.indexes.lance import LanceIndex
from vretrver.ocr import Line
from vretrver.server import Settings, app
from vretrver.server.collection import Collection
from vretrver.server.uploads import Uploads
from vretrver.server.words import Words
from vretrver.types import Document, ImageRef


class Names:
    """Reads the name of a colour off a picture of it; waits at the gate first."""

    def __init__(self) -> None:
        self.gate, self.seen = threading.Event(), 0
        self.gate.set()

    def read(self, picture: PILImage) -> list[Line]:
        self.seen += 1
        assert self.gate.wait(20)
        red, _green, blue = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        return [Line("CRIMSON" if red > blue else "AZURE", (0, 0, 9, 9), 0.9)]


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return cards(tmp_path)


@pytest.fixture
def uploads(index: Path) -> Uploads:
    return Uploads(Collection(index, MeanColour()))


@pytest.fixture
def reading(uploads: Uploads, names: Names) -> Iterator[Callable[[], Words]]:
    begun: list[Words] = []

    def begin() -> Words:
        begun.append(Words(uploads._collection, uploads, lambda: names, settled=0.0, again=0.1))
        begun[-1].start()
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def picture(name: str, colour: str) -> Document:
    return Document(name, None, ImageRef(data=png(colour)))


def until(done: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def printed(index: Path, *names: str) -> list[str | None]:
    return list(LanceIndex.open(index).printed(names).values())


def test_an_upload_is_found_by_its_print_soon(index: Path, names: Names) -> None:
    settings = Settings(policy="none")
    with Served(app(index, settings, embedder=MeanColour(), reader=names)) as server:
        assert server.get("/v1/collection").json()["unread"] == 0, "the folder was indexed without reading on purpose"
        names.gate.clear()
        body = {"documents": [{"id": "note", "image": data_url(png("red"))}]}
        assert server.post("/v1/documents", body).status_code == 200
        assert server.get("/v1/collection").json()["unread"] == 1
        assert "vretrver_unread 1.0" in server.get("/metrics").text
        assert server.post("/v1/search", {"text": "azure"}).status_code == 200, "nobody waits for the reader"
        names.gate.set()
        until(lambda: server.get("/v1/collection").json()["unread"] == 0)
        served = server.app.state.server.collection.edition
        scores = served.index.snapshot.words.scores(["crimson"])
        assert scores.argmax() == served.rows["note"] and scores.max() > 0, "what is served knows the word"
    assert printed(index, "note") == ["CRIMSON"] and names.seen == 1
    assert printed(index, "red.png", "sub/red.png") == [None]


def test_what_a_server_left_is_read_by_the_next(
    uploads: Uploads, index: Path, names: Names, reading: Callable[[], Words]
) -> None:
    uploads.add([picture("a", "red"), picture("b", "blue"), Document("c", "a text")])
    words = reading()
    until(lambda: words.left == 0)
    assert printed(index, "a", "b") == ["CRIMSON", "AZURE"] and names.seen == 2


def test_what_is_replaced_or_deleted_while_it_is_read_keeps_no_old_words(
    uploads: Uploads, index: Path, names: Names, reading: Callable[[], Words]
) -> None:
    uploads.add([picture("kept", "red"), picture("gone", "red")])
    names.gate.clear()
    words = reading()
    until(lambda: names.seen == 1)
    uploads.add([picture("kept", "blue")])
    uploads.delete(["gone"])
    names.gate.set()
    until(lambda: words.left == 0)
    assert printed(index, "kept", "gone") == ["AZURE"]


def test_another_writer_is_waited_for(
    uploads: Uploads, index: Path, names: Names, reading: Callable[[], Words]
) -> None:
    uploads.add([picture("a", "red")])
    with LanceIndex.open(index).writing():
        words = reading()
        until(lambda: names.seen >= 1)
        time.sleep(0.3)
        assert words.left == 1
    until(lambda: words.left == 0)
    assert printed(index, "a") == ["CRIMSON"]


def test_ending_does_not_wait_for_who_has_the_turn(
    uploads: Uploads, index: Path, names: Names, reading: Callable[[], Words]
) -> None:
    uploads.add([picture("a", "red")])
    with uploads.turn:
        words = reading()
        until(lambda: names.seen == 1)
        started = time.monotonic()
        words.close()
        assert time.monotonic() - started < 10
    assert printed(index, "a") == [None], "left for the next server"


def test_a_picture_that_cannot_be_read_is_not_tried_for_ever(
    uploads: Uploads, index: Path, names: Names, reading: Callable[[], Words]
) -> None:
    uploads.add([picture("a", "red")])
    (file,) = (index / "uploads").glob("??/*")
    file.write_bytes(b"no picture any more")
    words = reading()
    until(lambda: words.left == 0)
    assert printed(index, "a") == [""] and names.seen == 0


def test_a_server_that_only_reads_reads_no_print(index: Path, names: Names) -> None:
    with Served(app(index, Settings(policy="none", writable=False), embedder=MeanColour(), reader=names)) as server:
        assert server.get("/v1/collection").json()["unread"] is None

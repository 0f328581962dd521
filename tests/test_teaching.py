from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import MeanColour
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.indexes import load_index
from vretrver.ingest import build_index
from vretrver.retriever import Retriever
from vretrver.teaching import teach, undo
from vretrver.types import Query

Paint = Callable[..., str]
COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture
def index(paint: Paint, tmp_path: Path) -> Path:
    for colour in COLOURS:
        paint(f"cards/{colour}.png", colour)
    build_index(tmp_path / "cards", tmp_path / "c.vr", ocr=False)
    return tmp_path / "c.vr"


def first(index: Path, text: str) -> str:
    return Retriever.open(index).retrieve(Query(text), 1)[0].document.id


def state(index: Path) -> tuple[str, int]:
    opened = load_index(index)
    return opened.fingerprint, opened.manifest.taught


def test_lessons_add_up_and_are_undone_one_by_one(index: Path, tmp_path: Path) -> None:
    before = state(index)
    (tmp_path / "one.csv").write_text("path,label\nred.png,Zorblax\nblue.png,Quuxil\n")
    report = teach(index, tmp_path / "one.csv")
    assert (report.lesson, report.labels, report.classes, report.updated, report.skipped) == (1, 2, 2, 4, [])
    assert first(index, "Zorblax") == "red.png"
    after_one = state(index)
    report = teach(index, [{"id": "green.png", "caption": "Wibble"}, {"id": "red.png", "caption": "Florp"}])
    assert (report.lesson, report.labels) == (2, 3), "red.png took its new label"
    assert [first(index, word) for word in ("Quuxil", "Wibble", "Florp")] == ["blue.png", "green.png", "red.png"]
    report = undo(index)
    assert (report.lesson, report.labels) == (1, 2)
    assert state(index) == after_one
    assert first(index, "Zorblax") == "red.png"
    assert undo(index).lesson == 0
    assert state(index) == before
    with pytest.raises(InvalidInput, match="nothing to undo"):
        undo(index)


def test_pictures_outside_the_index_and_paths_of_files_in_it(index: Path, tmp_path: Path, paint: Paint) -> None:
    paint("more/crimson.png", "crimson")
    rows = f"image,label\ncrimson.png,Zorblax\n../cards/blue.png,Quuxil\n{tmp_path / 'cards' / 'green.png'},Wibble\n"
    (tmp_path / "more" / "labels.csv").write_text(rows + "gone.png,nothing\n,nothing\n")
    report = teach(index, tmp_path / "more" / "labels.csv")
    assert report.labels == 3
    assert [where for where, _ in report.skipped] == ["labels.csv:6", "labels.csv:5"]
    assert first(index, "Zorblax") == "red.png"
    assert load_index(index).ids() == sorted(f"{colour}.png" for colour in COLOURS), "nothing was added"


def test_what_is_indexed_later_meets_what_was_taught(index: Path, tmp_path: Path, paint: Paint) -> None:
    teach(index, [{"id": "red.png", "label": "Zorblax"}, {"id": "blue.png", "label": "Quuxil"}])
    paint("cards/scarlet.png", "#f00505")
    assert build_index(tmp_path / "cards", index, ocr=False).added == 1
    found = Retriever.open(index).retrieve(Query("Zorblax"), 2)
    assert {candidate.document.id for candidate in found} == {"red.png", "scarlet.png"}


def test_labels_that_are_none(index: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"no such label file: .*nothing.csv"):
        teach(index, tmp_path / "nothing.csv")
    with pytest.raises(InvalidInput, match="is no label file"):
        teach(index, tmp_path / "cards" / "red.png")
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(RecordError):
        teach(index, tmp_path / "bad.parquet")
    before = state(index)
    with pytest.raises(InvalidInput, match=r"none of the 1 labels can be used; the first one: row 1: gone.png"):
        teach(index, [{"id": "gone.png", "label": "x"}])
    assert state(index) == before


def test_an_embedder_that_cannot_be_taught(tmp_path: Path, paint: Paint) -> None:
    paint("cards/red.png")
    build_index(tmp_path / "cards", tmp_path / "m.vr", MeanColour(), ocr=False)
    with pytest.raises(InvalidInput, match="mean-colour"):
        teach(tmp_path / "m.vr", [{"id": "red.png", "label": "x"}])


def test_a_lesson_is_quick(index: Path) -> None:
    started = time.monotonic()
    teach(index, [{"id": f"{colour}.png", "label": colour} for colour in COLOURS])
    assert time.monotonic() - started < 10

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from vretrver import ocr
from vretrver.indexes import load_index
from vretrver.indexes.words import tokens
from vretrver.ingest import build_index
from vretrver.ocr import Line, Reader, printed_text

pytestmark = pytest.mark.skipif(not ocr.available(), reason="the extra [ocr] is not installed")


def label(*lines: str, size: tuple[int, int] = (420, 200)) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    font = ImageFont.load_default(26)
    for at, line in enumerate(lines):
        ImageDraw.Draw(picture).text((20, 20 + 50 * at), line, "black", font)
    return picture


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def test_words_with_their_boxes(reader: Reader) -> None:
    first, second = reader.read(label("INVOICE 20391", "Total 18.50"))
    assert {"invoice", "20391"} <= set(tokens(first.text))
    assert "18.50" in tokens(second.text)
    assert first.score > ocr.TRUSTED
    x0, y0, x1, y1 = first.box
    assert 5 <= x0 < x1 <= 320
    assert 10 <= y0 < y1 <= 70
    assert second.box[1] > 50


def test_boxes_of_a_large_picture_are_in_its_own_pixels(reader: Reader) -> None:
    picture = label("INVOICE 20391", size=(420, 100)).resize((2520, 600))
    (line,) = reader.read(picture)
    assert "20391" in tokens(line.text)
    assert line.box[2] > 1000


def test_a_picture_without_words(reader: Reader) -> None:
    assert reader.read(Image.new("RGB", (300, 200), "teal")) == []
    assert reader.read(Image.new("RGB", (1, 1))) == []


def test_a_glance_finds_the_same_print_and_leaves_the_rest() -> None:
    hasty = Reader(glance_first=True)
    assert "20391" in tokens(printed_text(hasty.read(label("INVOICE 20391"))))
    assert hasty.read(Image.new("RGB", (300, 200), "teal")) == []


def test_only_trusted_lines_are_kept() -> None:
    lines = [
        Line("MILK", (0, 0, 1, 1), 0.95),
        Line("~;l|", (0, 0, 1, 1), 0.3),
        Line("", (0, 0, 1, 1), 0.9),
        Line("O", (0, 0, 1, 1), 0.9),
    ]
    assert printed_text(lines) == "MILK"


def test_words_are_read_after_vectors_and_only_once(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    label("INVOICE 20391").save(tmp_path / "p" / "a.png")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "p" / "b.png")
    assert build_index(tmp_path / "p", tmp_path / "p.vr", ocr=False).read == 0
    assert len(load_index(tmp_path / "p.vr").unread()) == 2
    assert build_index(tmp_path / "p", tmp_path / "p.vr", ocr=True).read == 2
    assert build_index(tmp_path / "p", tmp_path / "p.vr", ocr=True).read == 0
    a, b = load_index(tmp_path / "p.vr").documents([0, 1])
    assert "20391" in tokens(a.printed or "")
    assert b.printed == ""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vretrver.errors import StorageError
from vretrver.ocr import Line
from vretrver.ocr_memory import MAX_ENTRY, RememberedReader, pixels_key


class Counting:
    """Reads a picture's size, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def read(self, picture: Image.Image) -> list[Line]:
        self.asked += 1
        return [Line(f"width {picture.width} µ", (0, 0, picture.width, 1), 0.123456)]


def picture(width: int, colour: str = "red") -> Image.Image:
    return Image.new("RGB", (width, 2), colour)


def test_the_same_pixels_are_read_once_and_the_same_again_from_the_file(tmp_path: Path) -> None:
    counting = Counting()
    first = RememberedReader(tmp_path / "read.jsonl", counting)
    fresh = first.read(picture(3))
    assert first.read(picture(3)) == fresh and counting.asked == 1
    assert first.read(picture(3, "blue")) and counting.asked == 2
    again = RememberedReader(tmp_path / "read.jsonl", counting)
    assert again.read(picture(3)) == fresh == [Line("width 3 µ", (0, 0, 3, 1), 0.1235)]
    assert counting.asked == 2
    assert picture(3) in again and picture(4) not in again and len(again) == 2


def test_without_a_file_it_remembers_for_itself() -> None:
    reader = RememberedReader(reader=Counting())
    assert reader.read(picture(3)) == reader.read(picture(3)) and len(reader) == 1


def test_what_is_handed_out_may_be_changed() -> None:
    reader = RememberedReader(reader=Counting())
    reader.read(picture(3)).clear()
    assert reader.read(picture(3))


def test_files_of_before_still_read(tmp_path: Path) -> None:
    record = {"key": pixels_key(picture(5)), "lines": [["1.5 %", [1, 2, 30, 40], 0.9]]}
    (tmp_path / "read.jsonl").write_text(json.dumps(record) + "\n")
    found = RememberedReader(tmp_path / "read.jsonl", Counting()).read(picture(5))
    assert found == [Line("1.5 %", (1, 2, 30, 40), 0.9)]


def test_the_key_of_given_pixels_stays() -> None:
    assert pixels_key(Image.new("L", (2, 1), 7)) == "d0248865f1be054e52cee2bac044b723"
    red, blue = Image.new("P", (1, 1)), Image.new("P", (1, 1))
    red.putpalette([255, 0, 0])
    blue.putpalette([0, 0, 255])
    assert pixels_key(red) != pixels_key(blue)


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_that_was_cut_off_is_read_anew_and_swallows_nothing(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "read.jsonl"
    counting = Counting()
    for width in (3, 4):
        RememberedReader(path, counting).read(picture(width))
    path.write_bytes(path.read_bytes()[:-cut])
    torn = RememberedReader(path, counting)
    assert len(torn) == 1
    torn.read(picture(4))
    torn.read(picture(5))
    assert len(RememberedReader(path, counting)) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=60)
    | st.sampled_from(
        [
            b"[1]",
            b'{"key": 1, "lines": []}',
            b'{"key": "k"}',
            b'{"key": "k", "lines": [["a", [1, 2, 3], 0.5]]}',
            b'{"key": "k", "lines": [["a", [1, 2, 3, -4], 0.5]]}',
            b'{"key": "k", "lines": [["a", [1, 2, 3, 4], NaN]]}',
            b'{"key": "k", "lines": [[7, [1, 2, 3, 4], 0.5]]}',
            b'{"key": "k", "lines": 5}',
            b"[" * 100_000,
            b'{"key": "k", "lines": []}'.ljust(MAX_ENTRY + 5),
        ]
    )
)
def test_a_damaged_line_is_left_out_and_the_others_stand(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "read.jsonl"
    path.unlink(missing_ok=True)
    RememberedReader(path, Counting()).read(picture(3))
    path.write_bytes(line + b"\n" + path.read_bytes())
    reader = RememberedReader(path, Counting())
    assert len(reader) == 1 and picture(3) in reader


def test_processes_share_a_file(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        list(workers.map(_read_many, [tmp_path / "read.jsonl"] * 2, [range(1, 60), range(30, 90)]))
    assert len(RememberedReader(tmp_path / "read.jsonl", Counting())) == 89


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        RememberedReader(tmp_path / "none" / "read.jsonl", Counting()).read(picture(3))
    with pytest.raises(StorageError, match="cannot read"):
        RememberedReader(tmp_path)


def _read_many(path: Path, widths: range) -> None:
    reader = RememberedReader(path, Counting())
    for width in widths:
        reader.read(picture(width))

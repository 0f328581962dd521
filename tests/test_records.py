from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.datasets import records
from vretrver.datasets.records import (
    MAX_LINE,
    RecordPool,
    count_lines,
    first_of,
    id_of,
    picture,
    read_json,
    read_jsonl,
    text_of,
)
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.types import Document


def written(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_lines_are_numbered_as_an_editor_numbers_them(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\n   \n{"a": 2}')
    assert list(read_jsonl(path)) == [(f"{path}:1", {"a": 1}), (f"{path}:4", {"a": 2})]
    assert count_lines(path) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "this is a list; each line must be one JSON object"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ('{"a": 1,}', "not valid JSON at column"),
        ("[" * 200_000, "not valid JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path / "a.jsonl", '{"a": 1}\n' + line)
    with pytest.raises(RecordError) as caught:
        list(read_jsonl(path))
    assert f"{path}:2: " in str(caught.value) and said in str(caught.value)


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n')
    with pytest.raises(RecordError, match=r"a\.jsonl:2: byte 8 is not UTF-8"):
        list(read_jsonl(path))


def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b"a" * (MAX_LINE + 2))
    with pytest.raises(RecordError, match=r"a\.jsonl:1: the line is longer than"):
        list(read_jsonl(path))


def test_files_that_are_not_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="no such file"):
        list(read_jsonl(tmp_path / "none.jsonl"))
    with pytest.raises(RecordError, match=r"b\.json: not valid JSON at line 2, column 1"):
        read_json(written(tmp_path / "b.json", "[1,\n}"))
    with pytest.raises(RecordError, match="cannot be read"):
        read_json(tmp_path)
    with pytest.raises(MissingPath, match=r"the list is not there: .*x \(nor .*y\)"):
        first_of(tmp_path / "x", tmp_path / "y", what="the list")
    assert first_of(tmp_path / "x", tmp_path, what="the list") == tmp_path


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "a\\..\\b", "\\a", "C:\\a", "C:/a", "x\0"]
)
def test_a_picture_may_not_leave_its_root(tmp_path: Path, path: str) -> None:
    with pytest.raises(RecordError, match=r"^here:3: "):
        picture(tmp_path, path, "here:3")


@given(st.text(max_size=40))
def test_whatever_the_path_the_picture_is_under_the_root(path: str) -> None:
    root = Path("/data/root")
    try:
        found = picture(root, path, "here:1").path
    except RecordError:
        return
    assert found is not None and Path(found).resolve().is_relative_to(root)


def test_fields_say_what_came() -> None:
    assert text_of("  a\0b ", "f:1", "text") == "a b"
    assert text_of("\ud800x", "f:1", "text") == "?x"
    assert text_of("  ", "f:1", "text") is None
    assert (id_of(7, "f:1", "id"), id_of(" d7 ", "f:1", "id")) == ("7", "d7")
    with pytest.raises(RecordError, match="f:1: text is a number; it must be a text or null"):
        text_of(3, "f:1", "text")
    with pytest.raises(RecordError, match="f:1: id is missing"):
        id_of(None, "f:1", "id")
    for bad in (True, 1.5, ["a"], "a\nb", "x" * 2000):
        with pytest.raises(RecordError, match="f:1: id "):
            id_of(bad, "f:1", "id")
    with pytest.raises(InvalidInput, match="unknown split 'x'; choose from val, test"):
        records.chosen("x", ("val", "test"), "split")


def test_a_pool_is_read_again_at_each_pass_and_counted_once(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", '{"id": "a"}\n{"id": "b"}\n')
    asked: list[int] = []

    def count() -> int:
        asked.append(1)
        return count_lines(path)

    pool = RecordPool(lambda: read_jsonl(path), lambda record, _where: Document(record["id"], "text"), count)
    assert [one.id for one in pool] == [one.id for one in pool] == ["a", "b"]
    assert (len(pool), len(pool), len(asked)) == (2, 2, 1)
    assert [where for where, _document in pool.located()] == [f"{path}:1", f"{path}:2"]

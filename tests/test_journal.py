"""The journal: what was appended is there, what was cut off is not, and what was changed is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import RecordError, StorageError
from vretrver.evaluation.journal import Journal, read_journal


def written(path: Path, count: int = 3) -> Path:
    with Journal(path) as journal:
        journal.append({"n": n, "text": "é\u2028\n" * n} for n in range(count))
    return path


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    path = written(tmp_path / "j.jsonl")
    with Journal(path) as journal:
        assert [record["n"] for record in journal.records] == [0, 1, 2]
        journal.append([{"n": 3}])
        journal.append([])
    assert [record["n"] for record in read_journal(path)[0]] == [0, 1, 2, 3]


@given(cut=st.integers(0, 200))
def test_a_journal_cut_anywhere_keeps_its_whole_lines_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = written(tmp_path_factory.mktemp("cut") / "j.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    with Journal(path) as journal:
        assert [record["n"] for record in journal.records] == list(range(kept))
        journal.append([{"n": kept}])
    assert [record["n"] for record in read_journal(path)[0]] == list(range(kept + 1))


@pytest.mark.parametrize("damage", [b"{]\n", b"[1]\n", b"\xff\n"])
def test_a_line_that_was_changed_is_refused_and_named(tmp_path: Path, damage: bytes) -> None:
    path = written(tmp_path / "j.jsonl")
    path.write_bytes(damage + path.read_bytes())
    with pytest.raises(RecordError, match=r"j\.jsonl line 1 is damaged"):
        Journal(path)
    path.write_bytes(b"")
    with Journal(path):  # the refusal left no lock behind
        pass


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path), pytest.raises(StorageError, match="another process is writing"):
        Journal(path)


def test_what_json_has_no_word_for_is_not_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl") as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.append([{"n": float("nan")}])
        journal.append([{"n": 1}])
    assert read_journal(tmp_path / "j.jsonl")[0] == [{"n": 1}]

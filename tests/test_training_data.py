"""Where examples are read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import lessons
from vretrver.errors import MissingPath, RecordError
from vretrver.training.data import load_examples
from vretrver.training.sharegpt import write_sharegpt


def test_folders_and_files_in_order(paint: Callable[..., str], tmp_path: Path) -> None:
    first, second = lessons.examples(paint, 2)
    write_sharegpt(tmp_path / "a" / "sft.jsonl", [first])
    write_sharegpt(tmp_path / "b" / "mine.json", [second])
    found = load_examples([str(tmp_path / "a"), str(tmp_path / "b" / "mine.json")])
    assert [lessons.said(one) for one in found] == [lessons.said(first), lessons.said(second)]
    assert [len(one.pictures) for one in found] == [len(first.pictures), len(second.pictures)]
    assert load_examples([]) == []


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"holds no sft\.jsonl; `vretrver train synthesize"):
        load_examples([str(tmp_path)])
    with pytest.raises(MissingPath, match="no such data"):
        load_examples([str(tmp_path / "nowhere")])
    (tmp_path / "sft.jsonl").write_text("")
    with pytest.raises(RecordError, match="no example"):
        load_examples([str(tmp_path)])

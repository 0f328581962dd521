from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from run_folders import make_run
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.report import overview, read_run
from vretrver.usage import Usage


def _usage(**odd: Any) -> dict[str, Any]:
    return Usage().to_record() | odd


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", "WWRRRXLM", pictures=False))
    assert (run.name, run.task, run.headline, run.judged) == ("run", "mbeir/cirr_task7", "mrr@10", True)
    # Right at first: R R R L before, R R R W W after.
    assert (run.value("coarse", "hit@1"), run.value("reranked", "hit@1")) == (4 / 8, 5 / 8)
    assert run.value("reranked", "no such measure") is None
    low, high = run.interval("difference", "hit@1") or (1, 0)
    assert low <= 1 / 8 <= high
    assert [outcome.change for outcome in run.outcomes] == ["won"] * 2 + ["tied"] * 4 + ["lost", "tied"]
    assert run.seconds == 0.25


def test_what_is_no_finished_run_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="no such run folder"):
        read_run(tmp_path / "gone")
    with pytest.raises(InvalidInput, match=r"is not a run folder.*vretrver eval"):
        read_run(tmp_path)
    lines = [{"call": {"key": "a"}}, {"at": 0, "outcome": {"topic": "q-0"}}, {"at": 1, "outcome": {"topic": "q-1"}}]
    journal = "".join(json.dumps(line) + "\n" for line in lines) + '{"at": 2, "outco'
    (tmp_path / "journal.jsonl").write_text(journal)
    with pytest.raises(InvalidInput, match="not finished: 2 topics are journalled"):
        read_run(tmp_path)


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("metrics.json", "{", "metrics.json is not JSON"),
    ("metrics.json", "[1]", "holds a list"),
    ("metrics.json", '{"a": NaN}', "NaN is not a JSON number"),
    ("metrics.json", '{"task": 3}', "names no task"),
    ("outcomes.jsonl", '{"topic": "a"}\n', "outcomes.jsonl line 1"),
    ("config.json", '"x"', "holds a str"),
    ("timing.json", "[" * 200_000, "timing.json is not JSON"),
])  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    folder = make_run(tmp_path / "run", "WR", pictures=False)
    (folder / name).write_text(content)
    with pytest.raises(RecordError, match=complaint):
        read_run(folder)


@pytest.mark.parametrize("odd", [
    {"relevant": "abc"}, {"relevant": {"a": "1"}}, {"coarse": [1]}, {"order": [None]},
    {"usage": _usage(tool_calls="many")}, {"usage": _usage(money="much")}, {"usage": _usage(tokens={"prompt": "x"})},
    {"confidence": ["x"]}, {"query": 5}, {"error": ["x"]}, {"images": [{}]}, {"topic": 7},
    {"group": 1}, {"modality": []},
    {"order": ["a", "a"]},
])  # fmt: skip
def test_an_outcome_of_odd_values_is_refused(tmp_path: Path, odd: dict[str, Any]) -> None:
    folder = make_run(tmp_path / "run", "WR", pictures=False)
    lines = (folder / "outcomes.jsonl").read_text().splitlines()
    (folder / "outcomes.jsonl").write_text(lines[0] + "\n" + json.dumps(json.loads(lines[1]) | odd) + "\n")
    with pytest.raises(RecordError, match=r"outcomes\.jsonl line 2"):
        read_run(folder)


def test_without_outcomes_or_timing(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "WR", pictures=False)
    (folder / "timing.json").unlink()
    (folder / "config.json").unlink()
    run = read_run(folder)
    assert run.seconds is None
    assert run.config["embedder"] == "lite"  # metrics.json holds it too
    (folder / "outcomes.jsonl").unlink()
    with pytest.raises(MissingPath, match="is missing; without it"):
        read_run(folder)


def test_the_overview_says_what_happened(tmp_path: Path) -> None:
    said = overview([read_run(make_run(tmp_path / "run", "W" * 9 + "R", pictures=False))])
    assert "10 queries, each a text query, over 21,551 items" in said
    assert "first for 10.0 % before reranking without a look and for 100.0 % after" in said
    assert "(a change of +90.0 points" in said
    assert "9 won, 0 lost, more than chance explains." in said

"""The packaged agent: from thumbnails that do not tell it points, looks, and chooses among marks that it never saw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vretrver.datasets import load_task
from vretrver.evaluation.evaluate import evaluate
from vretrver.evaluation.settings import Settings
from vretrver.policies.local import PACKAGED, LocalPolicy
from vretrver.viewer import read_traces

pytest.importorskip("torch")

QUESTIONS = 10  # of four candidates: chance is 2.5 right, and 6 or more by chance one time in fifty


def test_it_looks_and_chooses(tmp_path: Path) -> None:
    task = load_task("world", work=tmp_path / "world", size=QUESTIONS, seed=3, split="val", groups=("i->i/which",))
    settings = Settings(coarse="vector", k=4, ocr=False)
    found = evaluate(
        task, tmp_path / "run", settings, policy="local:nano,batch=10", cache=tmp_path / "cache", progress=False
    )
    assert found["reranked"]["hit@1"] >= 0.6
    for ranking in read_traces(tmp_path / "run" / "traces.jsonl"):
        (trace,) = ranking.traces
        assert trace.policy == "local:nano"
        assert any(turn.observation is not None and turn.observation.valid for turn in trace.turns)


def test_it_is_served_as_it_was_trained() -> None:
    policy = LocalPolicy.load("nano")
    assert policy.name == "local:nano"
    assert policy.habits is not None
    assert [tool.name for tool in policy.habits.toolbox.tools] == ["compare_crops"]


def test_its_card_says_what_it_is_made_of() -> None:
    card = (PACKAGED / "README.md").read_text(encoding="utf-8")
    for word in ("EfficientNet-Lite2", "Apache-2.0", "small-detail world", "hit@1"):
        assert word in card
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) < 60_000_000
    assert json.loads((PACKAGED / "vretrver.json").read_text(encoding="utf-8"))["stage"] == "sft"

"""Questions from end to end: fixtures in, passages found and ranked, a fake endpoint answers, metrics exact."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kvqa_data
from conftest import MeanColour
from vretrver.cli import main
from vretrver.datasets import load_task
from vretrver.errors import InvalidInput, PolicyError
from vretrver.evaluation.evaluate import evaluate
from vretrver.evaluation.folder import outcomes_of
from vretrver.evaluation.settings import Settings
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.report import compare, read_run, write_report
from vretrver.testing import FakeEndpoint, Reading
from vretrver.usage import Tokens

PRICES = "prompt=1,completion=2"


def source(text: str, words: str) -> str:
    """The number of the source whose text begins so."""
    found = re.search(rf"\[(\d+)\][^\[]*text: {re.escape(words)}", text)
    assert found, text
    return found[1]


def answered(text: str) -> str:
    """The road to the harbour is right and cited; the vegetable is right and cites the wrong passage; the sport is half
    right and cites nothing."""
    if "Where does this bus go?" in text:
        return f"<think>It says so.</think><answer>The harbour [{source(text, 'The harbour')}].</answer>"
    if "Which vegetable" in text:
        return f"<answer>leek [{source(text, 'Racing')}]</answer>"
    return "<answer>Motocross</answer>"


@pytest.fixture
def endpoint() -> Any:
    def reply(asked: Reading) -> str | None:
        return answered(asked.text) if "Sources:" in asked.text else None

    with FakeEndpoint(reply=reply) as server:
        yield server


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    root = kvqa_data.okvqa(tmp_path / "okvqa")

    def go(name: str, dataset: str = "okvqa", place: Path = root, **options: Any) -> dict[str, Any]:
        settings = {"k": 4, "ocr": False, "coarse": "bm25", "batch": 2, **options.pop("settings", {})}
        return evaluate(
            load_task(dataset, place),
            tmp_path / name,
            replace(Settings(), **settings),
            embedder=MeanColour(),
            policy=options.pop("policy", None),
            cache=tmp_path / "cache",
            progress=False,
            **options,
        )

    return go


def test_okvqa_is_found_answered_and_marked(run: Run, tmp_path: Path, endpoint: FakeEndpoint) -> None:
    metrics = run("run", answers=endpoint.policy, settings={"prices": PRICES})
    assert endpoint.counters.calls == 3
    outcomes = {one.topic: one for one in outcomes_of(tmp_path / "run")}
    # "ride" is in "rides" and "leek" in "Leeks": parts of words; the harbour is a word of its own
    assert [dict(one.bearing or {}) for one in outcomes.values()] == [{"0": 1}, {"3": 1}, {"1": 2}]
    # 8 of 10 said harbor, 2 harbour: 8 see two others, 2 see one. 2 of 10 said motocross: the same. All 10 said leek.
    soft = (8 * (2 / 3) + 2 * (1 / 3)) / 10
    scores = [one.answered.score for one in outcomes.values() if one.answered]
    assert scores == pytest.approx([soft, 1.0, soft])
    told = metrics["answers"]
    assert (told["n"], told["n_marked"], told["errors"]) == (3, 3, 0)
    assert told["accuracy"] == pytest.approx((2 * soft + 1) / 3, abs=1e-6)
    assert told["grounded"] == pytest.approx(soft / 3, abs=1e-6)  # the leek cites what does not name it
    assert (told["borne_out"], told["answered"]) == (pytest.approx(1 / 3, abs=1e-6), 1.0)
    assert told["cited"] == pytest.approx(2 / 3, abs=1e-6)
    assert told["groups"]["Cooking and Food"]["accuracy"] == 1.0
    assert told["usage"]["policy_calls"] == {"total": 3, "mean": 1.0}
    assert told["usage"]["money"]["total"] > 0
    assert metrics["usage"]["policy_calls"]["total"] == 0  # nobody ranked
    texts = [one.answered.text for one in outcomes.values() if one.answered]
    assert texts == ["Motocross", "leek", "The harbour."]


def test_the_passages_are_measured_before_and_after(run: Run, tmp_path: Path, endpoint: FakeEndpoint) -> None:
    last_first = ScriptedPolicy(["<answer>[4, 3, 2, 1]</answer>"])
    metrics = run("run", policy=last_first, settings={"tools": "none"}, answers=endpoint.policy)
    outcomes = outcomes_of(tmp_path / "run")
    places = [one.coarse.index(next(iter(one.bearing or {}))) + 1 for one in outcomes]
    before, after = (sum(place == 1 for place in at) / 3 for at in (places, [5 - place for place in places]))
    pseudo = metrics["pseudo"]
    assert [pseudo[stage]["pr@1"] for stage in ("coarse", "reranked")] == pytest.approx([before, after], abs=1e-6)
    assert before != after
    assert pseudo["coarse"]["pr@5"] == pseudo["reranked"]["pr@5"] == pseudo["ceiling"] == 1.0
    assert pseudo["coarse"]["pr@5 whole words"] == pytest.approx(1 / 3, abs=1e-6)
    assert pseudo["interval"]["difference"]["pr@5"] == [0.0, 0.0]
    assert metrics["relevant"] == "contains an answer"
    assert (metrics["headline"], metrics["coarse"]["pr@5"], metrics["coarse"]["hit@5"]) == ("pr@5", 1.0, 1.0)
    assert "recall@4" not in metrics["coarse"]  # how many are relevant, nobody knows
    assert (metrics["judged"], metrics["n_judged"]) == (True, 3)

"""A calibration of one's own, fitted on run folders that a test makes in a second."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vretrver.calibration import load_calibration
from vretrver.cli import main
from vretrver.datasets import Card, Task, Topic
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.evaluation.calibrating import LEAST, calibrate, cut_off, judged_of
from vretrver.evaluation.evaluate import evaluate
from vretrver.evaluation.settings import Settings
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer
from vretrver.types import Document, Query

CARD = Card("Numbers", "made here", "none", "hit rate")


def task(n: int, tmp_path: Path) -> Task:
    """Topic t looks for document t among five that are handed over in a given order: the answer third."""
    pool = tuple(Document(f"d{at}", f"text number {at}") for at in range(n + 4))
    topics = tuple(
        Topic(
            f"q{at}",
            Query(f"number {at}"),
            {f"d{at}": 1},
            candidates=tuple(f"d{(at + step) % (n + 4)}" for step in (3, 1, 0, 2, 4)),
        )
        for at in range(n)
    )
    return Task("numbers", "val", topics, pool, ("hit@1",), CARD, tmp_path, given_order=True)


def sometimes(conversation: Conversation) -> str:
    """Knows the answer of every even topic whatever the order; elsewhere it takes what is shown first."""
    asked = int((conversation.window.query.text or "").split()[-1])
    ids = [candidate.document.id for candidate in conversation.window.candidates]
    first = ids.index(f"d{asked}") if asked % 2 == 0 else 0
    return render_answer([first, *(at for at in range(len(ids)) if at != first)])


def run(n: int, tmp_path: Path, policy: Any = sometimes) -> Path:
    folder = tmp_path / "run"
    evaluate(
        task(n, tmp_path),
        folder,
        Settings(k=5, second_look="reverse", ocr=False),
        policy=ScriptedPolicy(policy),
        cache=tmp_path / "cache",
        progress=False,
    )
    return folder


def test_a_second_look_tells_who_knows(tmp_path: Path) -> None:
    """Half of the topics are known. Rank 1 is right there, and the second look agrees there alone."""
    made, report = calibrate(run(80, tmp_path))
    assert (report.topics, report.right, report.result) == (80, 0.5, True)
    assert report.auc == 1.0 and report.ece < 0.1 < report.before
    assert report.no_match == 0.5  # of the half that is always wrong
    assert made.least == 5 and not made.fused and set(made.coarse) == {"*", "text>text"}
    chances = made.coarse["*"]
    assert chances.weights  # third place answers: the fit knows
    assert made.about["task"] == "numbers" and made.about["report"]["topics"] == 80


def test_a_run_goes_by_it_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, path = run(60, tmp_path), tmp_path / "mine.json"
    assert main(["calibrate", str(folder), "-o", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "60 judged topics; rank 1 is right in 50.0%" in printed and f"--calibration {path}" in printed
    assert load_calibration(path).about["task"] == "numbers"
    metrics = evaluate(
        task(60, tmp_path),
        tmp_path / "again",
        Settings(k=5, second_look="reverse", ocr=False, calibration=str(path)),
        policy=ScriptedPolicy(sometimes),
        cache=tmp_path / "cache",
        progress=False,
    )
    assert metrics["calibration"]["ece"] < 0.1
    assert metrics["config"]["calibration"].startswith("mine.json@")
    packaged = json.loads((folder / "config.json").read_text())
    assert packaged["calibration"].startswith("packaged@") and packaged["hash"] != metrics["config"]["hash"]
    assert main(["calibrate", str(folder), "-o", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["topics"] == 60


def test_where_the_policy_knows_itself_only_chances_are_fitted(tmp_path: Path) -> None:
    def sure(conversation: Conversation) -> Completion:
        return Completion(sometimes(conversation), relevance=(0.9, 0.1, 0.1, 0.1, 0.1))

    _made, report = calibrate(run(60, tmp_path, sure))
    assert not report.result and "only the chances" in report.summary()


def test_traces_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = run(LEAST, tmp_path)
    traces = folder / "traces.jsonl"
    text = traces.read_text()
    traces.write_text(text.replace('"coarse_score":1.0', '"coarse_score":1e999', 1))
    with pytest.raises(RecordError, match="a score of topic 'q0' is no finite number"):
        calibrate(folder)
    traces.unlink()
    with pytest.raises(MissingPath, match="no such trace file"):
        calibrate(folder)


def test_too_little_to_fit_on(tmp_path: Path) -> None:
    folder = run(LEAST - 1, tmp_path)
    assert len(judged_of(folder)) == LEAST - 1
    with pytest.raises(
        InvalidInput, match=f"has {LEAST - 1} judged topics with candidates; a calibration needs {LEAST}"
    ):
        calibrate(folder)
    with pytest.raises(MissingPath, match="is no run folder"):
        calibrate(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("confidence", "right", "below"),
    [([0.1, 0.2, 0.3], [False, False, True], 0.3), ([0.1, 0.9], [True, True], 0.0), ([0.7, 0.8], [False, False], 0.0)],
)
def test_the_cut_off_is_the_highest_that_is_mostly_right(
    confidence: Sequence[float], right: Sequence[bool], below: float
) -> None:
    assert cut_off(np.array(confidence), np.array(right)) == below

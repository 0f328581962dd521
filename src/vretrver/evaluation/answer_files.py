"""A run's answers as files: our own, and the one that the benchmark's official script takes, to mark them there too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from vretrver.evaluation.marking.vqa import submitted
from vretrver.evaluation.outcome import Outcome

ANSWERS = "answers.jsonl"


def answer_files(task: str, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Name -> content.

    answers.jsonl           ours, one answer a line: its mark, what it cites, whether that contains an answer
    vqa_results.json        OK-VQA: [{"question_id", "answer"}], for vqaEval.py
    predictions.jsonl       InfoSeek: {"data_id", "prediction"}, for infoseek_eval.py
    evqa_candidates.jsonl   Encyclopedic-VQA: {"row", "picture", "candidate"}, rows of the .csv from 0, for BEM
    """
    files = {ANSWERS: _lines(map(_ours, outcomes))}
    said = [(one.topic, "" if one.answered is None else one.answered.text) for one in outcomes]
    if task.startswith("okvqa"):
        results = [
            {"question_id": int(name) if name.isdecimal() else name, "answer": submitted(text)} for name, text in said
        ]
        files["vqa_results.json"] = json.dumps(results) + "\n"
    elif task.startswith("infoseek"):
        files["predictions.jsonl"] = _lines({"data_id": name, "prediction": text} for name, text in said)
    elif task.startswith("evqa"):
        files["evqa_candidates.jsonl"] = _lines(_candidate(name, text) for name, text in said)
    return files


def _ours(one: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {"topic": one.topic, "question": one.query, "group": one.group, "kind": one.kind}
    if one.answered is None:
        return record
    given = one.answered
    record |= {"answer": given.text, "score": given.score, "cited": given.cited, "borne_out": given.borne_out}
    return record | {"no_answer": given.no_answer, "error": given.error}


def _candidate(topic: str, text: str) -> dict[str, Any]:
    _split, row, picture = topic.rsplit("-", 2)
    return {"row": int(row), "picture": int(picture), "candidate": text}


def _lines(records: Iterable[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)

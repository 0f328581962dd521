"""Of metrics.json what is about questions: which passages contain an answer, and how right the answers are.

A topic that could not be asked has neither found a passage nor answered. Answers whose right ones are not public are
counted, not marked. Means are over topics; intervals are those of `vretrver.evaluation.statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vretrver.evaluation.answered import Answered
from vretrver.evaluation.marking.contains import WHOLE
from vretrver.evaluation.marking.infoseek import harmonic_mean
from vretrver.evaluation.measured import measured
from vretrver.evaluation.outcome import Outcome, spent
from vretrver.evaluation.statistics import RESAMPLES, interval, paired_interval
from vretrver.metrics import hit_rate

LEVEL, SEED = 0.95, 0
CUTS = (1, 5, 10)
HEADLINE = "pr@5"
UNSEEN = ("unseen_question", "unseen_entity")
SINGLE_HOP = ("templated", "automatic")


def pseudo_relevance(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """`pseudo`: PR@k before and after, of substrings and of whole words, by part; nothing where nobody can say.

    `ceiling` is the share of topics with such a passage among the candidates.
    """
    asked = [one for one in outcomes if one.bearing is not None]
    if not asked:
        return {}
    found = {stage: [measured(HEADLINE)(one, order(one)) for one in asked] for stage, order in _ORDERS.items()}
    ends: dict[str, Any] = {stage: {HEADLINE: _interval(values)} for stage, values in found.items()}
    change = paired_interval(found["coarse"], found["reranked"], RESAMPLES, SEED, LEVEL)
    return {
        "pseudo": {
            "n": len(asked),
            **_before_and_after(asked),
            "ceiling": _mean(float(bool(one.bearing)) for one in asked),
            "interval": ends | {"difference": {HEADLINE: list(change)}},
            "groups": _parts(asked, lambda one: one.group, _before_and_after),
            "kinds": _parts(asked, lambda one: one.kind, _before_and_after),
        }
    }


def answers(outcomes: Sequence[Outcome], task: str) -> dict[str, Any]:
    """`answers`: accuracy and what the answers rest on, in all, by part and by kind of question; nothing without any.

    `combined` has the benchmark's own figure where that is no mean over all: InfoSeek's harmonic mean, single hops of
    Encyclopedic-VQA.
    """
    asked = [one for one in outcomes if one.answered is not None]
    if not asked:
        return {}
    marked = [one.answered for one in asked if one.answered is not None and one.answered.score is not None]
    values = {name: [getattr(one, name) for one in marked] for name in ("accuracy", "grounded", "borne_out")}
    ends = {name: _interval(list(map(float, of_topic))) for name, of_topic in values.items()} if marked else {}
    usages = [one.answered.usage for one in asked if one.answered is not None]
    return {
        "answers": {
            **_answered(asked),
            "interval": ends,
            "groups": _parts(asked, lambda one: one.group, _answered),
            "kinds": _parts(asked, lambda one: one.kind, _answered),
            "combined": _combined(asked, task),
            "usage": spent(usages),
        }
    }


def _answered(asked: Sequence[Outcome]) -> dict[str, Any]:
    given = [one.answered for one in asked if one.answered is not None]
    marked = [one for one in given if one.score is not None]

    def share(holds: Callable[[Answered], bool], among: Sequence[Answered]) -> float | None:
        return _mean(float(holds(one)) for one in among)

    return {
        "n": len(given),
        "n_marked": len(marked),
        "accuracy": _mean(one.score or 0.0 for one in marked),
        "grounded": _mean(one.grounded or 0.0 for one in marked),
        "borne_out": share(lambda one: one.borne_out, marked),
        "answered": share(lambda one: bool(one.text), given),
        "cited": share(lambda one: bool(one.cited), given),
        "no_answer": share(lambda one: one.no_answer, given),
        "errors": sum(one.error is not None for one in given),
        "repairs": sum(one.repairs for one in given),
    }


def _combined(asked: Sequence[Outcome], task: str) -> dict[str, float | None]:
    if task.startswith("infoseek"):
        parts = [_accuracy([one for one in asked if one.group == name]) for name in UNSEEN]
        known = [one for one in parts if one is not None]
        return {"harmonic_mean": harmonic_mean(*known) if len(known) == len(UNSEEN) else None}
    if task.startswith("evqa"):
        return {"single_hop": _accuracy([one for one in asked if one.kind in SINGLE_HOP])}
    return {}


def _accuracy(asked: Sequence[Outcome]) -> float | None:
    given: float | None = _answered(asked)["accuracy"]
    return given


def _before_and_after(asked: Sequence[Outcome]) -> dict[str, Any]:
    return {stage: _found(asked, order) for stage, order in _ORDERS.items()}


def _found(asked: Sequence[Outcome], order: Callable[[Outcome], Sequence[str]]) -> dict[str, float | None]:
    found = {f"pr@{k}": _mean(measured(f"pr@{k}")(one, order(one)) for one in asked) for k in CUTS}
    whole = [{name: 1 for name, grade in (one.bearing or {}).items() if grade >= WHOLE} for one in asked]
    words = [hit_rate(order(one), ids, 5) for one, ids in zip(asked, whole, strict=True)]
    return {**found, "pr@5 whole words": _mean(words)}


_ORDERS: Mapping[str, Callable[[Outcome], Sequence[str]]] = {
    "coarse": lambda one: one.coarse,
    "reranked": lambda one: one.order,
}


def _parts(
    asked: Sequence[Outcome], name: Callable[[Outcome], str], of_part: Callable[[Sequence[Outcome]], dict[str, Any]]
) -> dict[str, Any]:
    """A table by part, in the order they come; nothing where there is one part only."""
    names = list(dict.fromkeys(map(name, asked)))
    if not any(names):
        return {}
    members = {part: [one for one in asked if name(one) == part] for part in names}
    return {part: {"n": len(of), **of_part(of)} for part, of in members.items()}


def _interval(values: Sequence[float]) -> list[float]:
    return list(interval(values, RESAMPLES, SEED, LEVEL))


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return math.fsum(found) / len(found) if found else None

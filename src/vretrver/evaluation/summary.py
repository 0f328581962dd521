"""metrics.json: what a run measured, from its outcomes alone. The same outcomes give the same bytes.

No clock reading is in it; those are in timing.json (`timing`). Means are over the topics whose answers are known; one
that could not be asked counts as a miss there. Where no topic's answers are public, `judged` is false and all that
needs them is null. docs/evaluation.md says what the numbers mean.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.evaluation.answer_summary import answers, pseudo_relevance
from vretrver.evaluation.measured import measured
from vretrver.evaluation.outcome import Outcome, spending
from vretrver.evaluation.statistics import RESAMPLES, calibration, interval, kendall_tau, paired_interval, sign_p

ALWAYS = ("hit@1", "hit@5", "hit@10")
COUNTING_NONE = ("hit", "pr", "precision", "mrr")
"""Measures that need not know how many documents are relevant in all."""
LEVEL, SEED = 0.95, 0
_DIGITS = 6

_Values = dict[str, dict[str, list[float]]]
"""By stage (`coarse`, `reranked`) and measure: one value per topic."""


def summarise(  # noqa: PLR0917  # what a run was, in the order metrics.json tells it
    outcomes: Sequence[Outcome],
    task_name: str,
    split: str,
    title: str,
    measures: Sequence[str],
    k: int,
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of metrics.json; JSON values only, floats rounded to six digits.

    Args:
        outcomes: one per topic, in the task's order.
        task_name, split, title: as the task and its card say.
        measures: as the task says, the first its headline; hit@1, hit@5, hit@10 and recall@k are always added.
        k: candidates of the first stage.
        config: the run's configuration, as recorded.

    Raises:
        InvalidInput: no measures, or one that `vretrver.metrics` does not know.
    """
    if not measures:
        raise InvalidInput(f"{task_name} names no measure; the first one is the headline")
    pseudo = any(one.pseudo for one in outcomes)  # then there is no telling how many are relevant
    names = tuple(dict.fromkeys([*ALWAYS, *measures, f"recall@{k}"]))
    for name in names:
        measured(name)
    names = tuple(name for name in names if not pseudo or name.partition("@")[0] in COUNTING_NONE)
    judged = [one for one in outcomes if one.judged]
    found = _rounded(
        {
            "task": task_name,
            "split": split,
            "title": title,
            "n": len(outcomes),
            "n_judged": len(judged),
            "k": k,
            "headline": measures[0],
            "judged": bool(judged),
            **_answers(judged, names, measures[0]),
            **_groups(outcomes, names),
            "looking": _looking(outcomes),
            "stability": _stability(outcomes),
            "usage": spending(outcomes),
            **({"relevant": "contains an answer"} if pseudo else {}),
            **pseudo_relevance(outcomes),
            **answers(outcomes, task_name),
            "errors": [[one.topic, one.error] for one in outcomes if one.error is not None],
        }
    )
    found["usage"]["money"] = {name: _digits(paid) for name, paid in spending(outcomes)["money"].items()}
    if "answers" in found:
        found["answers"]["usage"]["money"] = {
            name: _digits(paid) for name, paid in answers(outcomes, task_name)["answers"]["usage"]["money"].items()
        }
    if judged:
        found["sign_p"] = _digits(sign_p(found["wins"], found["losses"]))
    return {**found, "config": dict(config)}


def timing(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Measured seconds per topic, of the whole, of the policy, and of answers: {"total", "mean", "p50", "p95"} each."""
    answers = [one.answered.seconds for one in outcomes if one.answered is not None]
    return {
        "seconds": _times([one.seconds for one in outcomes]),
        "policy_seconds": _times([one.policy_seconds for one in outcomes]),
        **({"answer_seconds": _times(answers)} if answers else {}),
    }


# -- against the answers ----------------------------------------------------------------------------------------


def _answers(judged: Sequence[Outcome], names: Sequence[str], headline: str) -> dict[str, Any]:
    """All that needs answers; null throughout where there are none."""
    if not judged:
        keys = ("coarse", "reranked", "ceiling", "wins", "ties", "losses", "sign_p", "won", "lost")
        return dict.fromkeys((*keys, "interval", "calibration"))
    values = _values(judged, names)
    won = [one.topic for one in judged if one.change == "won"]
    lost = [one.topic for one in judged if one.change == "lost"]
    return {
        **{stage: _means(of_stage) for stage, of_stage in values.items()},
        "ceiling": _mean(one.first_before > 0 for one in judged),
        "wins": len(won),
        "ties": len(judged) - len(won) - len(lost),
        "losses": len(lost),
        "sign_p": sign_p(len(won), len(lost)),
        "won": won,
        "lost": lost,
        "interval": _intervals(values, tuple(dict.fromkeys(["hit@1", "hit@5", headline]))),
        "calibration": _calibration(judged),
    }


def _values(judged: Sequence[Outcome], names: Sequence[str]) -> _Values:
    orders: dict[str, Callable[[Outcome], Sequence[str]]] = {
        "coarse": lambda one: one.coarse,
        "reranked": lambda one: one.order,
    }
    return {
        stage: {name: [measured(name)(one, order(one)) for one in judged] for name in names}
        for stage, order in orders.items()
    }


def _intervals(values: _Values, names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED}
    for stage in ("coarse", "reranked"):
        found[stage] = {name: list(interval(values[stage][name], RESAMPLES, SEED, LEVEL)) for name in names}
    found["difference"] = {
        name: list(paired_interval(values["coarse"][name], values["reranked"][name], RESAMPLES, SEED, LEVEL))
        for name in names
    }
    return found


def _calibration(judged: Sequence[Outcome]) -> dict[str, Any] | None:
    """Of rank 1: how sure it was against whether it was right. Topics without candidates have no confidence."""
    sure = [one for one in judged if one.confidence]
    if not sure:
        return None
    return calibration([one.confidence[0] for one in sure], [one.first_after == 1 for one in sure])


def _groups(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, Any]:
    """`groups`, in the order they come; nothing where there is one part only."""
    parts = list(dict.fromkeys(one.group for one in outcomes))
    if not any(parts):
        return {}
    tables = {}
    for part in parts:
        members = [one for one in outcomes if one.group == part]
        judged = [one for one in members if one.judged]
        means = {stage: _means(of_stage) if judged else None for stage, of_stage in _values(judged, names).items()}
        tables[part] = {"n": len(members), **means}
    return {"groups": tables}


# -- what was done ----------------------------------------------------------------------------------------------


def _looking(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    by_calls = {}
    for calls in sorted({one.usage.tool_calls for one in outcomes}):
        members = [one for one in outcomes if one.usage.tool_calls == calls]
        judged = [one for one in members if one.judged]
        by_calls[str(calls)] = {
            "n": len(members),
            "hit@1 before": _mean(one.first_before == 1 for one in judged),
            "hit@1 after": _mean(one.first_after == 1 for one in judged),
        }
    return {
        "looked": _mean(one.usage.tool_calls > 0 for one in outcomes),
        "by_calls": by_calls,
        "tools": _counted(name for one in outcomes for name in one.tools),
        "skipped": _mean(one.skipped is not None for one in outcomes),
        "agreement": _mean(one.agreement for one in outcomes if one.agreement is not None),
        "repairs": sum(one.repairs for one in outcomes),
        "stops": _counted(reason for one in outcomes for reason in one.stops),
    }


def _stability(outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
    """How much the order depends on the order in which candidates are handed over; null when that was not tried."""
    shuffles = max((len(one.shuffled) for one in outcomes), default=0)
    if not shuffles:
        return None
    pairs = [(one.order, order) for one in outcomes for order in one.shuffled]
    judged = [one for one in outcomes if one.judged]
    hit = measured("hit@1")

    def of_shuffle(number: int) -> float | None:
        return _mean(hit(one, one.shuffled[number]) if number < len(one.shuffled) else 0.0 for one in judged)

    return {
        "shuffles": shuffles,
        "kendall_tau": _mean(kendall_tau(order, other) for order, other in pairs),
        "top1": _mean(order[:1] == other[:1] for order, other in pairs),
        "hit@1": [of_shuffle(number) for number in range(shuffles)] if judged else None,
    }


# -- arithmetic -------------------------------------------------------------------------------------------------


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    return {name: _mean(of_topic) for name, of_topic in values.items()}


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def _digits(value: float | None) -> float | None:
    """Six digits wherever they begin: a p of 1e-9 is not zero, nor is the price of one short answer."""
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _counted(names: Iterable[str]) -> dict[str, int]:
    """Counts by name, the most frequent first; equally frequent ones by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _times(seconds: Sequence[float]) -> dict[str, float | None]:
    import numpy as np

    half, most = np.quantile(seconds, [0.5, 0.95]).tolist() if seconds else (None, None)
    found: dict[str, float | None] = _rounded(
        {"total": math.fsum(seconds), "mean": _mean(seconds), "p50": half, "p95": most}
    )
    return found


def _rounded(value: Any) -> Any:
    """Floats to six digits throughout, so that the last bit of a sum is no difference between machines."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, _DIGITS) + 0.0 if isinstance(value, float) else value  # + 0.0: no minus zero

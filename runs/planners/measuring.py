"""What one contender did on one topic, and what many topics come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, quantiles
from typing import Any, Protocol

from runs.planners.topics import Topic

from vretrver.evaluation.statistics import interval, paired_interval
from vretrver.metrics import hit_rate, recall
from vretrver.testing import Served

MEASURES = ("hit@1", "hit@5", "hit@10", "R@5")
COSTS = ("calls", "rounds", "prompt", "cached", "uncached", "image", "completion")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A topic ranked.

    Args:
        order: candidates' numbers, best first.
        rounds: how many times windows were waited for before the next could be asked.
        steps: what was served, in the steps of the way; the calls of a step ran side by side.
        cpu: seconds of the client's CPU.
    """

    order: Sequence[int]
    rounds: int
    steps: Sequence[Sequence[Served]]
    cpu: float

    @property
    def calls(self) -> int:
        return sum(map(len, self.steps))

    @property
    def seconds(self) -> float:
        """Simulated: steps follow each other, the longest call of a step is the step's."""
        return sum(max((one.seconds for one in step), default=0.0) for step in self.steps)


class Contender(Protocol):
    """Ranks topics one at a time. `track` is `text` or `image`; `setting` says how, in words."""

    name: str
    track: str
    setting: str

    def rank(self, topic: Topic) -> Ranked: ...

    def close(self) -> None: ...


def row(topic: Topic, ranked: Ranked) -> dict[str, float]:
    """The numbers of one contender on one topic."""
    names = [str(number) for number in ranked.order]
    relevant = {str(number): 1 for number in topic.relevant}
    served = [one for step in ranked.steps for one in step]
    prompt, cached = sum(one.prompt_tokens for one in served), sum(one.cached_tokens for one in served)
    return {
        "calls": ranked.calls,
        "rounds": ranked.rounds,
        "prompt": prompt,
        "cached": cached,
        "uncached": prompt - cached,
        "image": sum(one.image_tokens for one in served),
        "completion": sum(one.completion_tokens for one in served),
        "seconds": ranked.seconds,
        "cpu_ms": 1e3 * ranked.cpu / max(1, ranked.calls),
        **{f"hit@{k}": hit_rate(names, relevant, k) for k in (1, 5, 10)},
        "R@5": recall(names, relevant, 5),
    }


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Means of costs and measures with 95 % bootstrap intervals of the measures; p50 and p95 of seconds; CPU a call."""
    seconds = [one["seconds"] for one in rows]
    found: dict[str, Any] = {"topics": len(rows), **{name: fmean(one[name] for one in rows) for name in COSTS}}
    found["p50"], found["p95"] = median(seconds), percentile(seconds, 95)
    found["cpu_ms"] = median(one["cpu_ms"] for one in rows)
    for name in MEASURES:
        values = [one[name] for one in rows]
        found[name] = {"mean": fmean(values), "interval": interval(values)}
    return found


def difference(before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What changes from one contender to another on the topics that both ranked.

    Returns:
        R@5 by topic with its 95 % interval, and ratios of the costs.
    """
    both = min(len(before), len(after))  # topics come in the same order for all
    before, after = before[:both], after[:both]
    pairs = [one["R@5"] for one in before], [one["R@5"] for one in after]
    ratios = {
        name: fmean(one[name] for one in after) / fmean(one[name] for one in before)
        for name in ("calls", "rounds", "uncached", "seconds")
    }
    return {"topics": both, "R@5": fmean(pairs[1]) - fmean(pairs[0]), "interval": paired_interval(*pairs), **ratios}


def percentile(values: Sequence[float], at: int) -> float:
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[at - 1]

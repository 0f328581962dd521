"""Rejection sampling (paper, section 3.4, stage II): of many rollouts, those that are fit to be learned from.

Kept is what is format-valid, rank-correct and consistent with the evidence it was shown (`filtering`, which the paper
does not have: it asks for the first two). At most `cap` of a query, no text twice, so that easy queries do not fill the
data. It leaves out the sampling (`rollouts`) and the training (`rsft`).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.boxes import BoxFamily
from vretrver.datasets import Topic
from vretrver.errors import InvalidInput
from vretrver.tools import Toolbox
from vretrver.trace import Trace
from vretrver.training.examples import WINDOW_PIXELS, Example, example_of
from vretrver.training.filtering import Rules
from vretrver.training.rollouts import Rollout
from vretrver.training.truths import Question

_FORMAT = {"no answer", "format", "calls"}
_RANK = {"no answer", "nothing right", "ranking"}
_EVIDENCE = {"stranger", "beside", "unseen", "false", "unsettled"}
Truth = Callable[[Trace], Question | None]
"""What is known of a window, by its trace; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How the rollouts were asked; the examples' system prompt is written of it."""

    toolbox: Toolbox
    max_tool_turns: int
    boxes: BoxFamily
    window_pixels: int = WINDOW_PIXELS


@dataclass(frozen=True, slots=True)
class Yield:
    """What the rollouts of one part of a task came to; windows without a right candidate are not counted.

    Args:
        queries: asked. rollouts: of them.
        format_valid: in form, every call valid. rank_correct: an answer, the right ones first.
        consistent: with the evidence, whatever the rank.
        fit: all three, and as many looks as the rules ask for. kept: after the cap and without repeats.
        answered: queries of which something was kept.
    """

    queries: int
    rollouts: int
    format_valid: int
    rank_correct: int
    consistent: int
    fit: int
    kept: int
    answered: int

    def __add__(self, other: Yield) -> Yield:
        return Yield(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _Judged:
    topic: str
    group: str
    trace: Trace
    faults: frozenset[str]
    relevant: tuple[int, ...]
    number: int


def reject(
    rollouts: Iterable[Rollout],
    topics: Mapping[str, Topic],
    asking: Asking,
    *,
    rules: Rules | None = None,
    truth: Truth = lambda trace: None,
    cap: int = 4,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> tuple[list[Example], dict[str, Yield]]:
    """Examples of the rollouts that are fit to be learned from.

    Args:
        topics: by id; say what is right.
        asking: how they were asked.
        rules: what a rollout must keep to.
        truth: where it is known, words and looks are held to it.
        cap: at most so many of a query; which of them is drawn by `seed`.
        facts: more for every example's facts.

    Returns:
        The examples in the order of the topics, and yields by `Topic.group`.

    Raises:
        InvalidInput: a rollout is of no such topic, or its prompt was another.
    """
    if cap < 1:
        raise InvalidInput(f"the cap is {cap} a query; it must be 1 or more")
    judged = [one for rollout in rollouts for one in _judged(rollout, topics, rules or Rules(), truth)]
    by_topic: defaultdict[str, list[_Judged]] = defaultdict(list)
    for one in judged:
        by_topic[one.topic].append(one)
    kept: dict[str, list[_Judged]] = {name: _chosen(found, cap, seed) for name, found in by_topic.items()}
    yields: dict[str, Yield] = {}
    for name, found in by_topic.items():
        group = topics[name].group or "all"
        yields[group] = yields.get(group, Yield(*[0] * 8)) + _yield(found, kept[name])
    examples = [_example(one, asking, facts or {}) for name in topics for one in kept.get(name, ())]
    return examples, dict(sorted(yields.items()))


def table(yields: Mapping[str, Yield]) -> str:
    """The yields as a table for people."""
    names = ["queries", "rollouts", "format", "rank", "evidence", "fit", "kept", "answered"]
    lines = [f"{'':<16}" + "".join(f"{name:>10}" for name in names)]
    whole = sum(yields.values(), Yield(*[0] * 8))
    for group, one in [*yields.items(), ("all", whole)]:
        values = [getattr(one, name) for name in one.__slots__]
        lines.append(f"{group:<16}" + "".join(f"{value:>10}" for value in values))
    return "\n".join(lines)


def _judged(rollout: Rollout, topics: Mapping[str, Topic], rules: Rules, truth: Truth) -> Iterable[_Judged]:
    topic = topics.get(rollout.topic)
    if topic is None:
        raise InvalidInput(f"there are rollouts of {rollout.topic!r}, which is no topic of this task")
    for trace in rollout.ranking.traces:
        relevant = tuple(at for at, name in enumerate(trace.candidates, start=1) if name in topic.relevant)
        if relevant:
            faults = frozenset(rules.faults(trace, topic.relevant.keys(), truth(trace)))
            yield _Judged(topic.id, topic.group, trace, faults, relevant, rollout.number)


def _chosen(found: Sequence[_Judged], cap: int, seed: int) -> list[_Judged]:
    """At most `cap` that are fit, no text twice."""
    fit = {tuple(turn.text for turn in one.trace.turns): one for one in reversed(found) if not one.faults}
    drawn = sorted(fit.values(), key=lambda one: one.number)
    random.Random(f"{seed}:{found[0].topic}").shuffle(drawn)  # noqa: S311  # no secret
    return sorted(drawn[:cap], key=lambda one: one.number)


def _yield(found: Sequence[_Judged], kept: Sequence[_Judged]) -> Yield:
    return Yield(
        queries=1,
        rollouts=len(found),
        format_valid=sum(not one.faults & _FORMAT for one in found),
        rank_correct=sum(not one.faults & _RANK for one in found),
        consistent=sum(not one.faults & _EVIDENCE for one in found),
        fit=sum(not one.faults for one in found),
        kept=len(kept),
        answered=int(bool(kept)),
    )


def _example(one: _Judged, asking: Asking, facts: Mapping[str, Any]) -> Example:
    return example_of(
        one.trace,
        asking.toolbox,
        max_tool_turns=asking.max_tool_turns,
        boxes=asking.boxes,
        window_pixels=asking.window_pixels,
        facts={
            **facts,
            "teacher": one.trace.policy,
            "topic": one.topic,
            "group": one.group,
            "relevant": list(one.relevant),
            "candidates": list(one.trace.candidates),
            "seed": one.number,
        },
    )

"""What a reward is given and what it gives. Any object with `name` and `__call__` is a reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vretrver.trace import Trace
from vretrver.training.truths import Question

Order = tuple[int, ...]
"""Candidates' numbers from 1, best first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One rollout of one window, as a reward sees it.

    Args:
        trace: of the product's own episode, observations and all.
        relevant: numbers of the right candidates in the window, from 1.
        truth: where the small-detail world's truth is known (`training.truths`).
        without: the order that the policy comes to when look number i (the i-th turn that a tool answered, from 0) is
            taken out; it gives None where nobody can say. See `counterfactual`.
    """

    trace: Trace
    relevant: frozenset[int]
    truth: Question | None = None
    without: Callable[[int], Order | None] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What one rollout earned.

    Args:
        total: the sum of the terms, within the reward's bounds.
        terms: by name, as weighted into the total; None where a term was not scored.
    """

    total: float
    terms: Mapping[str, float | None]

    @classmethod
    def of(cls, terms: Mapping[str, float | None], least: float | None = None, most: float | None = None) -> Score:
        """The score of some terms, its total held between `least` and `most`."""
        terms = {name: None if value is None else value + 0.0 for name, value in terms.items()}  # -0.0 is 0.0
        total = math.fsum(value for value in terms.values() if value is not None)
        total = total if least is None else max(least, total)
        return cls(total if most is None else min(most, total), terms)


class Reward(Protocol):
    """Scores groups: all rollouts of one prompt together, for some rewards compare them."""

    @property
    def name(self) -> str: ...

    def __call__(self, group: Sequence[Judged]) -> list[Score]:
        """One score for each rollout, in order."""
        ...

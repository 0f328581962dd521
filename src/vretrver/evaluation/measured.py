"""The measures of a run by name: those of `vretrver.metrics` over what is relevant, and those of questions.

pr@K         pseudo-relevance recall: 1 where one of the first K contains an answer (`marking.contains`)
accuracy     how right the answer is, by the benchmark's rule
grounded     that, where the answer cites a source that contains an answer; else 0
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from vretrver.evaluation.outcome import Outcome
from vretrver.metrics import hit_rate, measure_named

OfOutcome: TypeAlias = Callable[[Outcome, Sequence[str]], float]
"""Of a topic and an order of its candidates."""
OF_ANSWERS = ("accuracy", "grounded")


def measured(name: str) -> OfOutcome:
    """The function that a measure's name stands for.

    Raises:
        InvalidInput: no such measure.
    """
    if found := re.fullmatch(r"pr@([1-9][0-9]{0,8})", name):
        k = int(found[1])
        return lambda one, order: hit_rate(order, one.bearing or {}, k)
    if name in OF_ANSWERS:
        return lambda one, _order: 0.0 if one.answered is None else getattr(one.answered, name) or 0.0
    of_ranking = measure_named(name)
    return lambda one, order: of_ranking(order, one.relevant)

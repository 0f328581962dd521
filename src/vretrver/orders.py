"""Orders of the same things against each other: merged, fused, and how far they agree.

Pure functions on sequences of hashable items, best first; nothing here knows what the items are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)

PLACE_ODDS = 2.0
"""By how many log-odds an answer's chance falls with each e-fold of its place in an agent's order; from validation."""


def merged(first: Sequence[Item], second: Sequence[Item], tie: Sequence[Item]) -> tuple[Item, ...]:
    """One order of two: by the sum of both places, equal sums in the order of `tie`.

    Permutation self-consistency (Tang et al., "Found in the Middle", NAACL 2024) asks a model several times with its
    candidates shuffled and takes the order of the least total Kendall distance to the answers (Kemeny, 1959). Of two
    answers, every order that keeps the pairs on which they agree is such a one, and this keeps them: whoever comes
    first in both has the lower sum. The sum (Borda's count) settles how the others stand, as in the bootstrapping of
    Hou et al. (ECIR 2024).
    """
    one, other, third = _places(first), _places(second), _places(tie)
    return tuple(sorted(first, key=lambda item: (one[item] + other[item], third[item])))


def agreement(first: Sequence[Item], second: Sequence[Item]) -> float | None:
    """The share of pairs that both orders have the same way round, 0..1; None of fewer than two items.

    Kendall's tau is 2 * agreement - 1.
    """
    other = _places(second)
    pairs = [other[before] < other[after] for before, after in combinations(first, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def fused(ranked: Sequence[Item], log_odds: Mapping[Item, float], weight: float) -> tuple[Item, ...]:
    """A logarithmic opinion pool (Genest and Zidek, Statistical Science 1986) of an agent's order and prior odds.

        score = (1 - weight) * -PLACE_ODDS * log(place) + weight * log_odds

    Places count from 1; equal scores stand as in `ranked`: weight 0 is `ranked`, weight 1 goes by the odds alone. On
    validation it beat reciprocal rank fusion, whose constant of 60 takes first places for hardly better than second
    ones (docs/confidence.md).

    Args:
        ranked: best first.
        log_odds: of each item; see `place_odds` where only an order is known.
    """
    place = _places(ranked)

    def score(item: Item) -> float:
        return weight * log_odds[item] - (1 - weight) * PLACE_ODDS * math.log(1 + place[item])

    return tuple(sorted(ranked, key=score, reverse=True))


def place_odds(order: Sequence[Item]) -> dict[Item, float]:
    """Log-odds, but for a constant, where nothing is known but an order: `fused` then multiplies powers of places."""
    return {item: -PLACE_ODDS * math.log(place) for place, item in enumerate(order, start=1)}


def _places(order: Sequence[Item]) -> dict[Item, int]:
    return {item: place for place, item in enumerate(order)}

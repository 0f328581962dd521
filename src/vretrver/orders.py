"""Orders of the same things against each other: merged, fused, and how far they agree.

Pure functions on sequences of hashable items, best first; nothing here knows what the items are.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)

RRF_K = 60
"""Cormack, Clarke and Büttcher's constant (SIGIR 2009): how far down the list a place still counts."""


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


def fused(ranked: Sequence[Item], coarse: Sequence[Item], weight: float) -> tuple[Item, ...]:
    """Weighted reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), best first.

        score = (1 - weight) / (RRF_K + place in ranked) + weight / (RRF_K + place in coarse)

    Places count from 1; equal scores stand as in `ranked`, so weight 0 is `ranked` and weight 1 is `coarse`.
    """
    one, other = _places(ranked), _places(coarse)

    def score(item: Item) -> float:
        return (1 - weight) / (RRF_K + 1 + one[item]) + weight / (RRF_K + 1 + other[item])

    return tuple(sorted(ranked, key=score, reverse=True))


def _places(order: Sequence[Item]) -> dict[Item, int]:
    return {item: place for place, item in enumerate(order)}

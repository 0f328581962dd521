from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.orders import agreement, fused, merged


def test_two_orders_meet_in_the_middle() -> None:
    assert merged("abcd", "abcd", "dcba") == tuple("abcd")
    assert merged("abc", "bca", "abc") == tuple("bac")  # sums 0+2, 1+0, 2+1
    assert merged("ab", "ba", "ba") == ("b", "a")  # a tie
    assert merged("", "", "") == ()


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Kendall's: pairs that stand the other way round."""
    return sum(other.index(a) > other.index(b) for a, b in itertools.combinations(one, 2))


@pytest.mark.parametrize("seed", range(20))
def test_the_merged_order_is_nearest_to_both(seed: int) -> None:
    draw = Random(seed)
    first, second, tie = (tuple(draw.sample(range(5), 5)) for _order in range(3))
    ours = merged(first, second, tie)
    least = min(distance(order, first) + distance(order, second) for order in itertools.permutations(range(5)))
    assert distance(ours, first) + distance(ours, second) == least


def test_agreement_counts_pairs() -> None:
    assert agreement("abc", "abc") == 1
    assert agreement("abc", "cba") == 0
    assert agreement("abc", "acb") == 2 / 3
    assert agreement("a", "a") is None


def test_fusion_runs_from_one_order_to_the_other() -> None:
    assert fused("abc", "cba", 0) == tuple("abc")
    assert fused("abc", "cba", 1) == tuple("cba")
    assert fused("abcd", "bcda", 0.5) == tuple("bacd")  # a: 1/61 + 1/64, b: 1/62 + 1/61


@given(st.integers(0, 30), st.floats(0, 1), st.randoms())
def test_every_fusion_is_a_permutation(k: int, weight: float, random: Random) -> None:
    one, other = random.sample(range(k), k), random.sample(range(k), k)
    assert sorted(fused(one, other, weight)) == sorted(merged(one, other, range(k))) == list(range(k))

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.orders import agreement, fused, merged, place_odds


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
    odds = place_odds("cba")
    assert fused("abc", odds, 0) == tuple("abc")
    assert fused("abc", odds, 1) == tuple("cba")
    assert fused("abcd", place_odds("bcda"), 0.5) == tuple("bacd")  # products of places: 4, 2, 6, 12


def test_prior_odds_move_what_an_agent_put_second() -> None:
    """Second place costs 2 log 2 = 1.39; at equal weight odds that are 1.4 better make up for it, 1.3 do not."""
    assert fused("ab", {"a": 0.0, "b": 1.4}, 0.5) == ("b", "a")
    assert fused("ab", {"a": 0.0, "b": 1.3}, 0.5) == ("a", "b")


@given(st.integers(0, 30), st.floats(0, 1), st.randoms())
def test_every_fusion_is_a_permutation(k: int, weight: float, random: Random) -> None:
    one, other = random.sample(range(k), k), random.sample(range(k), k)
    assert sorted(fused(one, place_odds(other), weight)) == sorted(merged(one, other, range(k))) == list(range(k))

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.windows import Chances, Order, Plan, Span, adaptive, load_planner, merge, onepass, sliding


def played(plan: Plan, rank: Callable[[Order], Order]) -> tuple[list[list[Span]], Order]:
    """The rounds a plan asks for, and the order it comes to."""
    rounds: list[list[Span]] = []
    try:
        spans = next(plan)
        while True:
            rounds.append(spans)
            spans = plan.send([rank(span.items) for span in spans])
    except StopIteration as end:
        return rounds, tuple(end.value)


def run(plan: Plan, rank: Callable[[Order], Order]) -> tuple[list[Span], Order]:
    """As `played`, the rounds' windows in one list."""
    rounds, order = played(plan, rank)
    return [span for spans in rounds for span in spans], order


def some(k: int) -> Chances:
    """So many candidates of which nobody knows how likely they are."""
    return [0.5] * k


def keep(items: Order) -> Order:
    return items


def test_the_papers_windows() -> None:
    asked, order = run(sliding(some(50)), keep)
    assert [(span.start, len(span.items)) for span in asked] == [(30, 20), (20, 20), (10, 20), (0, 20)]
    assert order == tuple(range(50))


@pytest.mark.parametrize(("k", "starts"), [(0, []), (1, [0]), (20, [0]), (21, [1, 0]), (25, [5, 0]), (30, [10, 0])])
def test_short_lists(k: int, starts: list[int]) -> None:
    asked, _ = run(sliding(some(k)), keep)
    assert [span.start for span in asked] == starts


def test_a_strong_candidate_found_last_travels_to_the_front() -> None:
    _, order = run(sliding(some(50)), lambda items: tuple(sorted(items, reverse=True)))
    assert order[:10] == tuple(range(49, 39, -1))


@given(st.integers(0, 70), st.integers(1, 25), st.integers(1, 25), st.randoms())
def test_every_plan_is_a_permutation_and_covers_the_list(k: int, window: int, stride: int, random: object) -> None:
    if stride > window:
        return
    shuffle = random.sample  # type: ignore[attr-defined]
    asked, order = run(sliding(some(k), window, stride), lambda items: tuple(shuffle(items, len(items))))
    assert sorted(order) == list(range(k))
    assert {span.start + at for span in asked for at in range(len(span.items))} == set(range(k))
    assert all(1 <= len(span.items) <= window for span in asked)


@given(st.integers(1, 60), st.integers(2, 20), st.data())
def test_the_best_candidate_always_ends_first_when_windows_overlap(k: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window - 1))
    best = data.draw(st.integers(0, k - 1))
    _, order = run(sliding(some(k), window, stride), lambda items: tuple(sorted(items, key=lambda item: item != best)))
    assert order[0] == best


@pytest.mark.parametrize(("k", "window", "stride"), [(5, 0, 1), (5, 4, 0), (5, 4, 5)])
def test_arguments_that_would_skip_candidates_are_refused(k: int, window: int, stride: int) -> None:
    with pytest.raises(InvalidInput, match="stride between 1 and window"):
        sliding(some(k), window, stride)


def by_worth(worth: Sequence[int]) -> Callable[[Order], Order]:
    """A consistent ranker: orders any window as one fixed order would."""
    return lambda items: tuple(sorted(items, key=lambda item: worth[item]))


def test_merge_of_fifty_takes_three_windows_in_two_rounds() -> None:
    rounds, order = played(merge(some(50)), by_worth(range(50)))
    assert [[(span.start, len(span.items)) for span in spans] for spans in rounds] == [[(10, 20), (30, 20)], [(0, 20)]]
    assert rounds[1][0].items == (*range(10), *range(10, 15), *range(30, 35))
    assert order[:5] == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(("window", "top"), [(2, 1), (3, 1), (3, 2), (4, 2)])
def test_merge_is_exact_at_the_top_for_every_order_of_a_short_list(window: int, top: int) -> None:
    for k in range(8):
        for worth in itertools.permutations(range(k)):
            _rounds, order = played(merge(some(k), window, top), by_worth(worth))
            assert sorted(order) == list(range(k))
            assert order[:top] == tuple(sorted(range(k), key=lambda item: worth[item]))[:top]


@given(st.integers(0, 300), st.integers(2, 25), st.data(), st.randoms())
def test_merge_is_exact_at_the_top_and_never_shows_too_many(
    k: int, window: int, data: st.DataObject, random: Random
) -> None:
    top = data.draw(st.integers(1, window - 1))
    worth = random.sample(range(k), k)
    rounds, order = played(merge(some(k), window, top), by_worth(worth))
    assert sorted(order) == list(range(k))
    assert order[:top] == tuple(sorted(range(k), key=lambda item: worth[item]))[:top]
    for spans in rounds:
        shown = [item for span in spans for item in span.items]
        assert len(shown) == len(set(shown))
        assert all(1 <= len(span.items) <= window for span in spans)


@pytest.mark.parametrize(
    ("k", "top", "windows", "rounds"), [(50, 5, 3, 2), (50, 10, 5, 3), (100, 5, 7, 3), (20, 5, 1, 1)]
)
def test_what_merge_costs(k: int, top: int, windows: int, rounds: int) -> None:
    asked, _order = played(merge(some(k), 20, top), by_worth(range(k)))
    assert (sum(map(len, asked)), len(asked)) == (windows, rounds)


def test_onepass_ranks_the_first_window_and_leaves_the_rest() -> None:
    rounds, order = played(onepass(some(7), 3), lambda items: items[::-1])
    assert [[span.items for span in spans] for spans in rounds] == [[(0, 1, 2)]]
    assert order == (2, 1, 0, 3, 4, 5, 6)
    assert played(onepass(()), lambda items: items) == ([], ())


def test_adaptive_leaves_out_what_cannot_matter() -> None:
    chances = [0.5, 0.2, 0.1, 0.02, 0.01, 0.01]
    rounds, order = played(adaptive(chances, 0.025, window=3, top=1), lambda items: items[::-1])
    assert [[span.items for span in spans] for spans in rounds] == [[(1, 2, 3)], [(0, 3)]]
    assert order == (3, 0, 2, 1, 4, 5)
    rounds, _order = played(adaptive(chances, 0.05, window=3, top=1), by_worth(range(6)))
    assert [[span.items for span in spans] for spans in rounds] == [[(0, 1, 2)]]


def test_adaptive_without_knowledge_is_merge() -> None:
    assert played(adaptive(some(50)), by_worth(range(50))) == played(merge(some(50)), by_worth(range(50)))


def test_adaptive_always_ranks_one_window() -> None:
    rounds, _order = played(adaptive([0.0] * 50), by_worth(range(50)))
    assert [[len(span.items) for span in spans] for spans in rounds] == [[20]]


@given(st.integers(0, 14), st.floats(0, 1), st.data(), st.randoms())
def test_adaptive_loses_no_more_than_it_may(k: int, eps: float, data: st.DataObject, random: Random) -> None:
    """One answer, candidate i with probability chances[i]; the ranker is consistent and else as bad as it likes."""
    window = data.draw(st.integers(2, 6))
    top = data.draw(st.integers(1, window - 1))
    shares = [random.random() ** 4 + 1e-9 for _item in range(k)]
    chances = [share / sum(shares) for share in shares]
    rank = by_worth(random.sample(range(k), k))
    _rounds, order = played(adaptive(chances, eps, window, top), rank)
    assert sorted(order) == list(range(k))
    _rounds, whole = played(merge(chances, window, top), rank)
    assert sum(chances[item] for item in whole[:top] if item not in order[:top]) <= eps + 1e-9


def test_adaptive_loses_no_more_than_it_may_with_any_number_of_answers() -> None:
    """Every set of answers of a short list, each candidate an answer or not by itself: R@top, exactly."""
    chances, eps = [0.6, 0.3, 0.05, 0.04, 0.03, 0.02], 0.1
    for worth in itertools.permutations(range(6)):
        orders = [played(plan, by_worth(worth))[1][:2] for plan in (merge(chances, 3, 2), adaptive(chances, eps, 3, 2))]
        loss = 0.0
        for answers in itertools.product([False, True], repeat=6):
            share = math.prod(p if right else 1 - p for p, right in zip(chances, answers, strict=True))
            whole, short = (sum(answers[item] for item in order) / max(1, sum(answers)) for order in orders)
            loss += share * (whole - short)
        assert loss <= eps


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("sliding", 4),
        ("sliding:10,5", 9),
        ("sliding:50,50", 1),
        ("merge", 3),
        ("merge:20,10", 5),
        ("onepass:30", 1),
        ("adaptive", 3),
        ("adaptive:0.05", 3),
    ],
)
def test_a_planner_by_name(name: str, windows: int) -> None:
    rounds, _order = played(load_planner(name)(some(50)), lambda items: items)
    assert sum(map(len, rounds)) == windows


@pytest.mark.parametrize(
    "name",
    [
        "slide",
        "sliding:5",
        "sliding:5,6",
        "sliding:0,0",
        "sliding:a,b",
        "sliding:",
        "merge:5,5",
        "merge:5.5,2",
        "onepass:0",
        "adaptive:2",
        "adaptive:-1",
        "adaptive:.1,5",
        "adaptive:nan",
    ],
)
def test_a_planner_that_is_none_is_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"sliding|merge|onepass|adaptive"):
        load_planner(name)

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.windows import Order, Plan, Span, load_planner, sliding


def run(plan: Plan, rank: Callable[[Order], Order]) -> tuple[list[Span], Order]:
    """Drive a plan with a ranking function; every span it asked for, and its order."""
    asked: list[Span] = []
    spans = []
    try:
        spans = next(plan)
        while True:
            asked += spans
            spans = plan.send([rank(span.items) for span in spans])
    except StopIteration as end:
        return asked, tuple(end.value)


def keep(items: Order) -> Order:
    return items


def test_the_papers_windows() -> None:
    asked, order = run(sliding(50), keep)
    assert [(span.start, len(span.items)) for span in asked] == [(30, 20), (20, 20), (10, 20), (0, 20)]
    assert order == tuple(range(50))


@pytest.mark.parametrize(("k", "starts"), [(0, []), (1, [0]), (20, [0]), (21, [1, 0]), (25, [5, 0]), (30, [10, 0])])
def test_short_lists(k: int, starts: list[int]) -> None:
    asked, _ = run(sliding(k), keep)
    assert [span.start for span in asked] == starts


def test_a_strong_candidate_found_last_travels_to_the_front() -> None:
    _, order = run(sliding(50), lambda items: tuple(sorted(items, reverse=True)))
    assert order[:10] == tuple(range(49, 39, -1))


@given(st.integers(0, 70), st.integers(1, 25), st.integers(1, 25), st.randoms())
def test_every_plan_is_a_permutation_and_covers_the_list(k: int, window: int, stride: int, random: object) -> None:
    if stride > window:
        return
    shuffle = random.sample  # type: ignore[attr-defined]
    asked, order = run(sliding(k, window, stride), lambda items: tuple(shuffle(items, len(items))))
    assert sorted(order) == list(range(k))
    assert {span.start + at for span in asked for at in range(len(span.items))} == set(range(k))
    assert all(1 <= len(span.items) <= window for span in asked)


@given(st.integers(1, 60), st.integers(2, 20), st.data())
def test_the_best_candidate_always_ends_first_when_windows_overlap(k: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window - 1))
    best = data.draw(st.integers(0, k - 1))
    _, order = run(sliding(k, window, stride), lambda items: tuple(sorted(items, key=lambda item: item != best)))
    assert order[0] == best


@pytest.mark.parametrize(("k", "window", "stride"), [(-1, 20, 10), (5, 0, 1), (5, 4, 0), (5, 4, 5)])
def test_arguments_that_would_skip_candidates_are_refused(k: int, window: int, stride: int) -> None:
    with pytest.raises(InvalidInput, match="stride between 1 and window"):
        sliding(k, window, stride)


@pytest.mark.parametrize(("name", "windows"), [("sliding", 4), ("sliding:10,5", 9), ("sliding:50,50", 1)])
def test_a_planner_by_name(name: str, windows: int) -> None:
    asked, _order = run(load_planner(name)(50), tuple)
    assert len(asked) == windows


@pytest.mark.parametrize("name", ["slide", "sliding:5", "sliding:5,6", "sliding:0,0", "sliding:a,b", ""])
def test_a_planner_that_is_none_is_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidInput, match="sliding"):
        load_planner(name)

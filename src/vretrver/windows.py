"""Planners: which windows are ranked, in what order. Generators that ask for windows and take rankings.

A planner is a callable of K that gives a `Plan`. A plan yields a batch of spans, which may be ranked at the same
time, takes their rankings, and returns the whole order in the end. Items are positions in the incoming list.
Nothing here knows queries, models or pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from vretrver.errors import InvalidInput

Order: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """One window asked for: the items it holds in their present order, and where the first of them stands now."""

    start: int
    items: Order


Plan: TypeAlias = Generator[list[Span], list[Order], Order]
Planner: TypeAlias = Callable[[int], Plan]


def sliding(k: int, window: int = 20, stride: int = 10) -> Plan:
    """Windows from the back of the list to the front (paper, section 3.3).

    Back to front: a strong candidate found late must be able to travel to rank 1, which it can while windows
    overlap (`stride` < `window`).

    Args:
        k: how many candidates there are; with 0 no window is asked for, with fewer than `window` one holds them all.
        window: the most candidates in one window.
        stride: how far the window moves.

    Raises:
        InvalidInput: k below 0, window below 1, or stride not in 1..window (candidates would be skipped).
    """
    if k < 0 or window < 1 or not 1 <= stride <= window:
        raise InvalidInput(
            f"sliding(k={k}, window={window}, stride={stride}): k is at least 0, window at least 1 and "
            "stride between 1 and window"
        )
    return _sliding(k, window, stride)


def _sliding(k: int, window: int, stride: int) -> Plan:
    order = list(range(k))
    end = k
    while end > 0:
        start = max(0, end - window)
        (ranked,) = yield [Span(start, tuple(order[start:end]))]
        order[start:end] = ranked
        end = end - stride if start > 0 else 0
    return tuple(order)


def load_planner(name: str | Planner) -> Planner:
    """The planner of a name, or the object itself if it is one already.

    Args:
        name: `sliding` (window 20, stride 10) or `sliding:WINDOW,STRIDE`; a stride equal to the window ranks each
            candidate once, and `sliding:K,K` ranks all of them in one window.

    Raises:
        InvalidInput: no such planner, or `sliding` refuses the numbers.
    """
    if not isinstance(name, str):
        return name
    if name == "sliding":
        return sliding
    if numbers := re.fullmatch(r"sliding:([0-9]{1,6}),([0-9]{1,6})", name):
        planner = partial(sliding, window=int(numbers[1]), stride=int(numbers[2]))
        planner(0)  # refuses numbers that do not fit now, not in the middle of a run
        return planner
    raise InvalidInput(f"unknown planner {name!r}; choose sliding or sliding:WINDOW,STRIDE such as sliding:20,10")

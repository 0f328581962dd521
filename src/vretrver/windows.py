"""Planners: which windows are ranked, in what order. Generators that ask for windows and take rankings.

A planner is a callable of the candidates' chances that gives a `Plan`. A plan yields a batch of spans, which may be
ranked at the same time, takes their rankings, and returns the whole order in the end. Items are positions in the
incoming list. Nothing here knows queries, models or pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vretrver.errors import InvalidInput

Order: TypeAlias = tuple[int, ...]
Chances: TypeAlias = Sequence[float]
"""How likely each candidate answers, in incoming order, as the coarse stage can say. One per candidate: its length is
K. Most planners read nothing but that length."""


@dataclass(frozen=True, slots=True)
class Span:
    """One window asked for: the items it holds in their present order, and where the first of them stands now."""

    start: int
    items: Order


Plan: TypeAlias = Generator[list[Span], list[Order], Order]
Planner: TypeAlias = Callable[[Chances], Plan]


def sliding(chances: Chances, window: int = 20, stride: int = 10) -> Plan:
    """Windows from the back of the list to the front (paper, section 3.3).

    Back to front: a strong candidate found late must be able to travel to rank 1, which it can while windows
    overlap (`stride` < `window`).

    Args:
        chances: one per candidate; without any no window is asked for, with fewer than `window` one holds them all.
        window: the most candidates in one window.
        stride: how far the window moves.

    Raises:
        InvalidInput: window below 1, or stride not in 1..window (candidates would be skipped).
    """
    if window < 1 or not 1 <= stride <= window:
        raise InvalidInput(
            f"sliding(window={window}, stride={stride}): window is at least 1 and stride between 1 and window"
        )
    return _sliding(len(chances), window, stride)


def _sliding(k: int, window: int, stride: int) -> Plan:
    order = list(range(k))
    end = k
    while end > 0:
        start = max(0, end - window)
        (ranked,) = yield [Span(start, tuple(order[start:end]))]
        order[start:end] = ranked
        end = end - stride if start > 0 else 0
    return tuple(order)


def merge(chances: Chances, window: int = 20, top: int = 5) -> Plan:
    """Blocks ranked side by side; the best `top` of each meet the head of the list in the next round.

    While more than `window` candidates are left, blocks of `window` are cut from the back of the list and ranked at the
    same time. Of each, the first `top` go on; what stands before the blocks goes on unranked. The last round is one
    window. For k = 50: ranks 11-30 and 31-50 side by side, then five of each with ranks 1-10: 3 windows in 2 rounds,
    where `sliding` takes 4 in 4.

    The first `top` are exact under a consistent ranker, one that orders any window as one fixed order of all
    candidates would. Proof: let c be among the `top` best of all. In any block fewer than `top` candidates are better
    than c, so c is among that block's first `top` and goes on; so it is in the last window, with the others of the
    `top` best, which comes out in the fixed order. Each round leaves fewer candidates, because `top` < `window`.

    What fell out comes after the last window: later rounds first, then by place in its block, then front block first.
    That part is no exact order, and neither is what `sliding` leaves behind its first places.

    Args:
        chances: one per candidate; only their number counts.
        window: the most candidates in one window.
        top: how many first places are to be exact.

    Raises:
        InvalidInput: top not in 1..window - 1.
    """
    if not 1 <= top < window:
        raise InvalidInput(f"merge(window={window}, top={top}): top is between 1 and window - 1")
    return _merge(range(len(chances)), window, top)


def _merge(items: Sequence[int], window: int, top: int) -> Plan:
    left, fallen = list(items), list[int]()
    while len(left) > window:
        head = len(left) - window * _blocks(len(left), window, top)  # below 0 where the first block is not full
        edges = [(max(0, start), start + window) for start in range(head, len(left), window)]
        spans = [Span(start, tuple(left[start:end])) for start, end in edges]
        ranked = yield spans
        places = range(top, max(map(len, ranked)))
        fallen = [order[place] for place in places for order in ranked if place < len(order)] + fallen
        left = left[: max(0, head)] + [item for order in ranked for item in order[:top]]
    if not left:
        return ()
    (last,) = yield [Span(0, tuple(left))]
    return (*last, *fallen)


def _blocks(n: int, window: int, top: int) -> int:
    """How many blocks a round takes: as few as let the next round be the last, else as many as there are."""
    needed = -(-(n - window) // (window - top))  # n - blocks * (window - top) <= window
    return min(needed, -(-n // window))


def onepass(chances: Chances, window: int = 20) -> Plan:
    """The first `window` candidates in one window; all others stay as they came. One call, however many there are.

    Raises:
        InvalidInput: window below 1.
    """
    if window < 1:
        raise InvalidInput(f"onepass(window={window}): window is at least 1")
    return _onepass(len(chances), window)


def _onepass(k: int, window: int) -> Plan:
    if k == 0:
        return ()
    (first,) = yield [Span(0, tuple(range(min(k, window))))]
    return (*first, *range(min(k, window), k))


def adaptive(chances: Chances, eps: float = 0.05, window: int = 20, top: int = 5) -> Plan:
    """`merge` over as few candidates as the chances allow: the rest cannot matter by more than `eps`.

    The least likely candidates are left out, as many as together have a chance of at most `eps`; the others are merged,
    and what was left out follows in incoming order. The most likely `window` are always ranked: who comes first is
    decided there, and one window is the least that looking costs.

    The expected loss in R@top, against `merge` of all candidates, is at most `eps` under calibrated chances and a
    consistent ranker. Proof: let U be what was left out and T the ranker's `top` best of all. Whoever is in T but not
    in U is among the `top` best of the others, so `merge` keeps it there; R@top can fall only where an answer is in U,
    by at most 1, and by the union bound that has a probability of at most sum(chances of U) <= eps. Nothing is assumed
    of how candidates depend on each other, and nothing of how good the ranker is. A ranker that contradicts itself
    loses what it loses by chance, here as in every plan.

    Chances of which nobody knows anything (`coarse.NEUTRAL`, one half each) leave nothing out: this is then `merge`.

    Args:
        chances: one per candidate, in incoming order.
        eps: expected loss that is allowed; 0 leaves out only what is impossible.
        window, top: as `merge`.

    Raises:
        InvalidInput: eps not in 0..1, or top not in 1..window - 1.
    """
    if not 0 <= eps <= 1 or not 1 <= top < window:
        raise InvalidInput(
            f"adaptive(eps={eps}, window={window}, top={top}): eps is between 0 and 1, top between 1 and window - 1"
        )
    return _adaptive(chances, eps, window, top)


def _adaptive(chances: Chances, eps: float, window: int, top: int) -> Plan:
    likely_first = sorted(range(len(chances)), key=lambda item: (-chances[item], item))
    kept, left_out = len(chances), 0.0
    while kept > window and (left_out := left_out + chances[likely_first[kept - 1]]) <= eps:
        kept -= 1
    ranked = yield from _merge(sorted(likely_first[:kept]), window, top)
    return (*ranked, *sorted(likely_first[kept:]))


_PLANNERS: Mapping[str, tuple[Callable[..., Plan], str]] = {
    "sliding": (sliding, "WINDOW,STRIDE"),
    "merge": (merge, "WINDOW,TOP"),
    "onepass": (onepass, "WINDOW"),
    "adaptive": (adaptive, "EPS"),
}
_NUMBER = re.compile(r"[0-9]{1,6}|[0-9]?\.[0-9]{1,6}")


def load_planner(name: str | Planner) -> Planner:
    """The planner of a name, or the object itself if it is one already.

    Args:
        name: `sliding`, `merge`, `onepass` or `adaptive`, with their numbers after a colon where the defaults do not
            fit: `sliding:WINDOW,STRIDE` (20,10), `merge:WINDOW,TOP` (20,5), `onepass:WINDOW` (20), `adaptive:EPS`
            (0.05).

    Raises:
        InvalidInput: no such planner, or it refuses the numbers.
    """
    if not isinstance(name, str):
        return name
    kind, colon, numbers = name.partition(":")
    planner, takes = _PLANNERS.get(kind, (None, ""))
    given = [_number(word, whole=takes != "EPS") for word in numbers.split(",")] if colon else []
    if planner is None or None in given or (given and len(given) != takes.count(",") + 1):
        allowed = ", ".join(f"{one}[:{takes}]" for one, (_planner, takes) in _PLANNERS.items())
        raise InvalidInput(f"unknown planner {name!r}; choose from {allowed}, such as sliding:20,10")
    planner((), *given)  # refuses numbers that do not fit now, not in the middle of a run
    return lambda chances: planner(chances, *given)


def _number(word: str, whole: bool) -> float | None:
    """A planner's number; None where it is none, or has a fraction where a whole one is due."""
    if not _NUMBER.fullmatch(word) or (whole and "." in word):
        return None
    return int(word) if whole else float(word)

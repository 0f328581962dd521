"""How far a ranking is: a planner that tells about its plan while it is carried out, and changes nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vretrver.windows import Chances, Order, Plan, Planner, Span


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a ranking is.

    Args:
        windows: ranked so far; `asked`: those and the ones being looked at now.
        order: ids in the present order, best first: what is ranked has moved, the rest is where it was.
        looking: ids of the windows being looked at now.
    """

    windows: int
    asked: int
    order: tuple[str, ...]
    looking: tuple[tuple[str, ...], ...]


Tell = Callable[[Progress], None]


def followed(planner: Planner, ids: Sequence[str], tell: Tell) -> Planner:
    """A planner that tells how far its plan is: before every round of windows, with the order so far.

    Args:
        ids: of the one query's candidates in incoming order.
    """

    def plan(chances: Chances) -> Plan:
        inner = planner(chances)
        order = list(range(len(ids)))
        windows = 0
        ranked: list[Order] | None = None
        while True:
            try:
                spans = next(inner) if ranked is None else inner.send(ranked)
            except StopIteration as end:
                final: Order = tuple(end.value)
                tell(Progress(windows, windows, tuple(ids[item] for item in final), ()))
                return final
            looking = tuple(tuple(ids[item] for item in span.items) for span in spans)
            tell(Progress(windows, windows + len(spans), tuple(ids[item] for item in order), looking))
            ranked = yield spans
            for span, best_first in zip(spans, ranked, strict=True):
                order = _moved(order, span, best_first)
            windows += len(spans)

    return plan


def _moved(order: Sequence[int], span: Span, best_first: Order) -> list[int]:
    """The order with one window's items, wherever they stand, in that window's order."""
    held = set(span.items)
    items = iter(best_first)
    return [next(items) if item in held else item for item in order]

"""The ablation's chart: a dot and a whisker for every row, one panel a column, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vretrver.report.markup import Html, h

WIDTH, LINE, TOP, BOTTOM = 360.0, 24.0, 8.0, 40.0
LABELS = 138.0
SIGNS = 24  # of a label that find room


@dataclass(frozen=True, slots=True)
class Dot:
    """One row. `value` and `ends` are None where it was not measured; `each` are the seeds; `strong` is drawn full."""

    label: str
    value: float | None
    ends: tuple[float, float] | None
    each: tuple[float, ...]
    note: str
    strong: bool = False


def forest(dots: Sequence[Dot], *, label: str, most: float, lines: Sequence[tuple[str, float, str]]) -> Html:
    """The dots of one column, from 0 to `most`.

    Args:
        label: what the chart shows, for those who cannot see it.
        lines: class, place and words of each dashed line: chance, the incoming order.
    """
    height = TOP + LINE * len(dots) + BOTTOM
    floor = TOP + LINE * len(dots) + 4

    def x(share: float) -> float:
        return LABELS + (WIDTH - LABELS - 14) * min(max(share, 0.0), most) / most

    fifths = round(most * 5)
    drawn: list[Html] = []
    for part in range(fifths + 1):
        at = x(part / 5)
        drawn.append(h("line", {"class": "grid", "x1": at, "x2": at, "y1": TOP, "y2": floor}))
        drawn.append(h("text", {"class": "tick mid", "x": at, "y": floor + 16}, f"{20 * part} %"))
    drawn.append(h("text", {"class": "tick mid name", "x": (LABELS + WIDTH - 14) / 2, "y": height - 6}, "hit@1"))
    for kind, at, said in lines:
        ends = {"x1": x(at), "x2": x(at), "y1": TOP, "y2": floor}
        drawn.append(h("line", {"class": f"ideal {kind}", **ends}, h("title", {}, said)))
    for number, dot in enumerate(dots):
        drawn += _dot(dot, TOP + LINE * (number + 0.5), x)
    box = f"0 0 {WIDTH:g} {height:g}"
    return h(
        "svg",
        {"class": "plot forest", "viewBox": box, "role": "img", "aria-label": label},
        h("title", {}, label),
        drawn,
    )


def _dot(dot: Dot, y: float, x: object) -> list[Html]:
    assert callable(x)
    short = dot.label if len(dot.label) <= SIGNS else dot.label[: SIGNS - 1] + "…"
    drawn = [h("text", {"class": "tick end", "x": LABELS - 10, "y": y + 4}, short)]
    if dot.value is None:
        return [*drawn, h("text", {"class": "tick name", "x": LABELS + 2, "y": y + 4}, "not measured")]
    kind = "s1" if dot.strong else "s5"
    if dot.ends:
        drawn.append(
            h("line", {"class": f"reach {kind}", "x1": x(dot.ends[0]), "x2": x(dot.ends[1]), "y1": y, "y2": y})
        )
    if len(dot.each) > 1:
        drawn += [
            h("line", {"class": "seed", "x1": x(one), "x2": x(one), "y1": y - 6, "y2": y + 6}) for one in dot.each
        ]
    said = h("title", {}, f"{dot.label}: {dot.note}")
    return [*drawn, h("circle", {"class": f"mark {kind}", "cx": x(dot.value), "cy": y, "r": 4.5}, said)]

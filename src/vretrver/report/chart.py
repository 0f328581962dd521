"""The report's charts as inline SVG: a strip for a table's cell, and a plot of lines.

Colours come from the page's stylesheet, so a chart follows light and dark; every mark says its numbers in a <title>;
each series has a marker and a dash of its own, so that colour is not needed to tell them apart. matplotlib's SVG was
weighed: its colours are fixed when it is drawn, its 33 `style=` attributes a chart are refused by the page's content
policy, marks have no tooltips, a chart of two lines has 23 kB (ours 3), and it brings eight more packages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vretrver.report.markup import Html, h

Range = tuple[float, float]
Ends = tuple[float, float] | None
Tick = tuple[float, str]
Scale = Callable[[float], float]

STRIP = (168.0, 22.0)
PLOT = (360.0, 262.0)
EDGES = (58.0, 14.0, 14.0, 48.0)  # left, top, right, bottom
MARKERS = 6


@dataclass(frozen=True, slots=True)
class Point:
    """`ends` is an interval of y; `note` is said when the mark is pointed at."""

    x: float
    y: float
    note: str
    ends: Ends = None
    size: float = 4.0


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    points: tuple[Point, ...]


def strip(before: float, after: float, ends: Ends, domain: Range, note: str) -> Html:
    """One row's before (ring) and after (dot) on a scale that its table shares; `ends` is the interval of after."""
    width, height = STRIP
    middle = height / 2

    def x(value: float) -> float:
        low, high = domain
        return 6 + (width - 12) * (min(max(value, low), high) - low) / ((high - low) or 1)

    way = "rise" if after > before else "fall" if after < before else "same"
    marks = [h("line", {"class": "axis", "x1": 0, "x2": width, "y1": middle, "y2": middle})]
    if ends:
        marks.append(h("line", {"class": "whisker", "x1": x(ends[0]), "x2": x(ends[1]), "y1": middle, "y2": middle}))
    marks += [
        h("line", {"class": f"move {way}", "x1": x(before), "x2": x(after), "y1": middle, "y2": middle}),
        h("circle", {"class": "before", "cx": x(before), "cy": middle, "r": 4}),
        h("circle", {"class": f"after {way}", "cx": x(after), "cy": middle, "r": 4.5}),
    ]
    box = f"0 0 {width:g} {height:g}"
    return h("svg", {"class": "strip", "viewBox": box, "role": "img", "aria-label": note}, h("title", {}, note), marks)


def plot(
    series: Sequence[Series],
    *,
    label: str,
    x_range: Range,
    y_range: Range,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick],
    x_title: str,
    y_title: str,
    diagonal: bool = False,
) -> Html:
    """Lines with markers and whiskers. The legend is `legend(series)`, outside, where it can wrap.

    Args:
        label: what the chart shows, for those who cannot see it.
        diagonal: draw x = y, which a calibrated confidence would follow.
    """
    left, top, right, bottom = EDGES
    width, height = PLOT

    def x(value: float) -> float:
        return left + (width - left - right) * (value - x_range[0]) / ((x_range[1] - x_range[0]) or 1)

    def y(value: float) -> float:
        return height - bottom - (height - top - bottom) * (value - y_range[0]) / ((y_range[1] - y_range[0]) or 1)

    floor = height - bottom
    drawn = [
        h("line", {"class": "grid", "x1": left, "x2": width - right, "y1": y(at), "y2": y(at)}) for at, _ in y_ticks
    ]
    drawn += [h("text", {"class": "tick end", "x": left - 8, "y": y(at) + 4}, said) for at, said in y_ticks]
    drawn += [h("text", {"class": "tick mid", "x": x(at), "y": floor + 18}, said) for at, said in x_ticks]
    drawn.append(h("text", {"class": "tick mid name", "x": (left + width - right) / 2, "y": height - 8}, x_title))
    turned = f"rotate(-90 10 {(top + floor) / 2:g})"
    drawn.append(h("text", {"class": "tick mid name", "x": 10, "y": (top + floor) / 2, "transform": turned}, y_title))
    if diagonal:
        ends = {"x1": x(x_range[0]), "y1": y(x_range[0]), "x2": x(x_range[1]), "y2": y(x_range[1])}
        drawn.append(h("line", {"class": "ideal", **ends}))
    for number, one in enumerate(series):
        drawn += _line(one, number, [(x(point.x), y(point.y)) for point in one.points], y)
    box = f"0 0 {width:g} {height:g}"
    return h("svg", {"class": "plot", "viewBox": box, "role": "img", "aria-label": label}, h("title", {}, label), drawn)


def legend(series: Sequence[Series]) -> Html:
    """The series' names, each with its line and marker."""
    return h("ul", {"class": "legend"}, [h("li", {}, _key(n), one.name) for n, one in enumerate(series)])


def _key(number: int) -> Html:
    line = h("line", {"class": f"line s{number % MARKERS}", "x1": 1, "x2": 33, "y1": 7, "y2": 7})
    return h("svg", {"class": "key", "viewBox": "0 0 34 14", "aria-hidden": "true"}, line, _mark(number, 17, 7, 4))


def _line(series: Series, number: int, places: Sequence[tuple[float, float]], y: Scale) -> list[Html]:
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    drawn = [h("polyline", {"class": f"line s{number % MARKERS}", "points": path})] if len(places) > 1 else []
    for (a, b), point in zip(places, series.points, strict=True):
        if point.ends:
            ends = {"x1": a, "x2": a, "y1": y(point.ends[0]), "y2": y(point.ends[1])}
            drawn.append(h("line", {"class": f"error s{number % MARKERS}", **ends}))
        drawn.append(_mark(number, a, b, point.size, f"{series.name}: {point.note}"))
    return drawn


def _mark(number: int, x: float, y: float, size: float, note: str | None = None) -> Html:
    """A circle, square, diamond or triangle by the series' number."""
    said = h("title", {}, note) if note else None
    kind = {"class": f"mark s{number % MARKERS}"}
    if number % MARKERS in (0, 4):
        return h("circle", {**kind, "cx": x, "cy": y, "r": size}, said)
    if number % MARKERS in (1, 5):
        return h("rect", {**kind, "x": x - size, "y": y - size, "width": 2 * size, "height": 2 * size}, said)
    s = size + 1
    diamond, triangle = ((0, -s), (s, 0), (0, s), (-s, 0)), ((0, -s), (s, size), (-s, size))
    corners = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in (diamond if number % MARKERS == 2 else triangle))
    return h("polygon", {**kind, "points": corners}, said)

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from vretrver.report.chart import Point, Series, legend, plot, strip


def marks(svg: str, tag: str, kind: str) -> list[ET.Element]:
    return [one for one in ET.fromstring(svg).iter(tag) if (one.get("class") or "").startswith(kind)]


def draw(series: list[Series], diagonal: bool = False) -> str:
    ticks = [(0.0, "0"), (1.0, "1")]
    return plot(
        series, label="what <it> shows", x_range=(0, 1), y_range=(0, 1), x_ticks=ticks, y_ticks=ticks, x_title="x",
        y_title="y", diagonal=diagonal,
    )  # fmt: skip


def test_a_strip_says_and_shows_before_and_after() -> None:
    svg = strip(0.25, 0.75, (0.5, 1.0), (0.0, 1.0), "quarter to three quarters")
    before, after = marks(svg, "circle", "before")[0], marks(svg, "circle", "after rise")[0]
    assert float(before.get("cx") or 0) == 6 + 156 / 4
    assert float(after.get("cx") or 0) == 6 + 156 * 3 / 4
    whisker = marks(svg, "line", "whisker")[0]
    assert (whisker.get("x1"), whisker.get("x2")) == ("84", "162")
    assert ET.fromstring(svg).findtext("title") == "quarter to three quarters"
    assert "after fall" in strip(0.5, 0.4, None, (0.0, 1.0), "")
    assert "after same" in strip(0.5, 0.5, None, (0.5, 0.5), "")  # a scale without width does not divide by it


def test_a_point_lies_where_its_numbers_say() -> None:
    svg = draw([Series("a", (Point(0, 0, "low"), Point(1, 1, "high", (0.5, 1.0))))])
    low, high = marks(svg, "circle", "mark s0")
    assert (low.get("cx"), low.get("cy")) == ("58", "214")
    assert (high.get("cx"), high.get("cy")) == ("346", "14")
    assert [one.findtext("title") for one in (low, high)] == ["a: low", "a: high"]
    error = marks(svg, "line", "error")[0]
    assert (error.get("y1"), error.get("y2")) == ("114", "14")
    assert marks(svg, "line", "ideal") == []
    assert len(marks(draw([], diagonal=True), "line", "ideal")) == 1


def test_series_differ_by_shape_and_not_by_colour_alone() -> None:
    series = [Series(f"s{n}", (Point(0, 0, ""),)) for n in range(4)]
    assert [len(marks(draw(series), tag, "mark")) for tag in ("circle", "rect", "polygon")] == [1, 1, 2]
    names = [item.find("svg") is not None and (item.find("svg").tail) for item in ET.fromstring(legend(series))]  # type: ignore[union-attr]
    assert names == ["s0", "s1", "s2", "s3"]


@pytest.mark.parametrize("svg", [draw([]), strip(0, 1, None, (0, 1), '<&">')])
def test_charts_follow_the_pages_colours_and_its_content_policy(svg: str) -> None:
    assert "style=" not in svg and "#" not in svg and "fill=" not in svg  # classes only
    assert ET.fromstring(svg).get("role") == "img"

"""The receipts and the questions about them, as a reader would run them, on four papers; and what they are made of."""

from __future__ import annotations

import re
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vretrver import ocr
from vretrver.ocr import Line
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.viewer import read_traces

EXAMPLES = Path(__file__).parents[1] / "examples"
STYLES = ("long", "slash", "dot", "month", "iso")


@pytest.fixture(autouse=True, scope="module")
def from_examples() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("receipts")


def cafe() -> Any:
    return next(vendor for vendor in import_module("receipts_facts").VENDORS if vendor.name == "Cafe Almond")


# -- the examples, whole -------------------------------------------------------------------------------------------

reads = pytest.mark.skipif(not ocr.available(), reason="the examples read print: pip install 'vretrver[ocr]'")


@reads
def test_receipts_are_found_by_what_is_printed_and_shown_where(folder: Path) -> None:
    said: list[str] = []
    page, told = import_module("receipts").run(folder, vendors=(cafe(),), how=("scan",), each=2, say=said.append)
    found: dict[str, list[tuple[int | None, bool, bool]]] = {one.ask.series: [] for one in told}
    for one in told:
        found[one.ask.series].append((one.after, one.boxed, one.ranking.no_match))
    assert found["day and total"] == found["number"] == [(1, True, False)] * 2
    assert found["vendor and amount"] == [(1, True, False)] * 2
    assert found["not there"] == [(None, False, True)] * 2, "a number with another last digit is no match"
    html = page.read_text("utf-8")
    assert html.count('<svg class="framed"') >= len(told) and html.count('<rect class="sure"') >= 10
    assert "http" not in re.sub(r"data:[^\"]*", "", html).replace("http-equiv", ""), "nothing is loaded from elsewhere"
    looks = 0
    for one in told:
        assert f'href="{one.link}"' in html and (folder / one.link).is_file()
        (ranking,) = read_traces((folder / one.link).with_suffix(".jsonl"))
        looks += ranking.usage.tool_calls
    assert looks >= 8, "the agent shows what it read"
    figures = dict(line.split(":", 1) for line in said if re.match(r"[a-z ,]+: +\d", line))
    assert figures["nothing is right, and it says so"].strip() == "2 of 2"


@reads
def test_another_agent_may_look(folder: Path) -> None:
    keeps = ScriptedPolicy(["<answer>[1, 2, 3, 4]</answer>"])
    _page, told = import_module("receipts").run(
        folder, vendors=(cafe(),), how=("scan",), each=1, policy=keeps, say=lambda _line: None
    )
    assert keeps.seen and all(one.before == one.after for one in told)


@reads
def test_questions_are_answered_with_papers_and_places(folder: Path) -> None:
    said: list[str] = []
    ask = import_module("ask")
    page, answers = ask.run(folder, vendors=(cafe(),), how=("scan",), say=said.append)
    assert [one.verdict.split(":")[0] for one in answers] == ["right"] * len(answers), said
    assert {one.question.text.split(" ")[0] for one in answers} == {"What"} and len(answers) >= 2
    sums = answers[0]
    shots = {shot.file.name: shot for shot in import_module("receipts").drawn(folder / "papers", _papers(), ("scan",))}
    for one in sums.answer.citations:
        true = [shots[one.id].boxes[detail] for detail in ("total", "day")]
        assert one.box is not None and any(_overlap(one.box, box) > 0.5 for box in true)
    html = page.read_text("utf-8")
    assert html.count('<svg class="framed"') == sum(len({c.source for c in one.answer.citations}) for one in answers)
    assert any("a stand-in: rules, no model" in line for line in said) and "a stand-in: rules" in html


def _papers() -> Any:
    return import_module("receipts_facts").papers((cafe(),))


def _overlap(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """The share of the second box that lies in the first."""
    width = max(0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0, min(first[3], second[3]) - max(first[1], second[1]))
    return width * height / ((second[2] - second[0]) * (second[3] - second[1]))


# -- what they are made of -----------------------------------------------------------------------------------------


def test_papers_are_made_to_be_confused() -> None:
    facts = import_module("receipts_facts")
    papers = facts.papers()
    assert len(papers) == 40 and len({paper.number for paper in papers}) == 40
    for vendor in facts.VENDORS:
        theirs = [paper for paper in papers if paper.vendor is vendor]
        totals = [paper.total for paper in theirs]
        assert len(set(totals)) < 4, "two have the same total"
        assert len({paper.day for paper in theirs}) == 3, "two have the same day"
        assert all(paper.net + paper.tax == paper.total for paper in theirs)
    assert [paper.id for paper in facts.papers()] == [paper.id for paper in papers]


@given(st.integers(0, 9_999_999), st.sampled_from(["pound", "euro", "krona", "dollar", "plain"]))
def test_an_amount_is_read_as_it_is_written(cents: int, style: str) -> None:
    facts, reading = import_module("receipts_facts"), import_module("receipts_reading")
    assert reading.amounts(f"Total {facts.money(cents, style)}") == [cents]


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.sampled_from(STYLES))
def test_a_day_is_read_as_it_is_written(when: date, style: str) -> None:
    facts, reading = import_module("receipts_facts"), import_module("receipts_reading")
    written = facts.day(when, style)
    assert reading.days(written) == [(when.year, when.month, when.day)]
    assert reading.days(written.replace(" ", "")) == [(when.year, when.month, when.day)], "as OCR glues it"
    assert reading.amounts(written) == []


def test_which_line_meets_what() -> None:
    reading = import_module("receipts_reading")
    texts = (
        "FERN LTD",
        "14/03/2025",
        "No. FL-537326",
        "2.50",
        "Total 23.80",
        "Please pay to GB94 FERN 2020 1530 0934 59",
    )
    lines = [Line(text, (0, 40 * at, 200, 40 * at + 30), 0.9) for at, text in enumerate(texts)]

    def met(query: str) -> list[tuple[str, str, float]]:
        return [(m.detail.kind, m.line.text, m.share) for m in reading.met_on(lines, reading.wanted(query))]

    assert met("the receipt of 14 March with total 23.80") == [("day", texts[1], 1.0), ("amount", texts[4], 1.0)]
    assert met("of 15 March") == []
    assert met("invoice FL-537326") == [("number", texts[2], 1.0)]
    assert met("invoice FL-537327") == [("number", texts[2], 0.2)], "a digit off is told, and counts little"
    assert met("2.50") == [("amount", texts[3], 0.6)], "not the largest amount: no total"
    assert met("Farn Ltd in March") == [("month", texts[1], 1.0), ("word", texts[0], 0.3)]
    assert met("account ending 3459") == [("digits", texts[5], 1.0)]


@pytest.mark.parametrize("way", ["scan", "photo", "faded", "far", "sideways"])
def test_places_go_along_when_a_paper_is_photographed(way: str) -> None:
    drawn, photographed = import_module("receipts_drawn"), import_module("receipts_photographed")
    sheet = drawn.Sheet(Image.new("RGB", (620, 800), "white"), "sans", {"total": (400.0, 600.0, 560.0, 660.0)})
    ImageDraw.Draw(sheet.picture).rectangle((400, 600, 560, 660), fill="red")
    picture, boxes = photographed.taken(sheet, way, 1)
    x0, y0, x1, y1 = boxes["total"]
    pixels = np.asarray(picture.crop((x0, y0, x1, y1)), int)
    # Redder than green, and not as the table's brown is, whose blue lies further off.
    red = (pixels[..., 0] - pixels[..., 1] > (15 if way == "faded" else 45)) & (pixels[..., 1] - pixels[..., 2] < 20)
    assert red.mean() > 0.55 and red[(y1 - y0) // 2, (x1 - x0) // 2]


def test_without_matplotlib_the_faces_are_pillows() -> None:
    drawn = import_module("receipts_drawn")
    assert drawn._plain("£23.80 Franzbrötchen Kjøring") == "GBP 23.80 Franzbrotchen Kjoring"

"""The page in a real browser, where one is on the machine: what it draws, how it moves, and what it refuses to run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from browser import Browser, found
from conftest import Paint
from test_viewer import HOSTILE, looked
from vretrver.trace import Ranking, Result
from vretrver.types import Candidate, Document
from vretrver.usage import Tokens, Usage
from vretrver.viewer import render, write_traces

pytestmark = pytest.mark.skipif(found() is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quiet(browser: Browser) -> Iterator[None]:
    """Whatever a test opens, the console stays empty: no fault, nothing that the content policy had to refuse."""
    browser.console.clear()
    browser.size(1280, 900)
    yield
    assert browser.console == []


def show(browser: Browser, folder: Path, rankings: list[Ranking]) -> str:
    write_traces(folder / "run.jsonl", rankings)
    render(folder / "run.jsonl", folder / "run.html")
    browser.open(folder / "run.html")
    # Cards out of sight are not laid out, and innerText leaves out what is not.
    browser.ask("document.querySelectorAll('.card').forEach(card => { card.style.contentVisibility = 'visible' })")
    return str(browser.ask("document.body.innerText"))


def count(browser: Browser, selector: str) -> int:
    return int(browser.ask(f"document.querySelectorAll({selector!r}).length"))


def test_second_looks_and_gates_are_told(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    once = looked([paint(f"{i}.png", size=(80, 60)) for i in range(3)])
    twice = replace(once, traces=(once.traces[0], replace(once.traces[0], look="reverse")), agreement=2 / 3)
    text = show(browser, tmp_path, [twice])
    assert "A second look" in text and "shown in reverse" in text and "67 % of pairs" in text
    gated = replace(once, traces=(), skipped="the coarse stage is certain")
    assert "Nobody looked: the coarse stage is certain." in show(browser, tmp_path, [gated])


def test_it_draws_turns_moves_and_boxes(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    text = show(browser, tmp_path, [looked([paint(f"{i}.png", size=(80, 60)) for i in range(3)])])
    assert "Looking moved “Picture 1” from 2nd to first." in text
    for said in ("crop_image", "seen: a red kite", "mended", "It is."):
        assert said in text
    assert count(browser, ".path.up") == count(browser, ".path.down") == count(browser, ".path.same") == 1
    assert count(browser, "[data-turn]") == 2
    assert "5 tokens read, 2 tokens written" in text
    overlay = browser.ask("document.querySelector('.zoom svg').outerHTML")
    assert 'viewBox="0 0 80 60"' in overlay
    assert 'class="box" x="10" y="20" width="20" height="20"' in overlay


def test_it_says_what_it_cost_as_far_as_that_is_known(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint(f"{i}.png") for i in range(2)])
    usage = Usage(3, 2, 4, 1, 9, 1, Tokens(12_345, 67, cached=8_000), money=0.001234, seconds=2)
    show(browser, tmp_path, [replace(ranking, usage=usage)])
    facts = "[...document.querySelectorAll('.costs div')].map(one => [...one.children].map(part => part.textContent))"
    said = dict(browser.ask(facts))
    assert said == {
        "time": "2.0 s", "looks": "1", "pictures shown": "9", "model calls": "4", "from a cache": "1",
        "windows": "3 in 2 rounds", "tokens read": "12,345", "of them cached": "8,000", "tokens written": "67",
        "money": "0.00123", "repairs": "1",
    }  # fmt: skip
    show(browser, tmp_path, [ranking])
    assert list(dict(browser.ask(facts))) == ["time", "looks", "pictures shown", "model calls", "repairs"]


def test_a_box_lies_where_it_should_on_the_screen(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    show(browser, tmp_path, [looked([paint("a.png", size=(400, 300)), paint("b.png", size=(400, 300))])])
    picture, box = browser.ask(
        "['.zoom .boxed img', '.zoom .boxed .box'].map(s => document.querySelector(s).getBoundingClientRect().toJSON())"
    )
    scale = picture["width"] / 400
    assert picture["height"] == pytest.approx(300 * scale, abs=1)
    assert box["x"] - picture["x"] == pytest.approx(10 * scale, abs=3)  # the stroke is 2.25 pixels wide
    assert box["y"] - picture["y"] == pytest.approx(20 * scale, abs=3)
    assert box["width"] == pytest.approx(20 * scale, abs=5)


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_no_width_needs_sideways_scrolling(browser: Browser, tmp_path: Path, paint: Paint, width: int) -> None:
    ranking = looked([paint(f"{i}.png") for i in range(3)], text="w" * 300 + " " + "words " * 60)
    browser.size(width, 800)
    show(browser, tmp_path, [ranking] * 3)
    assert browser.ask("document.documentElement.scrollWidth") <= width


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint("a.png"), paint("b.png")], text=HOSTILE)
    trace = replace(ranking.traces[0], repairs=(HOSTILE,), policy=HOSTILE, error=HOSTILE)
    text = show(browser, tmp_path, [replace(ranking, traces=(trace,))])
    assert "<img src=x onerror=alert(1)>" in text
    assert count(browser, "img[onerror]") == 0
    assert count(browser, "script") == 2


def test_the_policy_stops_what_a_fault_would_let_in(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    show(browser, tmp_path, [looked([paint("a.png"), paint("b.png")])])
    browser.ask("document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.broken = 1\">')")
    assert browser.ask("fetch('data:,x').then(() => 'sent', () => 'refused')") == "refused"
    time.sleep(0.2)
    assert browser.ask("window.broken ?? 0") == 0
    assert any("Content Security Policy" in line for line in browser.console)
    browser.console.clear()


def test_thousands_of_results_are_drawn_in_pieces(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint("a.png"), paint("b.png")])
    many = tuple(Result(i, Candidate(Document(f"d{i}", "words"), 1 / i, i), 1 / i, 0.1) for i in range(1, 4001))
    started = time.monotonic()
    text = show(browser, tmp_path, [replace(ranking, results=many), ranking])
    assert time.monotonic() - started < 5
    assert "Show 24 more of 3,976 results" in text
    assert "Show the first 200 of 4,000 results" in text
    assert count(browser, ".card") == 24
    browser.ask("document.querySelector('.results .more').click()")
    assert count(browser, ".card") == 48
    browser.ask("document.querySelector('.order .more').click()")
    assert count(browser, ".after .row") == 200
    browser.ask("document.querySelectorAll('.after .row')[199].click()")
    assert count(browser, ".card") == 216
    assert "200" in browser.ask("document.activeElement.querySelector('.rank').textContent")


def test_keys_walk_queries_and_turns(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    pair = [paint("a.png"), paint("b.png")]
    show(browser, tmp_path, [looked(pair, text=word) for word in ("one", "two", "three")])
    heading = "document.querySelector('h1').textContent"
    for key, wanted in (("ArrowRight", "two"), ("ArrowRight", "three"), ("ArrowRight", "three"), ("ArrowLeft", "two")):
        browser.press(key)
        assert browser.ask(heading) == wanted
    turn = "document.activeElement.querySelector('.turn-number')?.textContent"
    for key, wanted in (("j", "Turn 1"), ("j", "Turn 2"), ("ArrowUp", "Turn 1"), ("ArrowDown", "Turn 2")):
        browser.press(key)
        assert browser.ask(turn) == wanted
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = browser.ask(paper)
    browser.press("t")
    assert browser.ask(paper) != light
    browser.press("t")
    browser.size(1280, 900, "dark")
    assert browser.ask(paper) == light  # chosen by hand, it stays


def test_a_query_can_be_linked_to(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    pair = [paint("a.png"), paint("b.png")]
    show(browser, tmp_path, [looked(pair, text=word) for word in ("one", "two")])
    browser.open(tmp_path / "run.html", "#2")
    assert browser.ask("document.querySelector('h1').textContent") == "two"


def test_every_picture_and_button_has_a_name(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    show(browser, tmp_path, [looked([paint("a.png"), paint("b.png"), "gone.png"])] * 2)
    assert count(browser, "img:not([alt])") == 0
    assert browser.ask("[...document.querySelectorAll('.zoom img, .plate img')].every(i => i.alt)")
    assert browser.ask("[...document.querySelectorAll('button')].every(b => b.ariaLabel || b.textContent.trim())")
    assert browser.ask("[...document.querySelectorAll('h1')].length") == 1


def test_a_trace_without_pictures_or_turns_still_reads(browser: Browser, tmp_path: Path) -> None:
    bare = replace(looked(["gone/a.png", "gone/b.png"]), traces=(), no_match=True)
    assert "No match" in show(browser, tmp_path, [bare, replace(bare, results=(), no_match=False)])
    assert count(browser, ".missing") > 0
    browser.press("ArrowRight")
    assert "Nothing was found." in browser.ask("document.body.innerText")


def test_the_empty_page_opens_a_file(browser: Browser, tmp_path: Path, paint: Paint) -> None:
    write_traces(tmp_path / "run.jsonl", [looked([paint("a.png"), paint("b.png")])])
    render(None, tmp_path / "view.html")
    browser.open(tmp_path / "view.html")
    assert browser.ask("document.querySelector('h1').textContent") == "Open a trace"
    browser.choose("#open", tmp_path / "run.jsonl")
    wait_for(browser, "document.querySelector('h1').textContent === 'a red kite'")
    assert count(browser, ".zoom .box") == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"{", "line 1, is not JSON"), (b'\n{"version": 7}', "line 2, is not a trace of version 2"), (b"", "no rankings")],
)
def test_a_file_that_is_no_trace_is_refused(browser: Browser, tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "odd.jsonl").write_bytes(content)
    render(None, tmp_path / "view.html")
    browser.open(tmp_path / "view.html")
    browser.choose("#open", tmp_path / "odd.jsonl")
    wait_for(browser, f"document.body.innerText.includes({complaint!r})")


@pytest.mark.parametrize("line", [
    '{"version": 2}',
    '{"version": 2, "query": 5, "traces": [{"turns": [7, {"text": 3}]}], '
    '"results": [1, null, {"rank": "x", "evidence": [3]}]}',
    '{"version": 2, "results": [{"id": "__proto__", "image": {"path": "constructor"}}], "pictures": {"__proto__": 1}}',
    '{"version": 2, "pictures": {"a": {"whole": "https://example.org/a.png", "width": 1, "height": 1}}, '
    '"results": [{"id": "a", "image": {"path": "a"}}]}',
])  # fmt: skip
def test_an_odd_record_does_not_break_the_page(browser: Browser, tmp_path: Path, line: str) -> None:
    (tmp_path / "odd.jsonl").write_text(line)
    render(None, tmp_path / "view.html")
    browser.open(tmp_path / "view.html")
    browser.choose("#open", tmp_path / "odd.jsonl")
    wait_for(browser, "document.body.innerText.includes('An empty query')")


def wait_for(browser: Browser, condition: str) -> None:
    end = time.monotonic() + 5
    while not browser.ask(condition):
        assert time.monotonic() < end, (
            f"never true: {condition}; the page says {browser.ask('document.body.innerText')}"
        )
        time.sleep(0.02)

"""The report in a real browser, where one is on the machine: what it shows at every width; that it runs nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import Browser, found
from run_folders import make_run
from test_viewer import HOSTILE
from vretrver.report import write_report

pytestmark = pytest.mark.skipif(found() is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quiet(browser: Browser) -> Iterator[None]:
    """Whatever a test opens, the console stays empty: the content policy had nothing to refuse."""
    browser.console.clear()
    browser.size(1280, 900)
    yield
    assert browser.console == []


def show(browser: Browser, folder: Path) -> Path:
    runs = [
        make_run(folder / "evidence", "WWWLRRXXME", groups=("colour", "count"), shuffles=2),
        make_run(folder / "no-tools", "WLLRRRXXME", config={"tools": []}),
        make_run(folder / "blur", "WLXXRXXMME", config={"degrade": "blur=2", "degrade_on": "queries"}),
    ]
    page = write_report(runs, folder / "report.html")
    load(browser, page)
    return page


def load(browser: Browser, page: Path, fragment: str = "") -> None:
    """Open a page and wait until all of it is there."""
    browser.open(page, fragment)
    end = time.monotonic() + 10
    while not browser.ask(f"location.href.includes({page.as_uri()!r}) && document.readyState === 'complete'"):
        assert time.monotonic() < end, "the page never loaded"
        time.sleep(0.02)


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_no_width_needs_sideways_scrolling(browser: Browser, tmp_path: Path, width: int) -> None:
    browser.size(width, 800)
    show(browser, tmp_path)
    assert browser.ask("document.documentElement.scrollWidth") <= width


def test_the_style_applies_in_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    paper, mark = (
        "getComputedStyle(document.documentElement).backgroundColor",
        "getComputedStyle(document.querySelector('.mark.s1')).fill",
    )
    light = [browser.ask(one) for one in (paper, mark)]
    browser.size(1280, 900, "dark")
    dark = [browser.ask(one) for one in (paper, mark)]
    assert light == ["rgb(251, 250, 247)", "rgb(11, 122, 104)"]
    assert dark == ["rgb(22, 21, 19)", "rgb(76, 195, 171)"]


def test_pictures_are_drawn(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    boxes = browser.ask("[...document.querySelectorAll('.case .thumb')].map(t => t.getBoundingClientRect().width)")
    assert len(boxes) > 10 and min(boxes) > 40
    images = "[...document.querySelectorAll('symbol image')].map(i => i.getAttribute('href').slice(0, 15))"
    assert set(browser.ask(images)) == {"data:image/jpeg"}
    strips = browser.ask("[...document.querySelectorAll('.strip')].map(s => s.getBoundingClientRect().width)")
    assert set(strips) == {168}


def test_one_click_leads_to_the_very_trace(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    words = browser.ask("document.querySelectorAll('.case.won .words')[1].textContent")
    assert words == "a red kite 1"
    target = browser.ask("document.querySelectorAll('.case.won a.button')[1].href")
    page, _, fragment = target.removeprefix("file://").partition("#")
    load(browser, Path(page), f"#{fragment}")
    assert browser.ask("document.querySelector('h1').textContent") == words
    assert "Looking moved" in browser.ask("document.body.innerText")
    assert browser.ask("document.querySelectorAll('.zoom img').length") == 2


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", "WLRXME", words=HOSTILE, name=HOSTILE, config={"policy": HOSTILE}, groups=(HOSTILE, "b")
    )
    load(browser, write_report([run], tmp_path / "report.html"))
    assert "<img src=x onerror=alert(1)>" in browser.ask("document.body.innerText")
    assert browser.ask("document.querySelectorAll('script, img, [onerror]').length") == 0
    assert browser.ask("document.querySelectorAll('main').length") == 1


def test_every_chart_and_picture_has_a_name_and_every_link_a_target(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    assert browser.ask("[...document.querySelectorAll('svg[role=img]')].every(s => s.getAttribute('aria-label'))")
    assert browser.ask(
        "[...document.querySelectorAll('a[href^=\"#\"]')].every(a => document.querySelector(a.getAttribute('href')))"
    )
    assert browser.ask("document.querySelectorAll('h1').length") == 1

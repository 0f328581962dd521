"""The search page as people meet it, in headless Chromium against a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import Browser, found
from conftest import MeanColour
from served import Served, agent, cards, png, shares_words
from vretrver.messages import Completion, Conversation, ToolCall
from vretrver.ocr import Line
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_tool_call
from vretrver.server import Settings, app

pytestmark = pytest.mark.skipif(found() is None, reason="no chromium on this machine: apt-get install chromium")

RED = "a plain red card"
DONE = "!!document.querySelector('.summary.done, .summary.none')"
HOSTILE = "<img src=x onerror=\"document.title='stolen'\"> card"


class Looking:
    """Crops the first candidate's picture, then ranks by shared words; waits at the gate before it does anything."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, conversation: Conversation) -> Completion:
        assert self.gate.wait(20)
        if len(conversation.messages) == 2:
            box = [0.5, 0.5, 1.0, 1.0]
            return Completion(render_tool_call(ToolCall("crop_image", {"bbox_2d": box, "target_image": 1})))
        return shares_words(conversation)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def looking() -> Looking:
    return Looking()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, looking: Looking) -> Iterator[Served]:
    index = cards(tmp_path_factory.mktemp("served"))
    with Served(app(index, Settings(policy=ScriptedPolicy(looking)), embedder=MeanColour())) as running:
        yield running


@pytest.fixture(autouse=True)
def quiet(browser: Browser) -> Iterator[None]:
    """Whatever a test does: nothing is refused by the page's policy, and nothing fails in its script."""
    browser.console.clear()
    browser.size(1200, 800)
    yield
    browser.send(
        "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    browser.open_blank()
    assert browser.console == []


def visit(browser: Browser, server: Served, path: str = "/") -> None:
    browser.visit(server.url + path)
    browser.wait("document.getElementById('holds').textContent.length > 0")


def say(browser: Browser, text: str) -> None:
    browser.ask(f"document.getElementById('text').value = {json.dumps(text)}")
    browser.ask("document.getElementById('ask').requestSubmit()")


def ids(browser: Browser) -> list[str]:
    listed: list[str] = browser.ask("[...document.querySelectorAll('.card')].map((card) => card.dataset.id)")
    return listed


def text(browser: Browser, selector: str) -> str:
    said: str = browser.ask(f"document.querySelector({json.dumps(selector)}).innerText")
    return said


def click(browser: Browser, selector: str) -> None:
    browser.ask(f"document.querySelector({json.dumps(selector)}).click()")


def test_results_are_there_at_once_and_move_as_the_agent_ranks(
    browser: Browser, server: Served, looking: Looking
) -> None:
    browser.size(1200, 800)
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "no-preference"}])
    visit(browser, server)
    browser.ask(
        "(() => { window.glides = 0; const animate = Element.prototype.animate;"
        "Element.prototype.animate = function (...how) { window.glides += 1; return animate.apply(this, how); }; })()"
    )
    looking.gate.clear()
    try:
        say(browser, RED)
        browser.wait("document.querySelectorAll('.card.looking').length === 6")
        assert "Looking at places 1 to 6" in text(browser, "#summary")
        coarse = ids(browser)
    finally:
        looking.gate.set()
    browser.wait(DONE)
    assert coarse[0] != "sub/red.png" and ids(browser)[0] == "sub/red.png"
    assert browser.ask("window.glides") >= 2
    moved = sum(was != now for was, now in zip(coarse, ids(browser), strict=True))
    assert text(browser, ".verdict") == f"Looked, and moved {moved} results."
    assert text(browser, ".card .rank") == "1" and browser.ask("!!document.querySelector('.card .move.up')")
    assert "80%" in text(browser, ".card .standing")
    assert browser.ask("location.search") == "?q=a+plain+red+card"


def test_enough_keeps_the_order_so_far(browser: Browser, server: Served, looking: Looking) -> None:
    visit(browser, server)
    looking.gate.clear()
    try:
        say(browser, RED)
        browser.wait("document.querySelectorAll('.card.looking').length === 6")
        coarse = ids(browser)
        browser.press("Escape")
        assert text(browser, ".verdict") == "Stopped." and ids(browser) == coarse
        assert browser.ask("document.querySelectorAll('.card.looking').length") == 0
    finally:
        looking.gate.set()


def test_evidence_in_view_is_told_what_comes_to_be_known(browser: Browser, server: Served, looking: Looking) -> None:
    visit(browser, server)
    looking.gate.clear()
    try:
        say(browser, RED)
        browser.wait("document.querySelectorAll('.card.looking').length === 6")
        click(browser, "[data-id='sub/red.png'] .tile")
        assert "The agent may still come to it." in text(browser, "dialog")
    finally:
        looking.gate.set()
    browser.wait("document.querySelector('dialog .rank').innerText === '1'")
    assert "now place 1" in text(browser, "dialog") and "This search took" in text(browser, "dialog")


def test_going_back_to_where_nothing_was_asked(browser: Browser, server: Served) -> None:
    visit(browser, server)
    say(browser, RED)
    browser.wait(DONE)
    browser.ask("history.back()")
    browser.wait("!document.getElementById('welcome').hidden")
    assert ids(browser) == [] and browser.ask("document.getElementById('answer').hidden")


def test_who_wants_no_motion_gets_none(browser: Browser, server: Served) -> None:
    visit(browser, server)
    browser.ask("Element.prototype.animate = () => { document.title = 'moved'; }")
    say(browser, RED)
    browser.wait(DONE)
    assert ids(browser)[0] == "sub/red.png" and browser.ask("document.title") == f"{RED} · vretrver"


def test_a_picture_and_words_search_alone_and_together(browser: Browser, server: Served, tmp_path: Path) -> None:
    (tmp_path / "blue.png").write_bytes(png("blue"))
    visit(browser, server)
    click(browser, "#looks")  # the coarse stage alone
    browser.choose("#choose", tmp_path / "blue.png")
    browser.wait(DONE)
    assert ids(browser)[0] == "blue.png"
    assert browser.wait("document.querySelector('.chip img').naturalWidth") == 64
    assert "by similarity" in text(browser, ".verdict")
    click(browser, "#looks")
    say(browser, "yellow")
    browser.wait(f"{DONE} && document.querySelector('.card').dataset.id === 'yellow.png'")
    click(browser, ".chip button")
    assert browser.wait("document.querySelectorAll('.chip').length === 0")


def test_a_dropped_picture_is_searched_with(browser: Browser, server: Served) -> None:
    visit(browser, server)
    bytes_ = list(png("black"))
    browser.ask(
        "(() => { const carried = new DataTransfer();"
        f"carried.items.add(new File([new Uint8Array({bytes_})], 'night.png', {{ type: 'image/png' }}));"
        "for (const type of ['dragenter', 'drop'])"
        "  dispatchEvent(new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true })); })()"
    )
    browser.wait(DONE)
    assert ids(browser)[0] == "black.png" and browser.ask("document.getElementById('drop').hidden")


def test_evidence_shows_boxes_crops_reasons_ranks_and_cost(browser: Browser, server: Served) -> None:
    visit(browser, server, "/?q=a+plain+red+card")
    browser.wait(DONE)
    looked = browser.ask("document.querySelector('.looked:not([hidden])').closest('.card').dataset.id")
    browser.ask("document.querySelector('.looked:not([hidden])').closest('.tile').click()")
    browser.wait(
        "document.querySelector('dialog .crop').naturalWidth > 0 && document.querySelector('.frame img').naturalWidth"
    )
    sides = (
        "['x', 'y', 'width', 'height'].map((side) => Number(document.querySelector('.mark .box').getAttribute(side)))"
    )
    box = browser.ask(sides)
    answer = server.post("/v1/search", {"text": RED}).json()
    (result,) = [result for result in answer["results"] if result["id"] == looked]
    x0, y0, x1, y1 = result["evidence"][0]["box"]
    assert box == [x0, y0, x1 - x0, y1 - y0] and result["size"] == [64, 48]
    # On the screen the box covers the same part of the picture.
    part = browser.ask(
        "(() => { const seen = (it) => document.querySelector(it).getBoundingClientRect();"
        "const [box, all] = [seen('.mark .box'), seen('.frame img')];"
        "return [(box.left - all.left) / all.width, (box.right - all.left) / all.width]; })()"
    )
    assert part == pytest.approx([x0 / 64, x1 / 64], abs=0.02)
    said = text(browser, "dialog")
    assert "Looked closer" in said and "sure that it answers" in said and "This search took" in said
    assert f"Found at place {result['coarse_rank']}" in said
    trace = browser.ask("[...document.querySelectorAll('dialog a')].at(-1).href")
    assert "crop_image" in server.get(trace.removeprefix(server.url)).text
    browser.press("Escape")
    assert browser.wait("document.querySelector('dialog') === null")
    assert browser.ask("document.activeElement.closest('.card').dataset.id") == looked


def test_the_keyboard_is_enough(browser: Browser, server: Served) -> None:
    visit(browser, server, "/?q=a+plain+red+card")
    browser.wait(DONE)
    browser.press("/")
    assert browser.ask("document.activeElement.id") == "text"
    browser.press("ArrowDown")
    browser.press("ArrowRight")
    second = ids(browser)[1]
    assert browser.ask("document.activeElement.closest('.card').dataset.id") == second
    browser.ask("document.activeElement.click()")  # as Enter does
    assert text(browser, "dialog .rank") == "2"
    browser.press("ArrowRight")
    assert text(browser, "dialog .rank") == "3"
    browser.press("Escape")  # the dialog gives its focus back in a task of its own
    browser.wait(f"document.activeElement.closest('.card')?.dataset.id === {json.dumps(ids(browser)[2])}")
    browser.press("ArrowUp")
    assert browser.ask("document.activeElement.id") == "text"


def test_nothing_matches_is_an_answer(browser: Browser, server: Served) -> None:
    visit(browser, server)
    say(browser, "zebra")
    browser.wait(DONE)
    assert text(browser, ".verdict") == "Nothing here seems to match."
    assert "nearest" in text(browser, "#summary") and len(ids(browser)) == 6


def test_filters_come_from_the_index(browser: Browser, server: Served) -> None:
    visit(browser, server)
    say(browser, "card")
    browser.wait(DONE)
    click(browser, "#filter")
    names = browser.ask("[...document.querySelectorAll('.choices button span:first-child')].map((it) => it.innerText)")
    assert sorted(names) == ["kind", "place"]
    browser.ask(
        "[...document.querySelectorAll('.choices button')].find((it) => it.innerText.startsWith('kind')).click()"
    )
    browser.ask(
        "[...document.querySelectorAll('.choices button')].find((it) => it.innerText.startsWith('dark')).click()"
    )
    browser.wait("document.querySelectorAll('.card').length === 2")
    browser.wait(DONE)
    assert sorted(ids(browser)) == ["black.png", "blue.png"]
    assert json.loads(browser.ask("new URLSearchParams(location.search).get('where')")) == {"kind": "dark"}
    browser.ask("history.back()")
    browser.wait("document.querySelectorAll('.card').length === 6")
    visit(browser, server, "/?q=card&where=%7B%22place%22%3A%7B%22%3E%3D%22%3A99%7D%7D")
    browser.wait(DONE)
    assert text(browser, ".verdict") == "Nothing passes these filters."
    assert text(browser, ".chip-button") == "place at least 99"


def test_a_bad_picture_is_told_in_words(browser: Browser, server: Served, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture at all")
    visit(browser, server)
    browser.choose("#choose", tmp_path / "bad.png")
    browser.wait("!document.getElementById('fault').hidden")
    said = text(browser, "#fault")
    assert said.startswith("That picture cannot be read") and "bad.png: not a picture of a known format" in said
    assert "Try again" not in said  # the same would come of it
    browser.console[:] = [line for line in browser.console if "422" not in line]


def test_a_server_that_is_gone_is_told_in_words_and_may_come_back(browser: Browser, server: Served) -> None:
    visit(browser, server)
    browser.send("Network.enable")
    browser.send(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    say(browser, RED)
    browser.wait("!document.getElementById('fault').hidden")
    assert "The server cannot be reached" in text(browser, "#fault")
    browser.send(
        "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    click(browser, "#fault button")
    browser.wait(DONE)
    assert ids(browser)[0] == "sub/red.png" and browser.ask("document.getElementById('fault').hidden")
    browser.console[:] = [line for line in browser.console if "ERR_INTERNET_DISCONNECTED" not in line]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, server: Served, scheme: str) -> None:
    browser.size(375, 720, scheme)
    visit(browser, server, "/?q=a+plain+red+card")
    browser.wait(DONE)
    assert browser.ask("document.documentElement.scrollWidth") <= 375
    click(browser, ".card .tile")
    assert browser.wait("document.querySelector('dialog').getBoundingClientRect().width") == 375
    assert browser.ask("document.querySelector('dialog').scrollWidth") <= 375


def test_pictures_are_added_folded_and_hostile_words_stay_words(browser: Browser, tmp_path: Path) -> None:
    photos = tmp_path / "allowed"
    photos.mkdir()
    (photos / "pink.png").write_bytes(png("pink"))
    (tmp_path / "red again.png").write_bytes(png("red", (128, 96)))
    settings = Settings(policy=agent(), folders=(photos,))
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as server:
        server.post("/v1/documents", {"documents": [{"id": "<b>", "text": HOSTILE, "metadata": {"<i>": HOSTILE}}]})
        visit(browser, server)
        click(browser, "#add")
        browser.choose(".zone input", tmp_path / "red again.png")
        browser.wait("document.querySelector('.says').innerText.includes('1 picture added')")
        click(browser, ".folder")
        browser.wait("document.querySelector('.says').innerText === 'allowed: 1 added.'")
        browser.press("Escape")
        browser.wait("document.getElementById('holds').textContent.startsWith('9 documents')")
        say(browser, RED)
        browser.wait(DONE)
        assert len(ids(browser)) == 8 and "1 near-duplicate folded." in text(browser, "#summary")
        assert "red again.png" not in ids(browser) and text(browser, ".fold") == "1 alike"
        browser.ask("(() => { const fold = document.querySelector('.fold'); fold.focus(); fold.click(); })()")
        assert browser.ask("document.activeElement.innerText") == "fold"
        assert ids(browser)[:2] == ["sub/red.png", "red again.png"]
        browser.ask("document.querySelector('[data-id=\"<b>\"] .tile').click()")
        assert text(browser, "dialog h2") == HOSTILE and browser.ask("document.title") != "stolen"
        assert browser.ask("document.querySelectorAll('#results img[src=\"x\"], dialog img').length") == 0


class Hello:
    """Reads the same word on every picture, once it is let."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def read(self, _picture: Any) -> list[Line]:
        assert self.gate.wait(20)
        return [Line("HELLO", (0, 0, 9, 9), 0.9)]


def drop(browser: Browser, *paths: Path) -> None:
    """Drag files or folders from the desktop onto the middle of the page."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", type=kind, x=600, y=400, data=data)


def trip(folder: Path) -> Path:
    """A folder with three pictures, a file that is none, and things that are hidden."""
    for name in ("pink.png", "day 2/brown.png", "day 2/teal.png", ".hidden.png", ".cache/gold.png"):
        file = folder / "trip" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(file.stem.strip(".") if "hidden" not in name else "red"))
    (folder / "trip" / "notes.txt").write_text("no picture")
    return folder / "trip"


def test_a_folder_is_dropped_or_chosen_and_its_print_read(browser: Browser, tmp_path: Path) -> None:
    folder, hello = trip(tmp_path), Hello()
    with Served(app(cards(tmp_path), Settings(policy=agent()), embedder=MeanColour(), reader=hello)) as server:
        visit(browser, server)
        drop(browser, folder)  # on the page itself: a folder is nothing to search with
        browser.wait("(document.querySelector('.says') || {}).innerText?.includes('Reading printed words: 3 to go')")
        assert text(browser, ".says").startswith("3 pictures added, and found by the next search.")
        assert text(browser, ".trouble") == "1 file that is no picture"
        added = {name for name in server.app.state.server.collection.edition.index.ids() if name.startswith("trip")}
        assert added == {"trip/pink.png", "trip/day 2/brown.png", "trip/day 2/teal.png"}
        hello.gate.set()
        browser.wait("document.querySelector('.says').innerText.endsWith('Printed words are read.')")
        server.delete("/v1/documents", params={"id": ["trip/pink.png"]})
        browser.choose(".zone input[webkitdirectory]", folder)
        browser.wait("document.querySelector('.says').innerText.startsWith('3 pictures added')")
        browser.wait("document.querySelector('.says').innerText.endsWith('Printed words are read.')")
        assert set(server.app.state.server.collection.edition.index.ids()) >= added
        browser.press("Escape")
        browser.wait("document.getElementById('holds').textContent.startsWith('9 documents')")


def test_a_server_that_only_reads_takes_no_folder(browser: Browser, tmp_path: Path) -> None:
    settings = Settings(policy=agent(), writable=False)
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as server:
        visit(browser, server)
        assert browser.ask("document.getElementById('add').hidden")
        drop(browser, trip(tmp_path))
        browser.wait("!document.getElementById('fault').hidden")
        assert "That is a folder." in text(browser, "#fault")


def test_a_token_is_asked_for_once(browser: Browser, tmp_path: Path) -> None:
    token = "a-token-of-many-characters"
    settings = Settings(policy=agent(), token=token)
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as server:
        assert server.get("/v1/collection").status_code == 401
        browser.visit(server.url)
        browser.wait("!!document.querySelector('dialog.token input')")
        for given in ("wrong", token):
            browser.ask(f"document.querySelector('dialog.token input').value = {json.dumps(given)}")
            browser.ask("document.querySelector('dialog.token form').requestSubmit()")
            if given == "wrong":
                browser.wait("document.querySelector('dialog.token .says').innerText === 'That is not the token.'")
        browser.wait("document.querySelector('dialog') === null")
        say(browser, RED)
        browser.wait(DONE)
        assert browser.wait("document.querySelector('.card img').naturalWidth") > 0  # pictures bring the cookie
        assert browser.ask("document.cookie") == ""  # which no script sees
        visit(browser, server)
    browser.console[:] = [line for line in browser.console if "401" not in line]


def test_every_picture_and_button_has_a_name(browser: Browser, server: Served) -> None:
    visit(browser, server, "/?q=a+plain+red+card")
    browser.wait(DONE)
    click(browser, ".card .tile")
    nameless = (
        "[...document.querySelectorAll('button, a, input')].filter((it) => !(it.innerText || it.ariaLabel || "
        "it.labels?.[0]?.innerText || it.title)).length + document.querySelectorAll('img:not([alt])').length"
    )
    assert browser.ask(nameless) == 0


def test_the_policy_of_the_page_allows_nothing_inline(server: Served) -> None:
    answer = server.get("/")
    rules: Any = answer.headers["content-security-policy"]
    assert "unsafe" not in rules and "default-src 'none'" in rules and "style=" not in answer.text
    assert server.get("/static/main.js").headers["content-type"].startswith("text/javascript")

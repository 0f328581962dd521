"""The page in a real browser, where one is on the machine: what it draws, and what it refuses to run."""

from __future__ import annotations

import functools
import html
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Paint
from test_viewer import HOSTILE, looked
from vretrver.trace import Ranking, Result
from vretrver.types import Candidate, Document
from vretrver.viewer import render, write_traces

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")

QUIET = ("quic", "background-networking", "component-update", "sync", "gpu")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
FLAGS += ["--virtual-time-budget=3000", "--enable-logging=stderr", "--v=0", "--dump-dom"]


@functools.cache
def opened(page: Path, profile: Path, *flags: str) -> tuple[str, str]:
    """The page's body once its script ran, without the data block, and what the console said."""
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, *flags, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, env={**os.environ, "TZ": "UTC"})
    dom = done.stdout.decode().split("<body", 1)[1].split('<script type="application/json"', 1)[0]
    console = "\n".join(line for line in done.stderr.decode().splitlines() if "CONSOLE" in line)
    return dom, console


def drawn(folder: Path, rankings: list[Ranking], *flags: str) -> tuple[str, str]:
    write_traces(folder / "run.jsonl", rankings)
    render(folder / "run.jsonl", folder / "run.html")
    return opened(folder / "run.html", folder / "profile", *flags)


def test_it_draws_turns_moves_and_boxes(tmp_path: Path, paint: Paint) -> None:
    dom, console = drawn(tmp_path, [looked([paint(f"{i}.png", size=(80, 60)) for i in range(3)])])
    assert console == ""
    text = html.unescape(re.sub(r"<[^>]+>", "", dom))
    assert "Looking moved “Picture 1” from 2nd to first." in text
    assert "crop_image" in text
    assert "seen: a red kite" in text
    assert "mended" in text
    assert dom.count('class="path up') == 1
    assert dom.count('class="path down') == 1
    assert 'viewBox="0 0 80 60"' in dom
    assert 'class="box" x="10" y="20" width="20" height="20"' in dom
    assert dom.count('class="turn ') == 2


def test_hostile_text_stays_text(tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint("a.png"), paint("b.png")], text=HOSTILE)
    trace = replace(ranking.traces[0], repairs=(HOSTILE,), policy=HOSTILE, error=HOSTILE)
    dom, console = drawn(tmp_path, [replace(ranking, traces=(trace,))])
    assert console == ""
    assert "&lt;img src=x onerror=alert(1)&gt;" in dom
    assert not re.search(r"<img[^>]*onerror", dom)
    assert "<script" not in dom


def test_thousands_of_results_are_drawn_in_pieces(tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint("a.png"), paint("b.png")])
    many = tuple(Result(i, Candidate(Document(f"d{i}", "words"), 1 / i, i), 1 / i, 0.1) for i in range(1, 4001))
    dom, console = drawn(tmp_path, [replace(ranking, results=many), *[ranking] * 2])
    assert console == ""
    assert dom.count('class="card') == 24 + 1  # the list itself is `cards`
    assert "more of 3,976 results" in dom
    assert "Show the first 200 of 4,000 results" in dom
    assert dom.count("data-position=") == 3


def test_a_trace_without_pictures_or_turns_still_reads(tmp_path: Path) -> None:
    bare = replace(looked(["gone/a.png", "gone/b.png"]), traces=(), no_match=True)
    dom, console = drawn(tmp_path, [bare, replace(bare, results=())])
    assert console == ""
    assert "No match" in dom
    assert "no thumbnail" in dom


def test_the_empty_page_asks_for_a_file(tmp_path: Path) -> None:
    render(None, tmp_path / "view.html")
    dom, console = opened(tmp_path / "view.html", tmp_path / "profile")
    assert console == ""
    assert "Open a trace" in dom
    assert 'type="file"' in dom

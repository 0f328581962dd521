"""The page on answers must run as it stands, and tell the defaults that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vretrver.answering import SOURCES
from vretrver.cli.options import parsers

PAGE = (Path(__file__).parents[1] / "docs" / "ask.md").read_text(encoding="utf-8")


def test_the_code_on_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out.splitlines() == [
        "At 9:15 [1], daily.",
        "(Citation(source=1, id='timetable', box=None, quote='harbour at 9:15'),)",
        "('dropped the citation [7]: the sources are 1 to 2',)",
    ]


def test_the_defaults_it_tells_are_the_defaults() -> None:
    options = parsers()[1]["ask"].parse_args(["photos.vr", "why?", "--policy", "chat:x"])
    assert f"sources are shown ({SOURCES})" in PAGE and options.k == SOURCES
    assert f"({options.source_tokens} image tokens each)" in PAGE

"""The page on chat endpoints must run as it stands, and name what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from vretrver.policies.chat import ChatPolicy, Limits
from vretrver.testing import KINDS

PAGE = (Path(__file__).parents[1] / "docs" / "chat.md").read_text(encoding="utf-8")


def test_the_code_on_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    assert capsys.readouterr().out.splitlines() == [
        "('text-2', 'text-1', 'text-3')", "1 0", "reachable ok", "model ok", "stop ok", "images ok", "protocol ok",
        "boxes ok", "ids ok", "latency ok",
    ]  # fmt: skip


def test_the_defaults_it_tells_are_the_defaults() -> None:
    limits = Limits()
    assert f"deadline {limits.deadline:g} s an answer" in PAGE and f"{limits.retries} retries" in PAGE
    assert f"{limits.concurrency} requests at a time; connect {limits.connect:g} s, silence {limits.read:g} s" in PAGE
    assert limits.failures == 5 and f"left alone for {limits.cooldown:g} s" in PAGE
    assert f"one of {len(KINDS)} faults" in PAGE and f"faults of {len(KINDS)} kinds" in PAGE
    known = {*ChatPolicy.__init__.__annotations__, *(one.name for one in fields(Limits))}
    rows = re.findall(r"^\| `([a-z_`, ]+)` \|", PAGE.partition("## Keys")[0], flags=re.MULTILINE)
    assert {name for row in rows for name in row.split("`, `")} <= known

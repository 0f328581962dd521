"""The page on rewards must name every term, reward and weight, and its code must run."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from vretrver.training.rewards import TERMS, load_reward
from vretrver.training.rewards.ours import Ours

PAGE = (Path(__file__).parents[1] / "docs" / "rewards.md").read_text(encoding="utf-8")


def test_its_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, "1.0"] for name in TERMS]


def test_its_settings_load() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    values = tomllib.loads(block)
    assert load_reward(values["reward"], **values["weights"]) == Ours(tool=0.3)


def test_it_names_every_term_with_its_weight() -> None:
    told = re.findall(r"^\| `(\w+)` \| .* \| ([\d., ]+) \|$", PAGE.partition("## ours")[2], flags=re.MULTILINE)
    assert tuple(name for name, _ in told) == TERMS["ours"]
    defaults = {one.name: one.default for one in fields(Ours)}
    named = {name: defaults["redundant" if name == "redundancy" else name] for name in TERMS["ours"] if name != "cost"}
    assert {name: float(value) for name, value in told if name != "cost"} == named
    assert dict(told)["cost"] == f"{defaults['look']}, {defaults['tokens']}"

"""The page on training must show commands, settings, reasons and code that are there."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from flat_world import flat_world
from vretrver.cli.options import parse
from vretrver.training.filtering import REASONS, Rules
from vretrver.training.sources import Source
from vretrver.training.synthesis import Synthesis
from vretrver.training.trajectories import Recipe

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
DATA = PAGE.partition("## Data")[2].partition("\n## ")[0]
SHELL = "".join(re.findall(r"```sh\n(.*?)```", DATA, flags=re.DOTALL)).replace("\\\n", " ")
COMMANDS = [line for line in SHELL.splitlines() if line.startswith("vretrver ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_parse(command: str) -> None:
    parse(shlex.split(command, comments=True)[1:])


def test_it_names_every_setting_and_every_reason() -> None:
    settings = DATA.partition("### Settings")[2].partition("### Teachers")[0]
    for kind in (Synthesis, Source, Recipe, Rules):
        for one in fields(kind):
            assert one.name in settings, one.name
    told = re.findall(
        r"^\| `([a-z ]+)` \|", DATA.partition("### The rule filter")[2].partition("###")[0], flags=re.MULTILINE
    )
    assert told == [*REASONS, "unreadable"]


def test_the_code_on_data_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flat_world(Path("cache"), 2)
    for block in re.findall(r"```python\n(.*?)```", DATA, flags=re.DOTALL):
        exec(block, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(
        line.startswith("['system', 'user', 'assistant', 'user', 'assistant'") for line in lines
    )

"""The page about confidence must show commands that exist and numbers that the package has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vretrver.calibration import packaged
from vretrver.cli.options import parse
from vretrver.orders import PLACE_ODDS
from vretrver.windows import load_planner

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "confidence.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("command", [line for line in LINES if line.startswith("vretrver ")])
def test_the_commands_parse(command: str) -> None:
    options = parse(shlex.split(command)[1:])
    if hasattr(options, "planner"):
        load_planner(options.planner)


@pytest.mark.parametrize("command", [line for line in LINES if line.startswith("python -m ")])
def test_the_scripts_are_there(command: str) -> None:
    module = command.split()[2]
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file()


def test_the_numbers_are_the_packages() -> None:
    assert f"below {packaged().no_match_below:g}" in PAGE
    assert f"-{PLACE_ODDS:g} log(place)" in PAGE
    assert (packaged().fused, packaged().least) == (True, 10)

"""The page about agents must show commands that exist, code that runs and defaults that hold."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_vlm
from vretrver.boxes import box_family
from vretrver.budget import Budget
from vretrver.cli.options import parsers
from vretrver.policies.local import default_boxes
from vretrver.usage import Prices

PAGE = (Path(__file__).parents[1] / "docs" / "agents.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("vretrver ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_parse(command: str) -> None:
    options = parsers()[0].parse_args(shlex.split(re.sub(r"\s#.*", "", command))[1:])
    if getattr(options, "budget", None):
        Budget.parse(options.budget)
    if getattr(options, "prices", None):
        Prices.parse(options.prices)


def test_the_families_of_boxes_are_the_ones_there_are() -> None:
    table = PAGE.partition("| family |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `([^`]+)`", table, flags=re.MULTILINE)
    assert [box_family(name) for name in named] == ["released", "qwen2.5-vl", "0-1000"]
    assert default_boxes("V-Retrver-SFT-7B", "qwen2_5_vl") == "released"


def test_the_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], paint: Callable[..., str]
) -> None:
    pytest.importorskip("transformers", reason="the extra [local] is not installed")
    monkeypatch.chdir(tmp_path)
    tiny_vlm.build(Path("my-model"))
    paint("kite.png"), paint("boat.png", "blue")
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec("".join(blocks), {})
    first, second = capsys.readouterr().out.splitlines()
    count, tokens = first.split()
    assert count == "3" and int(tokens) > 600
    spent = re.fullmatch(r"Tokens\(prompt=(\d+), completion=(\d+), cached=0, image=(\d+)\) ([\d.]+)", second)
    assert spent and int(spent[3]) <= 2 * 64
    assert float(spent[4]) == pytest.approx((0.4 * int(spent[1]) + 1.6 * int(spent[2])) / 1e6)

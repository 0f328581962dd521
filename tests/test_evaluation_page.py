"""The page about evaluation must show commands that exist and name what metrics.json has."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from vretrver.cli.options import parsers
from vretrver.evaluation.outcome import Outcome
from vretrver.evaluation.summary import summarise
from vretrver.metrics import measure_named

PAGE = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("vretrver ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_parse(command: str) -> None:
    given = shlex.split(command, comments=True)[1:]
    parsers()[0].parse_args(given)


def test_the_flags_of_the_ablations_parse() -> None:
    table = PAGE.partition("## Ablations")[2].partition("##")[0]
    flags = re.findall(r"`(--[^`]+)`", table)
    assert len(flags) >= 10
    for flag in flags:
        parsers()[0].parse_args(["eval", "world", "-o", "run", *flag.split()])


def test_the_measures_it_names_exist() -> None:
    table = PAGE.partition("## The measures")[2].partition("\n- ")[0]
    named = re.findall(r"^\| `(\w+)@k`", table, flags=re.MULTILINE)
    assert len(named) == 6
    for name in named:
        measure_named(f"{name}@5")


def test_every_key_of_metrics_json_is_explained() -> None:
    one = Outcome("q", "part", "text", None, (), {"a": 1}, ("a",), (1.0,), ("a",), (0.5,), shuffled=(("a",),))
    metrics = summarise([one], "t", "test", "T", ("hit@5",), 1, {})
    plain = {"task", "split", "title", "k", "config", "n"}
    keys = [key for key in metrics if key not in plain]
    assert [key for key in keys if f"`{key}" not in PAGE] == []
    assert json.dumps(metrics)


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my-benchmark").mkdir()
    Path("my-benchmark/documents.jsonl").write_text('{"id": "d0", "text": "a kite"}\n{"id": "d1", "text": "a lake"}\n')
    Path("my-benchmark/queries.jsonl").write_text('{"id": "q0", "text": "the kite", "relevant": ["d0"]}\n')
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, {})
    assert capsys.readouterr().out.splitlines()[-1] == "1.0 1.0 [0.0, 0.0]"

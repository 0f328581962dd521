"""The page about the ablation must name what exists: commands, arms, settings, keys; its Python must run."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from run_folders import make_run
from vretrver.cli.options import parsers
from vretrver.report.ablation_plan import Plan, Row
from vretrver.training.config import from_mapping

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
SCRIPT = (ROOT / "runs" / "nano.sh").read_text(encoding="utf-8")


def test_the_command_parses() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("vretrver ")]
    assert lines
    for line in lines:
        parsers()[0].parse_args(shlex.split(line, comments=True)[1:])


def test_the_plan_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    plan = from_mapping(Plan, tomllib.loads(block))
    assert plan.rows[0].published == 67.2 and plan.columns[0].folder == "test"


def test_files_and_variables_that_it_names_are_there() -> None:
    for name in re.findall(r"runs/[\w/]+\.(?:sh|py)", PAGE):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"`([A-Z_]{2,})`", PAGE):
        assert re.search(rf"\b{name}\b", SCRIPT), name


def test_every_arm_is_explained_and_described() -> None:
    arms = re.findall(r"^    ([a-z|* -]+)\)", SCRIPT.partition("make_arm()")[2].partition("# -- evaluation")[0], re.M)
    named = [arm.strip() for line in arms for arm in line.split("|") if not arm.strip().startswith("*")]
    assert len(named) >= 12
    for arm in named:
        assert f"`{arm.removesuffix('*')}" in PAGE, arm


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    for row in ("rsft", "full"):
        make_run(folder / "runs/test" / row, "WXRX")
    named = {"rows": ("rsft", "full"), "columns": ("test",)}
    lines = [f'[[{kind}]]\nid = "{name}"\nlabel = "{name}"\n' for kind, names in named.items() for name in names]
    (folder / "ablation.toml").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, {})
    assert capsys.readouterr().out.startswith("0.5 (")
    assert Row("full", "b").folder == "full"

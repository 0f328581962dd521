"""The nano road: what it says before it begins, what it says of its folder, and its twin from nothing to the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vretrver.report.ablation_plan import Pair, read_plan
from vretrver.training.curves import read_log

ROOT = Path(__file__).parents[1]
ARMS = (
    "base-no-tools base text sft rsft text-rl sft-rl full longer longer2 evidence reward-paper reward-released "
    "reward-ours tuned zoom select teacher-ledger teacher-narrator teacher-both"
)


def ablation(verb: str, out: Path, **given: str) -> str:
    settings = {"ARMS": ARMS, "ON": "seen test test-degraded grocery_task4", "SIZE": "100", "SEEDS": "0 1"}
    environment = {"PATH": os.environ["PATH"], "SETTINGS": "runs/nano_", **settings, **given}
    command = [sys.executable, "runs/nano_ablation.py", verb, str(out)]
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.stderr


def test_every_stage_is_planned_with_its_minutes(tmp_path: Path) -> None:
    said = ablation("plan", tmp_path, LEARN="1000", RATES="draw=1,write=0,start=0")
    lines = {line[:46].strip(): line[46:].split() for line in said.splitlines()[1:]}
    assert lines["data"][0] == "16.7"  # a thousand seconds
    trained = "sft rsft text-rl full longer longer2 tuned zoom teacher-both sft-seed1 full-seed1"
    for arm in trained.split():
        assert float(lines[arm][0]) > 0, arm
    assert "eval evidence on test-degraded" in lines and "eval evidence-seed1 on test" not in lines
    assert float(lines["in all"][0]) == pytest.approx(
        sum(float(cells[0]) for name, cells in lines.items() if name != "in all"), abs=3
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data/counts.json").write_text("{}")
    assert re.search(r"^data +0\.0 .*\(there\)$", ablation("plan", tmp_path), re.MULTILINE)


def test_what_it_describes_is_a_plan(tmp_path: Path) -> None:
    ablation("describe", tmp_path, WORLD="i->i/which i->i/print")
    plan = read_plan(tmp_path)
    rows = plan.row_of
    assert set(ARMS.split()) <= set(rows)
    assert {row.published for row in plan.rows if row.paper} == {47.2, 45.8, 59.4, 60.9, 61.8, 66.3, 67.2}
    assert rows["full-frozen"].folder == "full" and rows["sft-rl"].training == "sft-rl"
    assert [column.id for column in plan.columns if column.folder == "test"] == ["test", "test-which", "test-print"]
    assert {column.id: column.kind for column in plan.columns}["grocery_task4"] == "real"
    assert Pair("text-rl", "full") in plan.compared and Pair("full-frozen", "tuned") in plan.compared


def test_all_groups_make_a_column_for_each_modality(tmp_path: Path) -> None:
    ablation("describe", tmp_path, ON="seen")
    columns = {column.id: column.groups for column in read_plan(tmp_path).columns}
    assert columns == {
        "seen": (), "seen-t2i": ("t->i/*",), "seen-i2i": ("i->i/*",), "seen-i.t.2i": ("(i,t)->i/*",),
        "seen-i2t": ("i->t/*",),
    }  # fmt: skip


def test_an_arm_that_is_none_is_named(tmp_path: Path) -> None:
    command = ["bash", str(ROOT / "runs/nano.sh"), str(tmp_path / "out"), "1"]
    environment = {**os.environ, "BIN": str(Path(sys.executable).parent), "ARMS": "full-moon", "ON": "val"}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such arm: full-moon" in done.stderr


def test_the_twin_goes_from_nothing_to_the_page(tmp_path: Path) -> None:
    """Data, model, stage I, stage III, evaluation, tables and the page, at the smallest size: one question."""
    pytest.importorskip("trl", reason="the extra [train] is not installed")
    pytest.importorskip("fonticon_mdi7")
    given = {"BIN": str(Path(sys.executable).parent), "ARMS": "sft-rl", "STEPS_SFT": "6", "STEPS_RL": "1"}
    environment = {**os.environ, **given}
    command = ["bash", str(ROOT / "runs/nano_ci.sh"), str(tmp_path), "1"]
    tables = []
    for _time in range(2):  # the second passes over what is there
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        tables.append((tmp_path / "table.md").read_text())
    assert tables[0] == tables[1]
    assert any("reward" in line for line in read_log(tmp_path / "sft-rl/training"))
    assert "| sft-rl |" in tables[0]
    page = (tmp_path / "ablation.html").read_text(encoding="utf-8")
    assert "SFT + RL" in page and "How training went" in page

from __future__ import annotations

from pathlib import Path

import pytest

from run_folders import make_run
from vretrver.report import RunFolder, read_run
from vretrver.report.robustness import curves, failures, robustness


def run(folder: Path, plan: str, degrade: str | None = None, on: str = "queries", **config: object) -> RunFolder:
    made = make_run(folder, plan, pictures=False, config={"degrade": degrade, "degrade_on": on, **config})
    return read_run(made)


def test_a_curve_is_runs_that_differ_in_the_degradation_alone(tmp_path: Path) -> None:
    clean = run(tmp_path / "clean", "RRRR", hash="1")
    blur4 = run(tmp_path / "blur4", "RMXX", "blur=4", hash="2")
    blur1 = run(tmp_path / "blur1", "RRRX", "blur=1,seed=3", hash="3")
    other = run(tmp_path / "other", "RRRR", "blur=1", tools=[])
    both = run(tmp_path / "both", "RRRR", "blur=1,jpeg=20")
    found = curves([clean, blur4, blur1, other, both])
    assert [(one.operation, one.on) for one in found] == [("blur", "queries")]
    assert found[0].points == ((0.0, clean), (1.0, blur1), (4.0, blur4))
    assert found[0].worst == (4.0, blur4)
    assert curves([clean, clean]) == curves([blur1, blur4]) == []


def test_lower_quality_is_stronger(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(q), "RR", f"jpeg={q}" if q else None) for q in (10, 0, 80)]
    assert [strength for strength, _run in curves(runs)[0].points] == [float("inf"), 80, 10]
    drawn = robustness(curves(runs), {one: one.name for one in runs})[0]
    ticks = [tick.split("<")[0] for tick in drawn.split('class="tick mid"')[1:]]
    assert [tick.split(">")[1] for tick in ticks] == ["clean", "80", "10"]


def test_failures_are_told_apart_by_stage(tmp_path: Path) -> None:
    clean, worse = run(tmp_path / "a", "RRRRX"), run(tmp_path / "b", "RXMMR", "noise=0.3")
    assert failures(clean, worse) == {"right": 4, "kept": 1, "ranked_lower": 1, "not_found": 2, "said_no_match": 0}
    said = robustness(curves([clean, worse]), {clean: "a", worse: "b"})[0]
    assert "at noise 0.30 it keeps 1 of the 4 answers" in said
    assert "Of the 3 gone, 2 were lost by the first stage" in said


@pytest.mark.parametrize("spec", ["blur", "blur=", "blur=x", "blur=nan", "", "=", "<script>=1e999"])
def test_an_odd_specification_makes_no_curve(tmp_path: Path, spec: str) -> None:
    assert curves([run(tmp_path / "a", "R"), run(tmp_path / "b", "R", spec)]) == []

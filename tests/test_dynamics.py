"""Pictures of a training: what is read of a log, what is drawn, how figures began and ended."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ablation_folders import write_log
from vretrver.errors import RecordError
from vretrver.report.dynamics import POINTS, Log, _round_ends, dynamics, read_logs


def test_only_trainings_by_rewards_are_drawn(tmp_path: Path) -> None:
    write_log(tmp_path / "full", 10)
    (tmp_path / "sft/training").mkdir(parents=True)
    (tmp_path / "sft/training/train_log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    logs = read_logs({"full": tmp_path / "full", "sft": tmp_path / "sft", "none": tmp_path / "none"})
    assert [log.name for log in logs] == ["full"]
    assert logs[0].terms == ["reward/rank", "reward/format", "reward/tool"]
    assert dynamics([]) is None


def test_figures_from_the_first_fifth_to_the_last() -> None:
    records = tuple({"step": step, "reward": 0.0, "calls": float(step)} for step in range(1, 11))
    drawn = str(dynamics([Log("a", records)]))
    assert "1.50 &#8594; 9.50" in drawn  # means of 1, 2 and of 9, 10
    assert "Calls an episode" in drawn and "Entropy" not in re.sub(r"<th.*?</th>", "", drawn)


def test_a_long_run_is_drawn_as_means_and_odd_values_leave_gaps() -> None:
    records = tuple({"step": step, "reward": 1.0, "length": "many" if step % 2 else 5} for step in range(1, 1001))
    drawn = str(dynamics([Log("a", records)]))
    assert 0 < drawn.count("<circle") <= 2 * POINTS + 2


def test_a_line_without_a_step_is_named(tmp_path: Path) -> None:
    write_log(tmp_path / "full", 2)
    with (tmp_path / "full/training/train_log.jsonl").open("a") as file:
        file.write(json.dumps({"reward": 1}) + "\n")
    with pytest.raises(RecordError, match=r"full/training/train_log\.jsonl"):
        read_logs({"full": tmp_path / "full"})


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (0, 1), (0.4, 0.81), (-0.5, 1.5), (150, 240), (1e-6, 2e-6), (3, 3), (-2, -1), (0, 1e5)]
)
def test_axes_hold_what_they_show(low: float, high: float) -> None:
    begin, end = _round_ends(low, high)
    assert begin <= low <= high <= end and begin < end
    assert end - begin <= 10 * ((high - low) or abs(high) or 1) + abs(low) * 3

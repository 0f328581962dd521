"""The log of a training: lines that survive a crash, curves and TensorBoard drawn from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vretrver.errors import RecordError
from vretrver.training.curves import CURVES, LOG, TrainingLog, draw_curves, read_log

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_run_that_goes_on_logs_no_step_twice(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, tensorboard=False)
    for step in (1, 2, 3):
        log.add(step, {"loss": 4.0 - step})
    log.close()
    with (tmp_path / LOG).open("a") as file:
        file.write('{"step": 4, "lo')  # the process died while it wrote
    again = TrainingLog(tmp_path, from_step=2, tensorboard=False)
    assert [record["step"] for record in again.records] == [1, 2]
    again.add(3, {"loss": 1.5})
    assert read_log(tmp_path) == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 1.5}]


def test_a_log_that_was_changed_by_something_else(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('nothing\n{"step": 1}\n')
    with pytest.raises(RecordError, match="line 1 is damaged"):
        TrainingLog(tmp_path)


def test_curves_have_a_panel_for_each_kind_of_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra [train] is not installed")
    draw_curves([], tmp_path / CURVES)
    assert not (tmp_path / CURVES).exists()  # nothing to draw
    draw_curves([{"step": 1, "loss": 3.0}, {"step": 2, "loss": float("nan")}], tmp_path / CURVES)
    one = (tmp_path / CURVES).read_bytes()
    sampled = {"step": 2, "hit@1": 0.5, "format_valid": 1.0, "tool_rate": 0.0}
    draw_curves([{"step": 1, "loss": 3.0, "token_accuracy": 0.1}, sampled], tmp_path / CURVES)
    three = (tmp_path / CURVES).read_bytes()
    width = [int.from_bytes(data[16:20], "big") for data in (one, three)]  # where a PNG keeps it
    assert one.startswith(PNG) and three.startswith(PNG) and width[1] == pytest.approx(3 * width[0], rel=0.02)


def test_tensorboard_reads_the_same_figures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TrainingLog(tmp_path)
    log.add(1, {"loss": 2.0})
    log.add(2, {"loss": 1.0, "hit@1": 0.25})
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [(1, 2.0), (2, 1.0)]
    assert [one.value for one in events.Scalars("hit@1")] == [0.25]
    assert [json.loads(line)["step"] for line in (tmp_path / LOG).read_text().splitlines()] == [1, 2]

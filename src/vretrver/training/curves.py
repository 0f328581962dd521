"""What a training logs: one JSON line a log, curves as a PNG, the same figures for TensorBoard.

The lines are the truth and the rest is drawn from them. A run that goes on after a crash first drops the lines of steps
that it is about to repeat, so that its curve is that of a run that was never cut off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vretrver.errors import MissingExtra
from vretrver.evaluation.folder import write_text
from vretrver.evaluation.journal import read_journal

LOG = "train_log.jsonl"
CURVES = "curves.png"
PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("loss", "validation_loss")),
    ("token accuracy", ("token_accuracy", "validation_token_accuracy")),
    ("reward", ("reward", "reward_std")),
    ("sampled", ("hit@1", "format_valid", "tool_rate", "validation_hit@1")),
    ("per episode", ("calls", "redundant_calls")),
    ("tokens per episode", ("length",)),
    ("entropy", ("entropy",)),
    ("share of groups and tokens", ("zero_variance", "clip_share")),
    ("learning rate", ("learning_rate",)),
)


class TrainingLog:
    """The log of a folder; one process writes it.

    Args:
        folder: the training's.
        from_step: lines of later steps are dropped: they will be logged again.
        tensorboard: also write event files, where TensorBoard is installed.
    """

    def __init__(self, folder: Path, from_step: int = 0, *, tensorboard: bool = True) -> None:
        self._folder = folder
        self.records = [record for record in read_journal(folder / LOG)[0] if record["step"] <= from_step]
        write_text(folder / LOG, "".join(_line(record) for record in self.records))
        self._events = _events(folder / "tensorboard", from_step) if tensorboard else None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Log figures of a step; they are on disk when this returns."""
        record = {"step": step, **values}
        self.records.append(record)
        with (self._folder / LOG).open("a", encoding="ascii") as file:
            file.write(_line(record))
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
            self._events.flush()

    def draw(self) -> None:
        """Draw the curves anew, where there are any and matplotlib is installed."""
        try:
            draw_curves(self.records, self._folder / CURVES)
        except MissingExtra:
            return  # the lines are there; curves can be drawn later

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a training's log.

    Raises:
        RecordError: a line before the last does not parse.
    """
    return read_journal(folder / LOG)[0]


def draw_curves(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A PNG with a panel for each kind of figure that the records hold; none where they hold none.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    panels = [(title, names) for title, names in PANELS if any(name in record for record in records for name in names)]
    if not panels:
        return
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise MissingExtra("a picture of curves", "train") from missing
    figure = Figure(figsize=(5.2 * len(panels), 3.8), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            points = [(record["step"], record[name]) for record in records if name in record]
            if points:
                axes.plot(
                    *zip(*points, strict=True), label=name.replace("_", " "), marker="." if len(points) < 30 else ""
                )
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        if title in ("token accuracy", "sampled"):
            axes.set_ylim(0, 1.02)
    half = path.with_name(path.name + ".part")
    figure.savefig(half, format="png", dpi=110)
    half.replace(path)


def _events(folder: Path, from_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=from_step + 1 if from_step else None)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=True) + "\n"

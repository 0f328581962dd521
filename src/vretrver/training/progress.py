"""What a training says while it runs: a bar with time left on stderr, the log, curves redrawn now and then.

Every stage has the same `watcher`; what its trainer's log lines mean is the stage's: `Figures` here for stage I.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vretrver.training.curves import TrainingLog

_NAMES = {
    "loss": "loss",
    "grad_norm": "gradient_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "num_tokens": "tokens",
    "eval_loss": "validation_loss",
    "eval_mean_token_accuracy": "validation_token_accuracy",
}
REDRAW = 60.0  # seconds between pictures of the curves


class Reading(Protocol):
    """What a trainer's log lines mean."""

    def begin(self, before: Sequence[Mapping[str, Any]]) -> None:
        """Training begins, or goes on after these records."""
        ...

    def read(self, logs: Mapping[str, Any]) -> tuple[dict[str, float], str]:
        """A line's figures, none where it is not worth a record; and what the bar says, nothing to leave it."""
        ...


class Figures:
    """Stage I's figures, and the speed in tokens."""

    def __init__(self) -> None:
        self._before, self._seen, self._since = 0.0, 0.0, time.monotonic()

    def begin(self, before: Sequence[Mapping[str, Any]]) -> None:
        """As `Reading`: tokens are counted on."""
        self._before = max((one.get("tokens", 0.0) for one in before), default=0.0)
        self._since = time.monotonic()

    def read(self, logs: Mapping[str, Any]) -> tuple[dict[str, float], str]:
        """As `Reading`."""
        values = {_NAMES[name]: float(value) for name, value in logs.items() if name in _NAMES}
        if "loss" not in values:
            values.pop("tokens", None)
        if "tokens" in values:
            now = time.monotonic()
            values["tokens_per_second"] = round((values["tokens"] - self._seen) / max(1e-9, now - self._since), 1)
            self._seen, self._since = values["tokens"], now
            values["tokens"] += self._before
        return values, _short(values) if "loss" in values else ""


class Watching:
    """Writes the log, draws the curves and moves the bar of one training.

    Args:
        folder: where log and curves go.
        summary: what is trained on, said when it begins.
    """

    def __init__(self, folder: Path, summary: str, reading: Reading, progress: bool) -> None:
        self._folder, self._summary, self._reading, self._progress = folder, summary, reading, progress
        self._log: TrainingLog | None = None
        self._bar: Any = None
        self._drawn = 0.0

    def begin(self, step: int, steps: int) -> None:
        """Open the log at a step of so many."""
        from tqdm import tqdm

        self._log = TrainingLog(self._folder, step)
        self._reading.begin(self._log.records)
        if self._progress:
            on = f"going on from step {step} of {steps}: " if step else ""
            sys.stderr.write(f"training: {on}{self._summary}\n")
        quiet = None if self._progress else True
        self._bar = tqdm(total=steps, initial=step, unit="step", desc="training", disable=quiet)

    def reach(self, step: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def hear(self, step: int, logs: Mapping[str, Any]) -> None:
        """Take in a line of the trainer's."""
        if self._log is None:
            return
        values, short = self._reading.read(logs)
        if values:
            self.record(step, values)
        if short:
            self._bar.set_postfix_str(short)

    def record(self, step: int, values: dict[str, float]) -> None:
        """Log figures, those too that did not come from the trainer."""
        if self._log is None:
            return
        self._log.add(step, values)
        if time.monotonic() - self._drawn > REDRAW:
            self._log.draw()
            self._drawn = time.monotonic()

    def end(self) -> None:
        """Draw the last curves and close the log."""
        if self._log is not None:
            self._bar.close()
            self._log.draw()
            self._log.close()


def watcher(watching: Watching) -> Any:
    """A `transformers.TrainerCallback` that has a training watched; only the first process does anything."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if state.is_world_process_zero:
                watching.begin(state.global_step, state.max_steps)

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            watching.reach(state.global_step)

        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_more: Any) -> None:
            watching.hear(state.global_step, logs or {})

        def on_train_end(self, _args: Any, _state: Any, _control: Any, **_more: Any) -> None:
            watching.end()

    return Watcher()


def _short(values: Mapping[str, float]) -> str:
    accuracy, speed = values.get("token_accuracy", 0.0), values["tokens_per_second"]
    return f"loss {values['loss']:.3f}, accuracy {accuracy:.3f}, {speed:.0f} tokens/s"

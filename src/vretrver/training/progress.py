"""What a training says while it runs: a bar with time left on stderr, the log, curves redrawn now and then."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from vretrver.training.curves import TrainingLog
from vretrver.training.rows import Rows

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


def watcher(folder: Path, rows: Rows, progress: bool) -> Any:
    """A `transformers.TrainerCallback` that logs, draws and reports; only the first process does anything."""
    from tqdm import tqdm
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.log: TrainingLog | None = None
            self._bar: Any = None
            self._tokens_before, self._seen, self._since, self._drawn = 0.0, 0.0, time.monotonic(), 0.0

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if not state.is_world_process_zero:
                return
            self.log = TrainingLog(folder, state.global_step)
            self._tokens_before = max((one.get("tokens", 0.0) for one in self.log.records), default=0.0)
            if progress:
                on = f"going on from step {state.global_step} of {state.max_steps}: " if state.global_step else ""
                sys.stderr.write(f"training: {on}{rows.summary}\n")
            quiet = None if progress else True
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, unit="step", desc="training", disable=quiet
            )
            self._since = time.monotonic()

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if self._bar is not None:
                self._bar.update(state.global_step - self._bar.n)

        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_more: Any) -> None:
            if self.log is None:
                return
            values = {_NAMES[name]: float(value) for name, value in (logs or {}).items() if name in _NAMES}
            values = {name: value for name, value in values.items() if name != "tokens" or "loss" in values}
            if "tokens" in values:
                now = time.monotonic()
                values["tokens_per_second"] = round((values["tokens"] - self._seen) / max(1e-9, now - self._since), 1)
                self._seen, self._since = values["tokens"], now
                values["tokens"] += self._tokens_before
            if values:
                self.record(state.global_step, values)
            if "loss" in values and self._bar is not None:
                self._bar.set_postfix_str(_short(values))

        def record(self, step: int, values: dict[str, float]) -> None:
            """Log figures that did not come from the trainer as well."""
            if self.log is None:
                return
            self.log.add(step, values)
            if time.monotonic() - self._drawn > REDRAW:
                self.log.draw()
                self._drawn = time.monotonic()

        def on_train_end(self, _args: Any, _state: Any, _control: Any, **_more: Any) -> None:
            if self.log is not None:
                self._bar.close()
                self.log.draw()
                self.log.close()

    return Watcher()


def _short(values: dict[str, float]) -> str:
    accuracy, speed = values.get("token_accuracy", 0.0), values["tokens_per_second"]
    return f"loss {values['loss']:.3f}, accuracy {accuracy:.3f}, {speed:.0f} tokens/s"

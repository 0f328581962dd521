"""What a stage III training says while it runs: a bar with time left on stderr, the log, curves now and then.

Figures of rollouts are `figures`'; the others are TRL's under the names that the log of stage I has.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from vretrver.training.curves import TrainingLog
from vretrver.training.grpo.difficulty import Estimates
from vretrver.training.grpo.trainer import FIGURE
from vretrver.training.progress import REDRAW

_NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clip_share",
    "kl": "kl",
    "step_time": "seconds",
    "sampling/sampling_logp_difference/mean": "logprob_difference",
}


def figures_of(logs: dict[str, Any], groups: int) -> dict[str, float]:
    """A log line's figures from what TRL logs.

    Args:
        groups: of one step, over all processes.
    """
    found = {_NAMES[name]: float(value) for name, value in logs.items() if name in _NAMES and value is not None}
    ours = {name.removeprefix(FIGURE): value for name, value in logs.items() if name.startswith(FIGURE)}
    kept = ours.pop("kept", None)
    found |= {name: float(value) for name, value in ours.items() if value is not None}
    if kept is not None:
        found["kept_groups"] = kept * groups
        if not kept:
            found.pop("entropy", None)  # of no token
    return found


def watcher(folder: Path, summary: str, groups: int, estimates: Estimates, progress: bool) -> Any:
    """A `transformers.TrainerCallback` that logs, draws and reports; only the first process does anything."""
    from tqdm import tqdm
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.log: TrainingLog | None = None
            self._bar: Any = None
            self._drawn = 0.0

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if not state.is_world_process_zero:
                return
            self.log = TrainingLog(folder, state.global_step)
            if progress:
                on = f"going on from step {state.global_step} of {state.max_steps}: " if state.global_step else ""
                sys.stderr.write(f"training: {on}{summary}\n")
            self._bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                unit="step",
                desc="training",
                disable=None if progress else True,
            )

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if self._bar is not None:
                self._bar.update(state.global_step - self._bar.n)

        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_more: Any) -> None:
            values = figures_of(logs or {}, groups)
            if "loss" not in values:
                return
            self.record(state.global_step, values | dict(estimates.figures))
            if self._bar is not None and "reward" in values:  # a second iteration makes no rollouts
                self._bar.set_postfix_str(f"reward {values['reward']:.3f}, hit@1 {values['hit@1']:.2f}")

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


def keeper(estimates: Estimates) -> Any:
    """A `transformers.TrainerCallback` that keeps the estimates in each checkpoint."""
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if state.is_world_process_zero:
                estimates.save(Path(args.output_dir, f"checkpoint-{state.global_step}"))

    return Keeper()

"""What TRL logs of a stage III training, as figures; and what a checkpoint keeps besides the weights.

Figures of rollouts are `figures`'; the others are TRL's under the names that the log of stage I has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vretrver.training.grpo.difficulty import Estimates
from vretrver.training.grpo.figures import FIGURE

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


def figures_of(logs: Mapping[str, Any], groups: int) -> dict[str, float]:
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


class Figures:
    """What a step of stage III was like, and how uncertain its queries are (`progress.Reading`).

    Args:
        groups: of one step, over all processes.
    """

    def __init__(self, groups: int, estimates: Estimates) -> None:
        self._groups, self._estimates = groups, estimates

    def begin(self, before: Sequence[Mapping[str, Any]]) -> None:
        """Nothing is counted on."""

    def read(self, logs: Mapping[str, Any]) -> tuple[dict[str, float], str]:
        """As `progress.Reading`."""
        values = figures_of(logs, self._groups)
        if "loss" not in values:
            return {}, ""
        # A second iteration makes no rollouts.
        short = f"reward {values['reward']:.3f}, hit@1 {values['hit@1']:.2f}" if "reward" in values else ""
        return values | dict(self._estimates.figures), short


def keeper(estimates: Estimates) -> Any:
    """A `transformers.TrainerCallback` that keeps the estimates in each checkpoint."""
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if state.is_world_process_zero:
                estimates.save(Path(args.output_dir, f"checkpoint-{state.global_step}"))

    return Keeper()

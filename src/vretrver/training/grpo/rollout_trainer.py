"""The trainer that learns from our rollouts: TRL's, with the pictures that its `rollout_func` cannot carry.

Rollouts come through `rollout_func`, rewards through a reward function that says what they earned, and pictures are
added to the batch by two methods of TRL's that are overridden here:

    _generate_and_score_completions      its result gets the pixels of the rollouts
    _get_per_token_logps_and_entropies   is handed them while TRL scores rollouts (KL, vLLM's correction, iterations)

Also relied on: `_prepare_inputs` cuts and shuffles a batch by `num_images` and `image_grid_thw`; `_compute_loss` passes
them on; keys of the batch are `prompt_ids`, `completion_ids`, `tool_mask`. `trainer.require_trl` refuses another TRL
than the one that this was read against. Importing this module imports torch and TRL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import trl
from datasets import Dataset

from vretrver.policies.local.loading import Loaded
from vretrver.training.grpo.figures import FIGURE
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Draw, Rollout
from vretrver.training.grpo.writers import seed_of


class RolloutTrainer(trl.GRPOTrainer):  # type: ignore[misc]
    """A `GRPOTrainer` whose rollouts, rewards and pictures are ours.

    Args:
        loaded: what learns. arguments: TRL's (`trainer.arguments_of`).
        draw: makes the rollouts of a step.
        adapter: PEFT's settings of a low-rank adapter; None trains the weights themselves.
    """

    def __init__(self, loaded: Loaded, arguments: Any, pixels: Pixels, draw: Draw, adapter: Any = None) -> None:
        self._pixels, self._draw = pixels, draw
        self._shown: Sequence[Rollout] = ()
        self._noted: Mapping[str, Sequence[float]] = {}
        self._scoring = False
        super().__init__(
            model=loaded.model,
            reward_funcs=self._earned,
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [""] * arguments.generation_batch_size}),
            processing_class=loaded.processor,
            peft_config=adapter,
            rollout_func=lambda prompts, given: given._rolled(prompts),
        )

    def _send_telemetry(self) -> None:
        """Nothing leaves this machine."""

    def create_model_card(self, *_arguments: Any, **_options: Any) -> None:
        """The checkpoint's record says what a card would."""

    def _rolled(self, prompts: Sequence[Any]) -> dict[str, Any]:
        """TRL's rollout function."""
        self._shown, learnt, figures = self._draw(self.state.global_step, len(prompts))
        tapes = [one.tape for one in self._shown]
        drawn = [tape.ids[tape.opening :] or [self._tokenizer.pad_token_id] for tape in tapes]
        masks = [tape.trained if yes else [False] * len(tape.trained) for tape, yes in zip(tapes, learnt, strict=True)]
        self._noted = figures
        return {
            "prompt_ids": [tape.ids[: tape.opening] for tape in tapes],
            "completion_ids": drawn,
            "logprobs": [tape.logprobs or [0.0] for tape in tapes] if self.use_vllm else None,
            "env_mask": [[int(one) for one in mask] or [0] for mask in masks],
            "earned": [one.score.total for one in self._shown],
        }

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self._scoring = True
        try:
            made = super()._generate_and_score_completions(inputs)
        finally:
            self._scoring = False
        # TRL shuffles the batch next, and dropout draws: a run that goes on must draw what it would have drawn.
        torch.manual_seed(seed_of(self.args.seed, self.state.global_step, self.accelerator.process_index))
        return made | self._seen(torch.cat([made["prompt_ids"], made["completion_ids"]], dim=1), self._shown)

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, keep: int, *, batch_size: Any = None, **options: Any
    ) -> Any:
        score = super()._get_per_token_logps_and_entropies
        if not self._scoring:  # a micro-batch of the loss, with its pictures
            return score(model, input_ids, attention_mask, keep, **_without_none(options))
        found = []  # TRL knows of no pictures yet, and would hand on all of them at once
        for start in range(0, len(input_ids), batch_size or len(input_ids)):
            part = slice(start, start + (batch_size or len(input_ids)))
            seen = self._seen(input_ids[part], self._shown[part])
            found.append(score(model, input_ids[part], attention_mask[part], keep, **{**options, **seen})[0])
        return torch.cat(found), None, None

    def _seen(self, input_ids: Any, shown: Sequence[Rollout]) -> dict[str, Any]:
        """What the model takes for the pictures of some rollouts."""
        found = self._pixels.inputs(input_ids, [one.tape.views for one in shown])
        device = self.accelerator.device
        return {name: value if name == "num_images" else value.to(device) for name, value in found.items()}

    def _earned(
        self, completions: Any, earned: list[float], log_metric: Callable[[str, float], None], **_more: Any
    ) -> list[float]:
        """TRL's reward function: the rollouts know what they earned."""
        for name, values in self._noted.items():
            for value in values:
                log_metric(FIGURE + name, value)
        return earned


def _without_none(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a micro-batch that shows no picture has of others' pictures: tensors of no rows."""
    if any(inputs.get("num_images") or ()):
        return dict(inputs)
    return {
        name: value for name, value in inputs.items() if name not in ("pixel_values", "image_grid_thw", "num_images")
    }

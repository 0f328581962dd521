"""TRL's GRPOTrainer on our rollouts.

TRL's own tool loop (`environment_factory`) cannot carry the protocol: it parses calls by a template of the tokenizer's,
answers in a turn of role `tool` and cuts the conversation into tokens anew. Its public `rollout_func` can: it takes
token ids, a mask of what was drawn and log-probabilities from whoever made the rollouts. It takes no pictures, though.
So rollouts come through `rollout_func`, rewards through a reward function that says what they earned, and pictures are
added to the batch by two methods of TRL's that are overridden here:

    _generate_and_score_completions      its result gets the pixels of the rollouts
    _get_per_token_logps_and_entropies   is handed them while TRL scores rollouts (KL, vLLM's correction, iterations)

Also relied on: `_prepare_inputs` cuts and shuffles a batch by `num_images` and `image_grid_thw`; `_compute_loss` passes
them on; keys of the batch are `prompt_ids`, `completion_ids`, `tool_mask`. `require_trl` refuses another TRL than the
one that this was read against. Batches of TRL's data set are not used: who is asked is `difficulty`'s matter.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.errors import InvalidInput
from vretrver.policies.local.loading import Loaded
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Rollout
from vretrver.training.grpo.settings import Optimising, Sampling
from vretrver.training.grpo.writers import seed_of
from vretrver.training.trainer import is_on, loop_arguments, whole_here
from vretrver.training.weights import adapter_config

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = "1.16."
"""TRL's versions that this was read against."""
FIGURE = "rollouts/"
"""Our figures' names begin with it among TRL's."""
Draw = Callable[[int, int], tuple[Sequence[Rollout], Sequence[bool], Mapping[str, Sequence[float]]]]
"""From a step and how many rollouts this process trains: the rollouts, whether each is in the loss, and figures."""


def require_trl() -> None:
    """Refuse a TRL whose inner parts were not read.

    Raises:
        InvalidInput: it is another version.
    """
    import trl

    if not trl.__version__.startswith(READ):
        raise InvalidInput(
            f"TRL {trl.__version__} is installed; this stage overrides parts of TRL {READ}*: pip install 'trl=={READ}*'"
        )


def arguments_of(train: Optimising, sampling: Sampling, steps: int, folder: Path) -> Any:
    """TRL's arguments for these settings and as many processes as `accelerate launch` started.

    Args:
        steps: how many there are.
        folder: where checkpoints to go on from are kept.

    Raises:
        InvalidInput: a process would not hold whole groups, or the model would be cut over processes and drawn from by
            transformers.
    """
    import trl

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    held = train.micro_batch * processes
    if train.batch % held or (train.batch // processes) % sampling.rollouts:
        raise InvalidInput(
            f"batch is {train.batch}; with {processes} processes that hold {train.micro_batch} rollouts each at once, "
            f"in groups of {sampling.rollouts}, it must be a multiple of {held} and of {processes * sampling.rollouts}"
        )
    if sampling.backend == "transformers" and not whole_here():
        raise InvalidInput(
            "FSDP and ZeRO-3 cut the model over processes, and transformers cannot draw from a part: set "
            'sampling.backend = "vllm-server" (or "vllm-colocate"), or train with plain data parallelism'
        )
    with _experimental():
        return trl.GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=train.micro_batch,
            gradient_accumulation_steps=train.batch // held,
            num_generations=sampling.rollouts,
            num_iterations=train.iterations,
            max_completion_length=sampling.max_new_tokens,  # also what Dr. GRPO divides by
            temperature=sampling.temperature,
            beta=train.beta,
            epsilon=train.clip_low,
            epsilon_high=train.clip_high,
            loss_type=train.loss,
            scale_rewards=train.scale,
            max_steps=steps,
            lr_scheduler_type="cosine" if train.schedule == "cosine" else "constant_with_warmup",
            activation_checkpointing=train.gradient_checkpointing and not is_on("FSDP_ACTIVATION_CHECKPOINTING"),
            ignore_data_skip=True,  # there is no data to pass over
            **loop_arguments(train),
            **_vllm(sampling, train.max_tokens),
        )


def make_trainer(
    arguments: Any,
    train: Optimising,
    loaded: Loaded,
    *,
    pixels: Pixels,
    draw: Draw,
    callbacks: Sequence[Any],
) -> Any:
    """The trainer, ready to train.

    Args:
        draw: makes the rollouts of a step.
        callbacks: who watches.
    """
    import torch
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback

    class Trainer(trl.GRPOTrainer):  # type: ignore[misc]
        shown: Sequence[Rollout] = ()
        scoring = False

        def _send_telemetry(self) -> None:
            """Nothing leaves this machine."""

        def create_model_card(self, *_arguments: Any, **_options: Any) -> None:
            """The checkpoint's record says what a card would."""

        def rolled(self, prompts: Sequence[Any], _trainer: Any) -> dict[str, Any]:
            """TRL's rollout function."""
            self.shown, learnt, figures = draw(self.state.global_step, len(prompts))
            tapes = [one.tape for one in self.shown]
            drawn = [tape.ids[tape.opening :] or [self._tokenizer.pad_token_id] for tape in tapes]
            masks = [
                tape.trained if yes else [False] * len(tape.trained) for tape, yes in zip(tapes, learnt, strict=True)
            ]
            self.noted = figures
            return {
                "prompt_ids": [tape.ids[: tape.opening] for tape in tapes],
                "completion_ids": drawn,
                "logprobs": [tape.logprobs or [0.0] for tape in tapes] if self.use_vllm else None,
                "env_mask": [[int(one) for one in mask] or [0] for mask in masks],
                "earned": [one.score.total for one in self.shown],
            }

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            self.scoring = True
            try:
                made = super()._generate_and_score_completions(inputs)
            finally:
                self.scoring = False
            # TRL shuffles the batch next, and dropout draws: a run that goes on must draw what it would have drawn.
            torch.manual_seed(seed_of(self.args.seed, self.state.global_step, self.accelerator.process_index))
            return made | self._seen(torch.cat([made["prompt_ids"], made["completion_ids"]], dim=1), self.shown)

        def _get_per_token_logps_and_entropies(
            self, model: Any, input_ids: Any, attention_mask: Any, keep: int, *, batch_size: Any = None, **options: Any
        ) -> Any:
            score = super()._get_per_token_logps_and_entropies
            if not self.scoring:  # a micro-batch of the loss, with its pictures
                return score(model, input_ids, attention_mask, keep, **_without_none(options))
            found = []  # TRL knows of no pictures yet, and would hand on all of them at once
            for start in range(0, len(input_ids), batch_size or len(input_ids)):
                part = slice(start, start + (batch_size or len(input_ids)))
                seen = self._seen(input_ids[part], self.shown[part])
                found.append(score(model, input_ids[part], attention_mask[part], keep, **{**options, **seen})[0])
            return torch.cat(found), None, None

        def _seen(self, input_ids: Any, shown: Sequence[Rollout]) -> dict[str, Any]:
            """What the model takes for the pictures of some rollouts."""
            found = pixels.inputs(input_ids, [one.tape.views for one in shown])
            device = self.accelerator.device
            return {name: value if name == "num_images" else value.to(device) for name, value in found.items()}

    def earned(
        completions: Any, earned: list[float], log_metric: Callable[[str, float], None], **_more: Any
    ) -> list[float]:
        """TRL's reward function: the rollouts know what they earned."""
        for name, values in trainer.noted.items():
            for value in values:
                log_metric(FIGURE + name, value)
        return earned

    with _experimental():
        trainer = Trainer(
            model=loaded.model,
            reward_funcs=earned,
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [""] * (arguments.generation_batch_size)}),
            processing_class=loaded.processor,
            peft_config=adapter_config(loaded.model, train) if train.lora_rank else None,
            rollout_func=lambda prompts, given: given.rolled(prompts, given),
        )
    trainer.remove_callback(PrinterCallback)
    for callback in callbacks:
        trainer.add_callback(callback)
    return trainer


def _without_none(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a micro-batch that shows no picture has of others' pictures: tensors of no rows."""
    if any(inputs.get("num_images") or ()):
        return dict(inputs)
    return {
        name: value for name, value in inputs.items() if name not in ("pixel_values", "image_grid_thw", "num_images")
    }


@contextmanager
def _experimental() -> Iterator[None]:
    """`rollout_func` is called experimental by TRL; that is what `require_trl` is for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rollout_func.*", category=UserWarning)
        yield


def _vllm(sampling: Sampling, most: int) -> dict[str, Any]:
    match sampling.backend:
        case "vllm-server":
            where = {"vllm_mode": "server", "vllm_server_host": sampling.host, "vllm_server_port": sampling.port}
        case "vllm-colocate":
            where = {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": sampling.memory}
            where["vllm_max_model_length"] = most
        case _:
            return {}
    return {"use_vllm": True, **where}

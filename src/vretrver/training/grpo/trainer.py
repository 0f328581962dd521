"""TRL's GRPOTrainer on our rollouts: its version, its arguments, and the trainer made of them (`rollout_trainer`).

TRL's own tool loop (`environment_factory`) cannot carry the protocol: it parses calls by a template of the tokenizer's,
answers in a turn of role `tool` and cuts the conversation into tokens anew. Its public `rollout_func` can: it takes
token ids, a mask of what was drawn and log-probabilities from whoever made the rollouts. Batches of TRL's data set are
not used: who is asked is `difficulty`'s matter.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.errors import InvalidInput
from vretrver.policies.local.loading import Loaded
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Draw
from vretrver.training.grpo.settings import Optimising, Sampling
from vretrver.training.trainer import is_on, loop_arguments, whole_here
from vretrver.training.weights import adapter_config

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = "1.16."
"""TRL's versions that this was read against."""


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
    from transformers import PrinterCallback

    from vretrver.training.grpo.rollout_trainer import RolloutTrainer

    with _experimental():
        trainer = RolloutTrainer(
            loaded,
            arguments,
            pixels,
            draw,
            adapter=adapter_config(loaded.model, train) if train.lora_rank else None,
        )
    trainer.remove_callback(PrinterCallback)
    for callback in callbacks:
        trainer.add_callback(callback)
    return trainer


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

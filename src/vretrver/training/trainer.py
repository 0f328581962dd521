"""TRL's SFTTrainer, set up for rows: its arguments, its batches, who watches it.

Its own collator is not used (it writes prompts of its own and refuses pictures in a tool's turn), nor its preparation
of data sets: rows are ready. What is used: the loop with accelerate's FSDP and DeepSpeed, gradient accumulation over
trained tokens, LoRA, a loss that never holds the logits of a whole batch, checkpoints to go on from.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.errors import InvalidInput, MissingExtra
from vretrver.policies.local.loading import Loaded
from vretrver.training.rows import Collator
from vretrver.training.weights import adapter_config, mark_whole

if TYPE_CHECKING:
    from vretrver.training.sft import SftConfig


def require_libraries() -> None:
    """Refuse early where TRL or what it needs is not installed.

    Raises:
        MissingExtra: it is not.
    """
    try:
        import accelerate
        import datasets
        import trl  # noqa: F401
    except ImportError as missing:
        raise MissingExtra("training", "train") from missing
    del accelerate, datasets


def arguments_of(config: SftConfig, steps: Path) -> Any:
    """TRL's arguments for these settings and as many processes as `accelerate launch` started.

    Args:
        steps: where checkpoints to go on from are kept.

    Raises:
        InvalidInput: the batch is no multiple of what all processes hold at once.
    """
    import trl

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    held = config.micro_batch * processes
    if config.batch % held:
        raise InvalidInput(
            f"batch is {config.batch}, and {processes} processes hold {config.micro_batch} examples each at once; the "
            f"batch must be a multiple of {held}"
        )
    return trl.SFTConfig(
        output_dir=str(steps),
        per_device_train_batch_size=config.micro_batch,
        per_device_eval_batch_size=config.micro_batch,
        gradient_accumulation_steps=config.batch // held,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        lr_scheduler_type="cosine",
        activation_checkpointing=config.gradient_checkpointing and not is_on("FSDP_ACTIVATION_CHECKPOINTING"),
        eval_strategy="steps" if config.validate_every else "no",
        eval_steps=config.validate_every or None,
        prediction_loss_only=True,
        dataloader_num_workers=config.workers,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,  # a length would cut through pictures; rows are measured before
        **loop_arguments(config),
    )


def loop_arguments(config: SftConfig) -> dict[str, Any]:
    """TRL's arguments that every stage has: the optimiser's, what is kept and logged, nothing sent anywhere."""
    import torch

    return {
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "bf16": config.precision == "bfloat16",
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": config.log_every,
        "save_strategy": "steps" if config.save_every else "no",
        "save_steps": config.save_every or 1,
        "save_total_limit": 2,
        "use_cpu": not torch.cuda.is_available(),
        "remove_unused_columns": False,
        "report_to": "none",
        "disable_tqdm": True,
    }


def processes() -> Any:
    """Who else was started by `accelerate launch`, and the device of this one: accelerate's `PartialState`."""
    import torch
    from accelerate import PartialState

    # Processes wait for the slowest one's rollouts, which take longer than a step of training may.
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=12))


def whole_here() -> bool:
    """Whether each process holds the whole model: neither FSDP nor ZeRO-3 cuts it."""
    return not (is_on("ACCELERATE_USE_FSDP") or is_on("ACCELERATE_USE_DEEPSPEED"))


def is_on(name: str) -> bool:
    """Whether `accelerate launch` has set something; FSDP then recomputes activations in its own, cheaper way."""
    return os.environ.get(name, "").lower() in ("1", "true")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within it the libraries say nothing on stderr but errors: what there is to say is in `progress`."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # one library about another's old names
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def make_trainer(
    arguments: Any, config: SftConfig, loaded: Loaded, data: Collator, *, held_out: int, callbacks: Sequence[Any]
) -> Any:
    """The trainer, ready to train.

    Args:
        data: makes batches of its rows.
        held_out: so many rows at the end are for validation only.
        callbacks: who watches.
    """
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback

    class Trainer(trl.SFTTrainer):  # type: ignore[misc]
        def _send_telemetry(self) -> None:
            """Nothing leaves this machine."""

        def create_model_card(self, *_arguments: Any, **_options: Any) -> None:
            """The checkpoint's record says what a card would."""

    count = len(data.rows) - held_out
    trainer = Trainer(
        model=loaded.model,
        args=arguments,
        data_collator=data,
        train_dataset=Dataset.from_dict({"row": list(range(count))}),
        eval_dataset=Dataset.from_dict({"row": list(range(count, len(data.rows)))}) if held_out else None,
        processing_class=loaded.processor,
        peft_config=adapter_config(loaded.model, config) if config.lora_rank else None,
    )
    # The Qwen-VL classes say that they take no count of a whole batch's tokens, and then every micro-batch would weigh
    # the same, however few tokens are trained in it. TRL computes the loss itself and takes the count.
    trainer.model_accepts_loss_kwargs = True
    trainer.remove_callback(PrinterCallback)
    for callback in (marker(), *callbacks):
        trainer.add_callback(callback)
    return trainer


def marker() -> Any:
    """A `transformers.TrainerCallback` that marks each checkpoint once all of it is written; add it last."""
    import torch
    from transformers import TrainerCallback

    class Marker(TrainerCallback):  # type: ignore[misc]
        """Marks a checkpoint once all of it is written."""

        def on_save(self, args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if torch.distributed.is_initialized():
                torch.distributed.barrier()  # every process has written its part
            if state.is_world_process_zero:
                mark_whole(Path(args.output_dir, f"checkpoint-{state.global_step}"))

    return Marker()

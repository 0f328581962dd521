"""Supervised fine-tuning (stage I): examples and a model in, a folder out that `local:FOLDER` loads.

TRL's SFTTrainer trains (`trainer`); rows of tokens are `rows`, curves are `curves`, the finished folder's record is
`checkpoint`. Where this departs from the paper: nothing in its settings, which are the defaults; the loss is the mean
over all trained tokens of a global batch, whatever process they are in. Left out: packing (TRL refuses it for pictures)
and quantised weights.

A training that was cut off, by kill -9 too, goes on from its last whole checkpoint when the same command runs again.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, StorageError, VretrverError
from vretrver.evaluation.folder import made
from vretrver.evaluation.pools import cache_folder
from vretrver.policies.habits import RECORD
from vretrver.policies.local.prompts import PromptWriter
from vretrver.training.checkpoint import Checkpoint, habits_of, protocol_digest
from vretrver.training.config import claim_folder, versions
from vretrver.training.examples import Example
from vretrver.training.progress import Figures, Watching, watcher
from vretrver.training.rows import Collator, RowMaker, Rows, make_rows
from vretrver.training.samples import PAGES, SampleConfig, Sampler, sampling_callback
from vretrver.training.trainer import arguments_of, make_trainer, quiet_libraries, require_libraries, whole_here
from vretrver.training.weights import is_whole, memory_advice, save_model, starting_model

PLACE = "training"  # beside the model's files: settings, log, curves, samples
FREE = ("workers", "samples", "save_every", "cache")  # settings that change nothing of what is learnt
STEPS = "steps"  # in it, checkpoints to go on from, until the training is done


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Settings of one training; the defaults are the paper's for Qwen2.5-VL-7B (section 4.1).

    Args:
        model: a folder, or a name in the Hugging Face cache.
        data: folders or files of examples, as `vretrver train synthesize` writes them.
        validation: such folders held out.
        max_tokens: the longest example that is trained, pictures included; longer ones are left out and counted.
        tune_vision, tune_projector: train the vision tower, and what joins it to the language model.
        lora_rank: 0 trains all weights; else LoRA on the linear layers of what is trained. lora_alpha: 0 is twice the
            rank.
        precision: of the arithmetic: `bfloat16` (weights and optimizer stay in float32) or `float32`.
        gradient_checkpointing: compute activations twice instead of keeping them: less memory, about a fifth slower.
        learning_rate, warmup (share of all steps), epochs, weight_decay, clip (of the gradient's norm): the schedule is
            a cosine to 0. max_steps: 0 is what the epochs make.
        batch: examples a step over all processes. micro_batch: how many of them one process holds at once.
        seed: of order and dropout.
        workers: processes that prepare pictures beside the training; 0 does it in the training's own.
        log_every, save_every, validate_every: steps; 0 never saves to go on from, never validates.
        decode: open every picture before the training, so that damaged ones are counted and not met on the way.
        attention: as transformers names it (`sdpa`, `eager`, `flash_attention_2`).
        samples: held-out queries that the model answers while it trains. cache: where their pictures and indexes are
            kept; the user's cache folder when None.
    """

    model: str = ""
    data: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    max_tokens: int = 32768
    tune_vision: bool = False
    tune_projector: bool = False
    lora_rank: int = 0
    lora_alpha: int = 0
    lora_dropout: float = 0.0
    precision: str = "bfloat16"
    gradient_checkpointing: bool = True
    learning_rate: float = 1e-5
    warmup: float = 0.1
    epochs: float = 2.0
    max_steps: int = 0
    batch: int = 64
    micro_batch: int = 1
    weight_decay: float = 0.0
    clip: float = 1.0
    seed: int = 0
    workers: int = 0
    log_every: int = 10
    save_every: int = 100
    validate_every: int = 0
    decode: bool = True
    attention: str = "sdpa"
    samples: SampleConfig = field(default_factory=SampleConfig)
    cache: str | None = None

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least):
                raise InvalidInput(f"{name} is {value}; it must be {least} or more")
        if not 0 <= self.warmup < 1:
            raise InvalidInput(f"warmup is {self.warmup}; it is a share of the steps, from 0 to below 1")
        if self.precision not in ("bfloat16", "float32"):
            raise InvalidInput(f"unknown precision {self.precision!r}; choose bfloat16 or float32")


_LEAST = {
    "max_tokens": 16, "lora_rank": 0, "lora_alpha": 0, "lora_dropout": 0, "learning_rate": 0, "epochs": 0, "clip": 0,
    "max_steps": 0, "batch": 1, "micro_batch": 1, "weight_decay": 0, "workers": 0, "log_every": 1, "save_every": 0,
    "validate_every": 0,
}  # fmt: skip


def train(
    config: SftConfig,
    examples: Sequence[Example],
    folder: Path,
    *,
    validation: Sequence[Example] = (),
    stage: str = "sft",
    callbacks: Sequence[Any] = (),
    progress: bool = True,
) -> Checkpoint:
    """Train, or go on; under `accelerate launch` every process calls this with the same arguments.

    Args:
        folder: where the model, its record, log and curves go; made if it is not there.
        validation: examples whose loss is measured every `validate_every` steps.
        stage: the record's.
        callbacks: further `transformers.TrainerCallback`s.
        progress: draw progress on stderr.

    Returns:
        The record of the finished folder; a folder that is finished already is left as it is.

    Raises:
        MissingExtra: TRL or what it needs is not installed.
        InvalidInput: nothing to train on, settings that do not fit each other or this machine's memory, or the folder
            holds something else.
        ImageError, MissingPath: a damaged picture was met (with `decode` off). StorageError: the disk refuses.
    """
    require_libraries()
    claim_folder(made(folder / PLACE), config, ignoring=FREE, data=digest_of(examples))
    if (folder / RECORD).is_file():
        return Checkpoint.read(folder)
    with quiet_libraries():
        return _trained(
            config,
            examples,
            folder,
            validation=validation,
            stage=stage,
            callbacks=callbacks,
            progress=progress,
        )


def _trained(
    config: SftConfig,
    examples: Sequence[Example],
    folder: Path,
    *,
    validation: Sequence[Example],
    stage: str,
    callbacks: Sequence[Any],
    progress: bool,
) -> Checkpoint:
    arguments = arguments_of(config, folder / PLACE / STEPS)  # before the model: DeepSpeed and FSDP listen to it
    main = arguments.process_index == 0
    loaded = starting_model(config)
    maker = RowMaker(PromptWriter(loaded.processor, loaded.name), loaded.name)
    rows = _rows(examples, maker, config, progress and main)
    _refuse_mixed(rows)
    held_out = _rows(validation, maker, config, False).rows if validation else ()
    data = Collator(rows.rows + held_out, maker)
    watching = Watching(folder / PLACE, rows.summary, Figures(), progress)
    watchers = [watcher(watching), *callbacks]
    if config.samples.every and main and whole_here():
        sampler = Sampler(
            config.samples, folder / PLACE / PAGES, loaded.processor, loaded.model_type, cache_folder(config.cache)
        )
        watchers.append(sampling_callback(sampler, config.samples.every, watching.record))
    trainer = make_trainer(arguments, config, loaded, data, held_out=len(held_out), callbacks=watchers)
    try:
        trainer.train(resume_from_checkpoint=last_whole(folder))
        save_model(trainer, loaded, config, folder)
    except VretrverError:
        raise  # some are kin of those below
    except (RuntimeError, MemoryError) as fault:
        if advice := memory_advice(fault, config, rows):
            raise InvalidInput(advice) from fault
        raise
    except OSError as fault:
        raise StorageError(f"cannot write {folder}: {fault.strerror or fault}") from fault
    hashes = Counter(example.prompt_hash for example in examples)
    facts = {
        "examples": rows.examples,
        "rows": len(rows.rows),
        "tokens": rows.tokens,
        "left_out": dict(rows.left_out),
        "steps": trainer.state.global_step,
        "processes": arguments.world_size,
    }
    record = Checkpoint(stage, protocol_digest(), dict(hashes), loaded.name, habits_of(examples), facts, versions())
    if main:
        record.write(folder)
        shutil.rmtree(folder / PLACE / STEPS, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return record


def last_whole(folder: Path) -> str | None:
    """The newest checkpoint to go on from that was written to its end."""
    found = sorted(
        (path for path in (folder / PLACE / STEPS).glob("checkpoint-*") if is_whole(path)),
        key=lambda path: int(path.name.rpartition("-")[2]),
    )
    return str(found[-1]) if found else None


def digest_of(examples: Sequence[Example]) -> str:
    """16 hexadecimal digits over the words of all examples and the names of their pictures."""
    digest = hashlib.sha256()
    for example in examples:
        for message in example.messages:
            digest.update(f"{message.role}\n{message.text}\n".encode("utf-8", "replace"))
        for part in example.pictures:
            view = part.view
            digest.update(f"{view.image.label} {view.width} {view.height} {view.box}\n".encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def _refuse_mixed(rows: Rows) -> None:
    """Where the vision tower is cut over processes, one that skips it would leave the others waiting for ever."""
    with_pictures = sum(row.pictures > 0 for row in rows.rows)
    if not whole_here() and 0 < with_pictures < len(rows.rows):
        raise InvalidInput(
            f"{with_pictures} of {len(rows.rows)} rows have pictures; FSDP and ZeRO-3 need pictures in all or in none: "
            "train the others apart, or with plain data parallelism"
        )


def _rows(examples: Sequence[Example], maker: RowMaker, config: SftConfig, progress: bool) -> Rows:
    from tqdm import tqdm

    limit = getattr(maker.writer.tokenizer, "model_max_length", None) or config.max_tokens
    with tqdm(total=len(examples), desc="reading", unit="example", disable=None if progress else True) as bar:
        return make_rows(examples, maker, min(config.max_tokens, int(limit)), decode=config.decode, each=bar.update)

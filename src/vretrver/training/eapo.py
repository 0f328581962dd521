"""Evidence-aligned policy optimisation (stage III): a checkpoint learns from rewards on its own episodes.

Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300) with TRL's GRPOTrainer around the product's own
episode (`grpo`), the reward by name (`rewards`). Where this departs from the paper: the clip is higher above and the
loss a mean over tokens (DAPO, `grpo.settings`), groups that all earn the same are masked out, and queries that are
neither all right nor all wrong are preferred (`grpo.difficulty`). With `tools = "none"` in the recipe, and a checkpoint
that learnt so, this is the paper's text-only control.

A training that was cut off, by kill -9 too, goes on from its last whole checkpoint when the same command runs again,
with the rollouts that it would have drawn. It leaves out FSDP and ZeRO-3 without vLLM: who draws needs a whole model.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, StorageError, VretrverError
from vretrver.evaluation.folder import made
from vretrver.evaluation.pools import cache_folder
from vretrver.policies.habits import RECORD, habits_in
from vretrver.policies.local import default_boxes
from vretrver.policies.local.generation import is_out_of_memory
from vretrver.policies.local.loading import Loaded
from vretrver.protocol import Wire
from vretrver.training.checkpoint import Checkpoint, protocol_digest, require_protocol
from vretrver.training.config import claim_folder, versions
from vretrver.training.grpo.exercises import Course, load_course
from vretrver.training.grpo.practice import Practice
from vretrver.training.grpo.settings import Difficulty, Optimising, Sampling
from vretrver.training.grpo.trainer import arguments_of, make_trainer, require_trl
from vretrver.training.grpo.watching import Figures, keeper
from vretrver.training.grpo.writers import vllm_options
from vretrver.training.progress import Watching, watcher
from vretrver.training.rewards import Reward, load_reward
from vretrver.training.samples import PAGES, Sampler, sampling_callback
from vretrver.training.sft import PLACE, STEPS, last_whole
from vretrver.training.sources import Source
from vretrver.training.trainer import marker, processes, quiet_libraries, require_libraries, whole_here
from vretrver.training.trajectories import Recipe
from vretrver.training.weights import save_model, starting_model

STAGE = "eapo"
FREE = (
    "cache", "train.samples", "train.save_every", "train.cache", "sampling.batch", "sampling.keep_every",
    "sampling.host", "sampling.port", "sampling.memory",
)  # fmt: skip
"""Settings that change nothing of what is learnt."""


@dataclass(frozen=True, slots=True)
class EapoConfig:
    """Settings of one stage III.

    Args:
        tasks: what is asked. recipe: how, as at serving.
        reward: its name. weights: those of its terms that are not its own.
        counterfactual: ask, of right answers, what the model would have answered without each look, where no truth is
            known (`rewards.counterfactual`); for the reward `ours`, a generation or more a look.
        sampling: how rollouts are drawn. difficulty: of which queries.
        train: the optimiser; its model is the checkpoint that is given.
        cache: for drawn scenes, indexes and words read; the user's cache folder when None.
    """

    tasks: tuple[Source, ...]
    recipe: Recipe = field(default_factory=Recipe)
    reward: str = "paper"
    weights: Mapping[str, float] = field(default_factory=dict)
    counterfactual: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    difficulty: Difficulty = field(default_factory=Difficulty)
    train: Optimising = field(default_factory=Optimising)
    cache: str | None = None

    def __post_init__(self) -> None:
        load_reward(self.reward, **self.weights)


def eapo(
    config: EapoConfig,
    parent: Path,
    folder: Path,
    *,
    reward: Reward | None = None,
    callbacks: Sequence[Any] = (),
    progress: bool = True,
) -> Checkpoint:
    """Train, or go on; every process of `accelerate launch` calls this alike.

    Args:
        parent: a finished checkpoint of this vretrver's protocol.
        folder: where the model, its record, log, curves and rollouts go.
        reward: one of your own, instead of the one that the settings name.
        callbacks: further `transformers.TrainerCallback`s.
        progress: draw progress on stderr.

    Returns:
        The record of the finished folder; a folder that is finished already is left as it is.

    Raises:
        MissingExtra: TRL or what it needs is not installed.
        MissingPath: the parent is no finished checkpoint.
        InvalidInput: it learnt another protocol or prompt, the folder holds another run, a task is a test split,
            settings do not fit each other or this machine's memory.
        ImageError, MissingPath: a query's picture cannot be read. StorageError: the disk refuses.
    """
    require_libraries()
    require_trl()
    Checkpoint.read(parent)  # refuse what is none before anything is loaded
    named = load_reward(config.reward, **config.weights) if reward is None else reward
    claim_folder(made(folder / PLACE), config, ignoring=FREE, parent=_digest(parent), rewarded_by=named.name)
    if (folder / RECORD).is_file():
        return Checkpoint.read(folder)
    with quiet_libraries():
        return _trained(config, parent, folder, named, callbacks=callbacks, progress=progress)


def _trained(
    config: EapoConfig, parent: Path, folder: Path, reward: Reward, *, callbacks: Sequence[Any], progress: bool
) -> Checkpoint:
    train, state, cache = replace(config.train, model=str(parent)), processes(), cache_folder(config.cache)
    say = progress and state.is_main_process
    with state.main_process_first():  # one draws scenes and builds indexes, the others find them
        course = load_course(config.tasks, config.recipe, _wire(parent), f"local:{parent}", cache, progress=say)
    require_protocol(parent, course.prompt_hash)
    groups = max(1, train.batch // config.sampling.rollouts)
    steps = train.max_steps or math.ceil(train.epochs * len(course.exercises) / groups) * train.iterations
    if config.counterfactual and not whole_here():
        raise InvalidInput(
            "counterfactual asks the model itself, which FSDP and ZeRO-3 cut: set counterfactual = false"
        )
    arguments = arguments_of(train, config.sampling, steps, folder / PLACE / STEPS)
    loaded = starting_model(train)
    practice = Practice(
        course,
        loaded,
        folder,
        reward,
        sampling=config.sampling,
        difficulty=config.difficulty,
        train=train,
        counterfactual=config.counterfactual,
    )
    estimates = practice.estimates
    summary = f"{len(course.exercises)} queries, {groups} groups of {config.sampling.rollouts} a step"
    summary += f"; left out: {course.left_out} without a right candidate" if course.left_out else ""
    watching = Watching(folder / PLACE, summary, Figures(groups, estimates), progress)
    watchers = [watcher(watching), *callbacks]
    if train.samples.every and state.is_main_process and whole_here():
        sampler = Sampler(train.samples, folder / PLACE / PAGES, loaded.processor, loaded.model_type, cache)
        watchers.append(sampling_callback(sampler, train.samples.every, _held_out(watching.record)))
    if config.sampling.backend != "transformers":
        arguments.generation_kwargs = vllm_options(practice.maker, config.sampling)
    trainer = make_trainer(
        arguments,
        train,
        loaded,
        pixels=practice.pixels,
        draw=practice,
        callbacks=[*watchers, keeper(estimates), marker()],
    )
    practice.trainer = trainer
    whole = last_whole(folder)
    if whole:
        estimates.load(Path(whole))
    try:
        trainer.train(resume_from_checkpoint=whole)
        save_model(trainer, loaded, train, folder)
    except VretrverError:
        raise  # some are kin of those below
    except (RuntimeError, MemoryError) as fault:
        if is_out_of_memory(fault):
            raise InvalidInput(_advice(config, practice.longest)) from fault
        raise
    except OSError as fault:
        raise StorageError(f"cannot write {folder}: {fault.strerror or fault}") from fault
    done = _record(config, course, loaded, trainer, reward)
    if state.is_main_process:
        estimates.save(folder / PLACE)
        done.write(folder)
        shutil.rmtree(folder / PLACE / STEPS, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return done


def _wire(parent: Path) -> Wire:
    """The dialect that a checkpoint speaks; by its family where its record does not say."""
    habits = habits_in(parent)
    if habits is not None:
        return habits.wire
    try:
        family = json.loads((parent / "config.json").read_text(encoding="utf-8")).get("model_type", "")
    except (OSError, ValueError, AttributeError):
        family = ""
    return Wire(boxes=default_boxes(parent.name, str(family)))


def _digest(parent: Path) -> str:
    """16 hexadecimal digits over a checkpoint's weights."""
    digest = hashlib.sha256()
    for path in sorted(parent.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _held_out(log: Any) -> Any:
    """Logs figures of held-out queries beside those of the rollouts."""
    return lambda step, figures: log(step, {f"validation_{name}": value for name, value in figures.items()})


def _advice(config: EapoConfig, longest: int) -> str:
    """Which setting to change when memory ran out, the cheapest first."""
    train, knobs = config.train, []
    if train.micro_batch > 1:
        knobs.append(f"train.micro_batch = {train.micro_batch // 2} (the batch stays {train.batch})")
    if not train.gradient_checkpointing:
        knobs.append("train.gradient_checkpointing = true")
    if config.sampling.backend == "vllm-colocate":
        knobs.append(f"sampling.memory below {config.sampling.memory}")
    if train.precision == "float32":
        knobs.append('train.precision = "bfloat16"')
    knobs += [f"sampling.max_new_tokens below {config.sampling.max_new_tokens}", "smaller pictures or fewer candidates"]
    if not train.lora_rank:
        knobs.append("train.lora_rank = 16 instead of all weights")
    knobs.append('more processes with FSDP or ZeRO-3 and sampling.backend = "vllm-server"')
    return (
        f"memory ran out with {train.micro_batch} rollouts of up to {longest} tokens at once; in this order, try "
        f"{'; '.join(knobs)}. The same command then begins again"
    )


def _record(config: EapoConfig, course: Course, loaded: Loaded, trainer: Any, reward: Reward) -> Checkpoint:
    steps = trainer.state.global_step
    facts = {
        "queries": len(course.exercises),
        "left_out": course.left_out,
        "steps": steps,
        "rollouts": steps // config.train.iterations * config.train.batch,
        "reward": reward.name,
        "weights": dict(config.weights),
        "processes": trainer.args.world_size,
    }
    hashes = {course.prompt_hash: facts["rollouts"]}
    return Checkpoint(STAGE, protocol_digest(), hashes, loaded.name, course.habits.to_record(), facts, versions())

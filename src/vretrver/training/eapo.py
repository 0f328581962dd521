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
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, StorageError, VretrverError
from vretrver.evaluation.folder import made
from vretrver.evaluation.pools import cache_folder
from vretrver.policies.habits import RECORD, habits_in
from vretrver.policies.local import LocalPolicy, default_boxes
from vretrver.policies.local.generation import is_out_of_memory
from vretrver.policies.local.loading import Loaded, load
from vretrver.policies.local.prompts import PromptWriter
from vretrver.protocol import Wire
from vretrver.training.checkpoint import Checkpoint, protocol_digest, require_protocol
from vretrver.training.config import claim_folder, versions
from vretrver.training.grpo import record
from vretrver.training.grpo.difficulty import Estimates
from vretrver.training.grpo.exercises import Course, load_course
from vretrver.training.grpo.figures import of_step
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Group, Player, Rollout
from vretrver.training.grpo.settings import Difficulty, Optimising, Sampling
from vretrver.training.grpo.tapes import Recorder
from vretrver.training.grpo.trainer import arguments_of, make_trainer, require_trl
from vretrver.training.grpo.watching import keeper, watcher
from vretrver.training.grpo.writers import Transformers, Vllm, Writer, at_rest, vllm_options
from vretrver.training.rejection import Asking
from vretrver.training.rewards import Judged, Reward, load_reward
from vretrver.training.rewards.counterfactual import counterfactual
from vretrver.training.rewards.judged import Order
from vretrver.training.rows import RowMaker
from vretrver.training.samples import PAGES, Sampler, sampling_callback
from vretrver.training.sft import PLACE, STEPS, last_whole
from vretrver.training.sources import Source
from vretrver.training.trainer import marker, processes, quiet_libraries, require_libraries, whole_here
from vretrver.training.trajectories import Recipe
from vretrver.training.weights import choose_trained, save_model
from vretrver.types import Window

STAGE = "eapo"
FREE = (
    "cache", "train.samples", "train.save_every", "train.cache", "sampling.batch", "sampling.keep_every",
    "sampling.host", "sampling.port", "sampling.memory",
)  # fmt: skip
"""Settings that change nothing of what is learnt."""
TRIED = 32  # openings that are measured before the training


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
    loaded = _model(train)
    practice = _Practice(config, course, loaded, folder, reward)
    estimates = practice.estimates
    summary = f"{len(course.exercises)} queries, {groups} groups of {config.sampling.rollouts} a step"
    summary += f"; left out: {course.left_out} without a right candidate" if course.left_out else ""
    watching = [watcher(folder / PLACE, summary, groups, estimates, progress), *callbacks]
    if train.samples.every and state.is_main_process and whole_here():
        sampler = Sampler(train.samples, folder / PLACE / PAGES, loaded.processor, loaded.model_type, cache)
        watching.append(sampling_callback(sampler, train.samples.every, _held_out(watching[0].record)))
    if config.sampling.backend != "transformers":
        arguments.generation_kwargs = vllm_options(practice.maker, config.sampling)
    trainer = make_trainer(
        arguments,
        train,
        loaded,
        pixels=practice.pixels,
        draw=practice,
        callbacks=[*watching, keeper(estimates), marker()],
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


class _Practice:
    """Makes the rollouts of each step: which queries, which groups count, what is kept and noted of them."""

    def __init__(self, config: EapoConfig, course: Course, loaded: Loaded, folder: Path, reward: Reward) -> None:
        self._config, self._folder, self._state = config, folder, processes()
        self._exercises = course.by_key
        self._habits, self._loaded = course.habits, loaded
        train, name = config.train, loaded.name
        self.trainer: Any = None
        self.maker = RowMaker(PromptWriter(loaded.processor, name), name)
        self.pixels = Pixels(self.maker, name)
        self.estimates = Estimates(list(self._exercises), config.difficulty, train.seed)
        self.longest = 0
        recorder, limit = Recorder(self.maker, name), _limit(loaded, train.max_tokens)
        _check_openings(course, recorder, limit)
        self._player = Player(
            recorder,
            self.pixels,
            self._writer(name),
            reward,
            max_tokens=limit,
            shuffle=config.sampling.shuffle,
            seed=train.seed,
            without=self._without if config.counterfactual else None,
        )

    def __call__(self, step: int, count: int) -> tuple[list[Rollout], list[bool], Mapping[str, Sequence[float]]]:
        """`trainer.Draw`."""
        started = time.perf_counter()
        size = self._config.sampling.rollouts
        first, trained, seen = self._groups(step, count // size)
        self.estimates.note(self._gathered([(group.exercise.key, group.right) for group in seen]))
        every = self._config.sampling.keep_every
        if every and step % every == 0:
            record.keep(self._folder, seen, trained, step, self._state.process_index)
        rollouts = [one for group in trained for one in group.rollouts]
        self.longest = max([self.longest, *(len(one.tape.ids) for one in rollouts)])
        figures = of_step(first, trained) | {"rollout_seconds": [time.perf_counter() - started]}
        return rollouts, [not group.flat for group in trained for _one in group.rollouts], figures

    def _groups(self, step: int, count: int) -> tuple[list[Group], list[Group], list[Group]]:
        """A step's groups in this process: those drawn first, those to train on, and all."""
        first = self._played([count] * self._state.num_processes, step, 0, set())
        trained, seen = list(first), list(first)
        asked = set(self._gathered([group.exercise.key for group in first]))
        for again in range(1, self._config.difficulty.resample + 1):
            flat = [at for at, group in enumerate(trained) if group.flat]
            needs = self._gathered([len(flat)])
            if not sum(needs):
                break
            found = self._played(needs, step, again, asked)
            asked |= set(self._gathered([group.exercise.key for group in found]))
            for at, group in zip(flat, (one for one in found if not one.flat), strict=False):
                trained[at] = group
            seen += found
        return first, trained, seen

    def _played(self, needs: Sequence[int], step: int, again: int, but: set[str]) -> list[Group]:
        """This process's groups of queries that all processes draw alike; each needs so many."""
        before = sum(needs[: self._state.process_index])
        drawn = self.estimates.draw(sum(needs), step, again, but)
        mine = drawn[before : before + needs[self._state.process_index]]
        return self._player.groups(
            [self._exercises[key] for key in mine],
            self._config.sampling.rollouts,
            step=step,
            turns=self._habits.max_tool_turns + 1,
            draw=again,
            before=before,
        )

    def _gathered(self, values: list[Any]) -> list[Any]:
        from accelerate.utils import gather_object

        return list(gather_object(values))

    def _writer(self, name: str) -> Writer:
        sampling = self._config.sampling
        if sampling.backend == "transformers":
            return Transformers(self._model, self.maker, sampling, name, pixels=self.pixels, autocast=self._autocast)
        return Vllm(self._model, self.maker, sampling, name, lambda: self.trainer.vllm_generation)

    def _without(self, judged: Sequence[Judged], windows: Sequence[Window]) -> list[dict[int, Order | None]]:
        """What the model would have answered without each look, at its likeliest."""
        habits, model, sampling = self._habits, self._model(), self._config.sampling
        asking = Asking(habits.toolbox, habits.max_tool_turns, habits.boxes, habits.window_pixels)
        with at_rest(model), self._autocast():
            policy = LocalPolicy(
                replace(self._loaded, model=model),
                wire=habits.wire,
                batch=sampling.batch,
                max_new_tokens=sampling.max_new_tokens,
            )
            return counterfactual(policy, judged, windows, asking)

    def _autocast(self) -> Any:
        return self.trainer.accelerator.autocast()

    def _model(self) -> Any:
        return self.trainer.accelerator.unwrap_model(self.trainer.model_wrapped)


def _model(train: Optimising) -> Loaded:
    loaded = load(train.model, dtype="float32", device="cpu")
    if train.attention != "sdpa":
        loaded.model.set_attn_implementation(train.attention)
    loaded.model.train()
    choose_trained(loaded.model, vision=train.tune_vision, projector=train.tune_projector)
    return loaded


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


def _limit(loaded: Loaded, most: int) -> int:
    """The longest conversation, in tokens: what the settings, the model and its tokenizer allow."""
    told = [
        getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None),
        getattr(loaded.processor.tokenizer, "model_max_length", None),
    ]
    return int(min([most, *(one for one in told if one)]))


def _check_openings(course: Course, recorder: Recorder, limit: int) -> None:
    """Refuse a limit that no opening fits; of many queries some are measured."""
    count = len(course.exercises)
    tried = [course.exercises[at * count // min(TRIED, count)] for at in range(min(TRIED, count))]
    lengths = [len(recorder.opened(one.begun(None).seats[0].episode.conversation.messages).ids) for one in tried]
    if min(lengths) >= limit:
        raise InvalidInput(
            f"every prompt has {min(lengths)} tokens or more, and an episode may have {limit}: set max_tokens higher, "
            "or show fewer candidates or smaller pictures (recipe.window, recipe.window_pixels)"
        )


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

"""Rejection-sampling fine-tuning (stage II): rollouts of a checkpoint, the fit ones kept, trained on from there.

`rollouts` samples, `rejection` keeps, `sft` trains; here they follow each other, each going on where it was cut off,
under `accelerate launch` too. Where this departs from the paper: besides format and rank a rollout must agree with the
evidence that it was shown, and a query keeps a few of its rollouts at most (`rejection`).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vretrver.datasets import Task
from vretrver.errors import InvalidInput
from vretrver.evaluation.folder import made, write_json
from vretrver.evaluation.pools import cache_folder
from vretrver.policies.habits import RECORD
from vretrver.policies.local import LocalPolicy
from vretrver.policies.local.loading import Loaded, load
from vretrver.protocol import Wire
from vretrver.reranker import Reranker
from vretrver.training.checkpoint import Checkpoint, prompt_hash_of, require_protocol
from vretrver.training.config import claim_folder
from vretrver.training.examples import Example
from vretrver.training.filtering import Rules
from vretrver.training.rejection import Asking, Yield, reject, table
from vretrver.training.rollouts import read_rollouts, sample
from vretrver.training.sft import FREE, PLACE, SftConfig, train
from vretrver.training.sources import Source
from vretrver.training.tasks import asked, load_source
from vretrver.training.trainer import processes, quiet_libraries, require_libraries
from vretrver.training.trajectories import Recipe
from vretrver.training.truths import World
from vretrver.windows import load_planner

ROLLOUTS = "rollouts"  # in the checkpoint's folder: a folder of traces for each task
YIELDS = "yields.json"  # in it


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a checkpoint is sampled; the cap is the most rollouts of a query that are kept.

    Args:
        rollouts: a query. temperature, max_new_tokens: of each generation.
        seed: of a query's first rollout; the next has the next.
        shuffle: another order of the candidates for each rollout.
        batch: conversations in one generation. at_once: episodes that advance together.

    Raises:
        InvalidInput: a number is out of range.
    """

    rollouts: int = 8
    cap: int = 4
    temperature: float = 1.0
    max_new_tokens: int = 1024
    seed: int = 0
    shuffle: bool = False
    batch: int = 16
    at_once: int = 64

    def __post_init__(self) -> None:
        for name in ("rollouts", "cap", "max_new_tokens", "batch", "at_once"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"sampling: {name} is {getattr(self, name)}; it must be 1 or more")
        if not self.temperature > 0:
            raise InvalidInput(f"sampling: temperature is {self.temperature}; it must be above 0, or all are the same")


@dataclass(frozen=True, slots=True)
class RsftConfig:
    """Settings of one stage II.

    Args:
        tasks: what is asked. recipe: how, as at serving.
        sampling: how often. rules: what is kept.
        train: the fine-tuning; its model is the checkpoint that is given, its data what was kept.
        cache: for drawn scenes, indexes and words read; the user's cache folder when None.
    """

    tasks: tuple[Source, ...]
    recipe: Recipe = field(default_factory=Recipe)
    sampling: Sampling = field(default_factory=Sampling)
    rules: Rules = field(default_factory=Rules)
    train: SftConfig = field(default_factory=SftConfig)
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class _Asks:
    """What the rollouts are made of: free to change later are only the cap, the rules and the training."""

    task: Source
    recipe: Recipe
    sampling: Sampling


def rsft(
    config: RsftConfig, parent: Path, folder: Path, *, callbacks: Sequence[Any] = (), progress: bool = True
) -> Checkpoint:
    """Sample, keep and train, or go on; every process of `accelerate launch` calls this alike.

    Args:
        parent: a finished checkpoint of this vretrver's protocol.
        folder: where rollouts, yields and the model go.
        callbacks, progress: as `sft.train`.

    Returns:
        The record of the finished folder.

    Raises:
        MissingPath: the parent is no finished checkpoint.
        InvalidInput: it learnt another protocol or prompt, the folder holds another run, a task is a test split, or no
            rollout was fit.
        PolicyError: the checkpoint cannot be sampled. And as `sft.train`.
    """
    require_libraries()
    if (folder / RECORD).is_file():
        claim_folder(folder / PLACE, replace(config.train, model=str(parent)), ignoring=FREE)
        return Checkpoint.read(folder)
    Checkpoint.read(parent)  # refuse what is none before anything is loaded
    with quiet_libraries():
        examples = _sampled(config, parent, folder, progress=progress)
    settings = replace(config.train, model=str(parent), cache=config.cache)
    return train(settings, examples, folder, stage="rsft", callbacks=callbacks, progress=progress)


def _sampled(config: RsftConfig, parent: Path, folder: Path, *, progress: bool) -> list[Example]:
    """The examples that rollouts of the parent came to; its memory is given back."""
    state, cache = processes(), cache_folder(config.cache)
    say = progress and state.is_main_process
    agents = _Agents(parent, config, str(state.device))
    examples: list[Example] = []
    yields: dict[str, Yield] = {}
    for at, source in enumerate(config.tasks):
        with state.main_process_first():  # one draws scenes and builds indexes, the others find them
            task = load_source(source, cache)
            require_protocol(parent, agents.of(task).prompt_hash)
            place = made(folder / ROLLOUTS / str(at))
            _claim(place, source, config, agents.digest)
            queries = asked(task, config.recipe, cache, progress=say)
        sample(
            agents.of(task),
            queries,
            place,
            config.sampling.rollouts,
            at_once=config.sampling.at_once,
            shuffle=config.sampling.seed if config.sampling.shuffle else None,
            part=(state.process_index, state.num_processes),
            progress=progress,
        )
        state.wait_for_everyone()
        kept, found = _kept(config, task, place, agents.of(task).asking)
        examples += kept
        yields |= {f"{task.name} {group}": one for group, one in found.items()}
    _tell(folder / ROLLOUTS, yields, write=state.is_main_process, say=say)
    if not examples:
        raise InvalidInput(
            f"no rollout was fit to be learned from; {folder / ROLLOUTS / YIELDS} counts what was wrong: train the "
            "checkpoint longer, ask easier queries, or sample more rollouts"
        )
    agents.forget()
    return examples


class _Agents:
    """The checkpoint as a sampling agent, its weights loaded once."""

    def __init__(self, parent: Path, config: RsftConfig, device: str) -> None:
        # Under FSDP only the first process may read weights, and the others are sent theirs when training begins.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        self._config, self._loaded = config, load(str(parent), device=device)
        self.digest = self._loaded.digest("")

    def of(self, task: Task) -> _Agent:
        return _Agent(self._loaded, self._config, task)

    def forget(self) -> None:
        """Give the memory back before the training."""
        import torch

        self._loaded.model.to("meta")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Agent:
    """The checkpoint on one task: a reranker for each rollout, with a seed of its own."""

    def __init__(self, loaded: Loaded, config: RsftConfig, task: Task) -> None:
        self._loaded, self._config = loaded, config
        self._wire: Wire = config.recipe.wire(task, self._policy(0))
        recipe, wire = config.recipe, self._wire
        self.asking = Asking(recipe.toolbox, recipe.max_tool_turns, wire.boxes, wire.window_pixels)
        self.prompt_hash = prompt_hash_of(self.asking.toolbox, self.asking.max_tool_turns, self._wire)

    def __call__(self, number: int) -> Reranker:
        return Reranker(
            self._policy(number),
            planner=load_planner(f"onepass:{self._config.recipe.window}"),
            toolbox=self.asking.toolbox,
            max_tool_turns=self.asking.max_tool_turns,
            wire=self._wire,
        )

    def _policy(self, number: int) -> LocalPolicy:
        sampling = self._config.sampling
        return LocalPolicy(
            self._loaded,
            batch=sampling.batch,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            seed=sampling.seed + number,
        )


def _claim(place: Path, source: Source, config: RsftConfig, digest: str) -> None:
    """Refuse a folder whose rollouts are another checkpoint's, or were asked otherwise."""
    free = replace(config.sampling, rollouts=1, cap=1, batch=1, at_once=1)  # these change no rollout
    claim_folder(place, _Asks(source, config.recipe, free), checkpoint=digest)


def _kept(config: RsftConfig, task: Task, place: Path, asking: Asking) -> tuple[list[Example], dict[str, Yield]]:
    world = World.of(task) if task.name == "world" and config.rules.evidence else None
    return reject(
        read_rollouts(place),
        {topic.id: topic for topic in task.topics},
        asking,
        rules=config.rules,
        truth=lambda trace: None if world is None else world.question(trace.candidates),
        cap=config.sampling.cap,
        seed=config.sampling.seed,
        facts={"task": task.name, "split": task.split},
    )


def _tell(place: Path, yields: dict[str, Yield], *, write: bool, say: bool) -> None:
    if write:
        write_json(place / YIELDS, {group: asdict(one) for group, one in yields.items()})
    if say:
        sys.stderr.write(table(yields) + "\n")

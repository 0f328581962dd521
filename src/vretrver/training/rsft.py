"""Rejection-sampling fine-tuning (stage II): rollouts of a checkpoint, the fit ones kept, trained on from there.

`rollouts` samples, `rejection` keeps, `sft` trains; here they follow each other, each going on where it was cut off,
under `accelerate launch` too. Where this departs from the paper: besides format and rank a rollout must agree with the
evidence that it was shown, and a query keeps a few of its rollouts at most (`rejection`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from vretrver.datasets import Task, Topic, load_task
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.evaluation.folder import made, read_json, write_json
from vretrver.evaluation.pools import cache_folder
from vretrver.images import image_size
from vretrver.policies.local import LocalPolicy
from vretrver.policies.local.loading import Loaded, load
from vretrver.reranker import Reranker
from vretrver.tools import load_toolbox
from vretrver.training.checkpoint import RECORD, Checkpoint, prompt_hash_of, require_protocol
from vretrver.training.config import CONFIG, to_mapping
from vretrver.training.examples import Example
from vretrver.training.filtering import Rules
from vretrver.training.rejection import Asking, reject, table
from vretrver.training.rollouts import Asked, read_rollouts, sample
from vretrver.training.sft import SftConfig, train
from vretrver.training.trainer import require_libraries
from vretrver.training.trajectories import Recipe, first_stage
from vretrver.training.truths import World
from vretrver.windows import load_planner

ROLLOUTS = "rollouts"  # in the checkpoint's folder: traces by rollout
YIELDS = "yields.json"  # in it


@dataclass(frozen=True, slots=True)
class TaskConfig:
    """Which queries are asked; as `datasets.load_task` takes them. Never a test split.

    Args:
        dataset, root, task, split: of them.
        size, seed, distractors: for the small-detail world.
    """

    dataset: str = "world"
    root: str | None = None
    task: str | None = None
    split: str = "train"
    size: int | None = None
    seed: int | None = None
    distractors: int | None = None

    def __post_init__(self) -> None:
        if self.split == "test":
            raise InvalidInput("the split is 'test'; nothing is trained on a test split, take train or wide")

    def load(self, cache: Path | None = None) -> Task:
        """The task; errors as `load_task`."""
        given = {name: value for name, value in asdict(self).items() if name != "dataset" and value is not None}
        return load_task(self.dataset, given.pop("root", None), work=cache_folder(cache) / "datasets", **given)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a checkpoint is sampled.

    Args:
        rollouts: a query. cap: of them that are kept at most.
        temperature, max_new_tokens: of each generation. seed: of the first rollout; the next has the next.
        batch: conversations in one generation. at_once: episodes that advance together.
        shuffle: another order of the candidates for each rollout.
    """

    rollouts: int = 8
    cap: int = 4
    temperature: float = 1.0
    max_new_tokens: int = 1024
    seed: int = 0
    batch: int = 16
    at_once: int = 64
    shuffle: bool = False


@dataclass(frozen=True, slots=True)
class RsftConfig:
    """Settings of one stage II; `train.model` is the checkpoint it starts from and is not set here."""

    task: TaskConfig = field(default_factory=TaskConfig)
    recipe: Recipe = field(default_factory=Recipe)
    sampling: Sampling = field(default_factory=Sampling)
    rules: Rules = field(default_factory=Rules)
    train: SftConfig = field(default_factory=SftConfig)


def rsft(
    config: RsftConfig,
    parent: Path,
    folder: Path,
    *,
    callbacks: Sequence[Any] = (),
    cache: Path | None = None,
    progress: bool = True,
) -> Checkpoint:
    """Sample, keep and train, or go on; every process of `accelerate launch` calls this alike.

    Args:
        parent: a finished checkpoint of this vretrver's protocol.
        folder: where rollouts, yields and the model go.
        cache: where the task's pictures and indexes are kept; the user's cache folder when None.

    Returns:
        The record of the finished folder; its facts hold the yields.

    Raises:
        MissingPath: the parent is no finished checkpoint.
        InvalidInput: it learnt another protocol or prompt, the folder holds another run, or no rollout was fit.
        PolicyError: the checkpoint cannot be sampled. And as `sft.train`.
    """
    require_libraries()
    if (folder / RECORD).is_file():
        return Checkpoint.read(folder)
    state = _processes()
    task = config.task.load(cache)
    agents = _Agents(parent, config, task, device=str(state.device))
    require_protocol(parent, agents.prompt_hash)
    place = made(folder / ROLLOUTS)
    _claim(place, config, agents.digest, main=state.is_main_process)
    sampling = config.sampling
    sample(
        agents,
        _asked(task, config.recipe, cache, progress=progress and state.is_main_process),
        place,
        sampling.rollouts,
        at_once=sampling.at_once,
        shuffle=sampling.seed if sampling.shuffle else None,
        part=(state.process_index, state.num_processes),
        progress=progress,
    )
    state.wait_for_everyone()
    examples = _kept(config, task, place, agents.asking, say=progress and state.is_main_process)
    agents.forget()
    settings = replace(config.train, model=str(parent))
    return train(settings, examples, folder, stage="rsft", callbacks=callbacks, progress=progress)


class _Agents:
    """The checkpoint as a sampling agent: a reranker for each rollout with a seed of its own, weights loaded once."""

    def __init__(self, parent: Path, config: RsftConfig, task: Task, device: str) -> None:
        self._loaded: Loaded | None = load(str(parent), device=device)
        self._sampling, self._recipe = config.sampling, config.recipe
        self._toolbox = load_toolbox(config.recipe.tools)
        self._wire = config.recipe.wire(task, self._policy(0))
        self.prompt_hash = prompt_hash_of(self._toolbox, config.recipe.max_tool_turns, self._wire)
        self.asking = Asking(self._toolbox, config.recipe.max_tool_turns, self._wire.boxes)
        self.digest = self._loaded.digest("")

    def __call__(self, number: int) -> Reranker:
        return Reranker(
            self._policy(number),
            planner=load_planner(f"onepass:{self._recipe.window}"),
            toolbox=self._toolbox,
            max_tool_turns=self._recipe.max_tool_turns,
            wire=self._wire,
        )

    def _policy(self, number: int) -> LocalPolicy:
        assert self._loaded is not None, "the agents were given up"
        sampling = self._sampling
        return LocalPolicy(
            self._loaded,
            batch=sampling.batch,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            seed=sampling.seed + number,
        )

    def forget(self) -> None:
        """Give the memory back before the training."""
        import gc

        import torch

        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _processes() -> Any:
    """Who else was started by `accelerate launch`, and the device of this one."""
    import torch
    from accelerate import PartialState

    # Processes wait for the slowest one's rollouts, which take longer than a step of training may.
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=12))


def _asked(task: Task, recipe: Recipe, cache: Path | None, *, progress: bool) -> list[Asked]:
    """Every query with its candidates; a query whose picture cannot be read is left out."""
    stage = first_stage(task, recipe, cache, progress=progress)
    topics = [topic for topic in task.topics if _readable(topic)]
    more = max((len(topic.excluded) for topic in topics), default=0)
    asked: list[Asked] = []
    for topic, found in zip(topics, stage.search(topics, recipe.window + more), strict=True):
        asked.append((topic, [one for one in found if one.document.id not in topic.excluded][: recipe.window]))
    return asked


def _kept(config: RsftConfig, task: Task, place: Path, asking: Asking, *, say: bool) -> list[Example]:
    """The examples that are fit; the first process writes the yields down and says them.

    Raises:
        InvalidInput: there are none.
    """
    world = World.of(task) if task.name == "world" and config.rules.evidence else None
    examples, yields = reject(
        read_rollouts(place),
        {topic.id: topic for topic in task.topics},
        asking,
        rules=config.rules,
        truth=lambda trace: None if world is None else world.question(trace.candidates),
        cap=config.sampling.cap,
        seed=config.sampling.seed,
        facts={"task": task.name, "split": task.split},
    )
    if say:
        write_json(place / YIELDS, {group: asdict(one) for group, one in yields.items()})
        sys.stderr.write(table(yields) + "\n")
    if not examples:
        raise InvalidInput(
            f"no rollout was fit to be learned from; {place / YIELDS} says what was wrong: train the checkpoint "
            "longer, ask easier queries, or sample more rollouts"
        )
    return examples


def _claim(place: Path, config: RsftConfig, digest: str, *, main: bool) -> None:
    """Refuse a folder whose rollouts are another checkpoint's or were asked otherwise."""
    asked = {
        "task": to_mapping(config.task),
        "recipe": to_mapping(config.recipe),
        "sampling": to_mapping(config.sampling),
    }
    ours = json.loads(json.dumps({**asked, "checkpoint": digest}))
    for free in ("cap", "batch", "at_once", "rollouts"):
        del ours["sampling"][free]
    if (place / CONFIG).is_file():
        held = read_json(place / CONFIG)
        if apart := [name for name in ours if held.get(name) != ours[name]]:
            raise InvalidInput(
                f"{place} holds rollouts of another {' and '.join(apart)}; give these a folder of their own"
            )
    elif main:
        write_json(place / CONFIG, ours)


def _readable(topic: Topic) -> bool:
    try:
        for image in topic.query.images:
            image_size(image)
    except (ImageError, MissingPath):
        return False
    return True

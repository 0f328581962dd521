"""A task, a teacher and rules to examples in memory: the product's own reranker runs the teacher's policy.

    for example in trajectories(task, load_teacher("oracle"), Recipe(tools="compare_crops"), seed=0):
        ...

`attempts` gives the dropped ones too, each with what speaks against it. Files, progress and going on after a kill are
`synthesis`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vretrver.boxes import BoxFamily
from vretrver.datasets import Task, Topic
from vretrver.errors import ImageError, InvalidInput, MissingPath, PolicyError
from vretrver.evaluation.stages import FirstStage, Indexed, Nearest, Ordered, Worded
from vretrver.images import image_size
from vretrver.policies import Policy
from vretrver.protocol import Wire
from vretrver.reranker import Reranker
from vretrver.tools import Toolbox, load_toolbox
from vretrver.trace import Ranking, StopReason, Trace
from vretrver.training.examples import Example, example_of
from vretrver.training.filtering import Rules
from vretrver.training.teachers import Teacher
from vretrver.training.truths import World
from vretrver.types import Candidate
from vretrver.windows import load_planner

BATCH = 16
UNREADABLE = ("unreadable",)
PATIENCE = 16
"""So many windows in a row on which the teacher fails end the work: a server that is down makes no data."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a teacher is asked: what the student will meet when it serves.

    Args:
        tools, max_tool_turns: as `load_toolbox` and `Reranker` take them.
        boxes: the student's family of coordinates; the teacher's own where None.
        window: candidates at most; each topic gives one window.
        window_pixels: the largest area of a picture in the window; the task's or the teacher's own when None.
        coarse: who finds the candidates: `given` (galleries that come with the topics), `hybrid`, `vector` or `bm25`;
            `auto` takes what is given, else hybrid.
        shuffle: candidates in an order drawn by the seed, so that a place says nothing.

    Raises:
        InvalidInput: a value is not one of these.
    """

    tools: str = "select_images,crop_image"
    max_tool_turns: int = 2
    boxes: Literal["released", "qwen2.5-vl", "0-1000"] | None = None
    window: int = 20
    window_pixels: int | None = None
    coarse: Literal["auto", "given", "hybrid", "vector", "bm25"] = "auto"
    shuffle: bool = False

    def __post_init__(self) -> None:
        load_toolbox(self.tools)
        for name, least in (("max_tool_turns", 0), ("window", 2), ("window_pixels", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InvalidInput(f"{name} is {value}; it must be at least {least}")

    @property
    def toolbox(self) -> Toolbox:
        return load_toolbox(self.tools)

    def wire(self, task: Task, policy: Policy | None = None) -> Wire:
        """The dialect of the student's conversations."""
        wire: Wire = getattr(policy, "wire", None) or Wire()
        boxes: BoxFamily = self.boxes or wire.boxes
        pixels = self.window_pixels or task.window_pixels or wire.window_pixels
        return replace(wire, boxes=boxes, window_pixels=pixels)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one topic.

    Args:
        topic: which. candidates: its window, as handed over.
        ranking: what the teacher made of it; None when it could not be asked.
        faults: what speaks against it (`filtering.REASONS`), or `UNREADABLE`.
        example: what is to be learned; None when it was dropped.
    """

    topic: Topic
    candidates: tuple[Candidate, ...] = ()
    ranking: Ranking | None = None
    faults: tuple[str, ...] = ()
    example: Example | None = None

    @property
    def trace(self) -> Trace | None:
        """What happened in its only window."""
        return None if self.ranking is None else self.ranking.traces[0]


def trajectories(
    task: Task,
    teacher: Teacher,
    recipe: Recipe | None = None,
    rules: Rules | None = None,
    *,
    seed: int = 0,
    stage: FirstStage | None = None,
) -> Iterator[Example]:
    """The examples that a teacher writes for a task's topics and that keep the rules, in order, as they come.

    Args:
        seed: of wording and shuffling; another one tells the same topics otherwise.
        stage: gives the candidates; by the recipe when None.

    Raises:
        InvalidInput: the teacher cannot teach this task, or the recipe does not fit it.
        PolicyError: the teacher fails again and again.
    """
    work = Synthesizer(task, teacher, recipe, rules, seed=seed, stage=stage)
    for start in range(0, len(task.topics), BATCH):
        attempts = work.attempts(task.topics[start : start + BATCH])
        yield from (attempt.example for attempt in attempts if attempt.example is not None)


class Synthesizer:
    """Asks a teacher about topics of a task and judges what comes; arguments as `trajectories`."""

    def __init__(
        self,
        task: Task,
        teacher: Teacher,
        recipe: Recipe | None = None,
        rules: Rules | None = None,
        *,
        seed: int = 0,
        stage: FirstStage | None = None,
    ) -> None:
        self.task, self.seed, self._teacher = task, seed, teacher
        self._recipe, self._rules = recipe or Recipe(), rules or Rules()
        policy = teacher.policy(task, seed)
        self._wire = self._recipe.wire(task, policy)
        self._reranker = Reranker(
            policy,
            planner=load_planner(f"onepass:{self._recipe.window}"),
            toolbox=self._recipe.toolbox,
            max_tool_turns=self._recipe.max_tool_turns,
            wire=self._wire,
        )
        self._given_stage = stage
        self._failing = 0

    @cached_property
    def stage(self) -> FirstStage:
        return self._given_stage or first_stage(self.task, self._recipe)

    @cached_property
    def _world(self) -> World | None:
        return World.of(self.task) if self.task.name == "world" and self._rules.evidence else None

    def attempts(self, topics: Sequence[Topic]) -> list[Attempt]:
        """One attempt per topic, in order; their episodes advance together.

        Raises:
            PolicyError: the teacher failed on `PATIENCE` windows in a row.
        """
        sound = [topic for topic in topics if readable(topic)]
        windows = self._windows(sound) if sound else []
        rankings = self._reranker.rerank_many([topic.query for topic in sound], windows)
        told = {
            topic.id: (tuple(window), ranking)
            for topic, window, ranking in zip(sound, windows, rankings, strict=True)
            if ranking.traces
        }
        return [
            self._judged(topic, *told[topic.id]) if topic.id in told else self._unasked(topic, topic in sound)
            for topic in topics
        ]

    @staticmethod
    def _unasked(topic: Topic, readable: bool) -> Attempt:
        """Nobody found a candidate, or the query's picture cannot be read."""
        return Attempt(topic, faults=("nothing right",) if readable else UNREADABLE)

    def _windows(self, topics: Sequence[Topic]) -> list[list[Candidate]]:
        most = self._recipe.window
        more = max(len(topic.excluded) for topic in topics)
        found = self.stage.search(topics, most + more)
        windows = [
            [one for one in candidates if one.document.id not in topic.excluded][:most]
            for topic, candidates in zip(topics, found, strict=True)
        ]
        if not self._recipe.shuffle:
            return windows
        draws = [random.Random(f"{self.seed}:{topic.id}") for topic in topics]  # noqa: S311  # no secret
        return [draw.sample(window, len(window)) for draw, window in zip(draws, windows, strict=True)]

    def _judged(self, topic: Topic, candidates: tuple[Candidate, ...], ranking: Ranking) -> Attempt:
        (trace,) = ranking.traces
        self._watch(trace)
        question = None if self._world is None else self._world.question(trace.candidates)
        faults = self._rules.faults(trace, topic.relevant.keys(), question)
        example = None if faults else self._example(topic, trace)
        return Attempt(topic, candidates, ranking, faults, example)

    def _example(self, topic: Topic, trace: Trace) -> Example:
        facts: dict[str, Any] = {
            "teacher": self._teacher.name,
            "task": self.task.name,
            "split": self.task.split,
            "topic": topic.id,
            "group": topic.group,
            "relevant": [at for at, name in enumerate(trace.candidates, start=1) if name in topic.relevant],
            "candidates": list(trace.candidates),
            "seed": self.seed,
        }
        return example_of(
            trace,
            self._recipe.toolbox,
            max_tool_turns=self._recipe.max_tool_turns,
            boxes=self._wire.boxes,
            window_pixels=self._wire.window_pixels,
            facts=facts,
        )

    def _watch(self, trace: Trace) -> None:
        self._failing = self._failing + 1 if trace.stop is StopReason.POLICY_ERROR else 0
        if self._failing >= PATIENCE:
            raise PolicyError(
                f"the teacher {self._teacher.name} failed on {PATIENCE} windows in a row, the last time with: "
                f"{trace.error}; what was finished is kept, and the same command goes on from there"
            )


def first_stage(task: Task, recipe: Recipe, cache: Path | None = None, *, progress: bool = False) -> FirstStage:
    """Who finds the candidates of a task's topics.

    Args:
        cache: where indexes and words read are kept; the user's cache folder when None.

    Raises:
        InvalidInput: galleries are asked for and a topic brings none.
    """
    from vretrver.embedders import load_embedder
    from vretrver.evaluation.pools import cache_folder, pool_index, reader_of
    from vretrver.indexes import load_index
    from vretrver.ocr import available
    from vretrver.retriever import Retriever

    without = next((topic.id for topic in task.topics if topic.candidates is None), None)
    if recipe.coarse == "given" or (recipe.coarse == "auto" and without is None):
        if without is not None:
            raise InvalidInput(f"topic {without} of {task.name} has no gallery; set coarse to hybrid, vector or bm25")
        if task.given_order:
            return Ordered.given(task)
        # A gallery that nobody has ranked: no candidate is ahead of another.
        return Ordered({topic.id: [(name, 0.0) for name in topic.candidates or ()] for topic in task.topics}, task.pool)
    if recipe.coarse == "bm25":
        return Worded(task.pool)
    embedder, home = load_embedder("lite"), cache_folder(cache)
    reads = available() and recipe.coarse != "vector"
    index = load_index(pool_index(task, embedder, home, reading=reads, progress=progress)[0])
    if recipe.coarse == "vector":
        return Nearest(index, embedder, task.topics, recipe.window)
    return Indexed(Retriever(index, embedder, reader_of(home) if reads else None))


def readable(topic: Topic) -> bool:
    """Whether every picture of a query can be read."""
    try:
        for image in topic.query.images:
            image_size(image)
    except (ImageError, MissingPath):
        return False
    return True

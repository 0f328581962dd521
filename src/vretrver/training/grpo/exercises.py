"""Queries to learn from: each with its candidates, how it is asked, and what is right."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vretrver.budget import Budget
from vretrver.datasets import Topic
from vretrver.errors import InvalidInput
from vretrver.policies.habits import Habits
from vretrver.protocol import Wire
from vretrver.reranking import Reranking, Rules
from vretrver.trace import Trace
from vretrver.training.checkpoint import prompt_hash_of
from vretrver.training.rewards import Judged
from vretrver.training.sources import Source
from vretrver.training.tasks import asked, load_source
from vretrver.training.trajectories import Recipe
from vretrver.training.truths import World
from vretrver.types import Candidate
from vretrver.windows import load_planner


@dataclass(frozen=True)
class Exercise:
    """One query of a task.

    Args:
        key: its own among all tasks.
        topic: says what is right. candidates: at least one of them is.
        rules: how it is asked. world: knows the truth of its pictures, where anybody does.
    """

    key: str
    topic: Topic
    candidates: tuple[Candidate, ...]
    rules: Rules
    world: World | None = None

    def begun(self, order: random.Random | None) -> Reranking:
        """An episode of it, about to begin, its candidates in an order drawn by `order`."""
        shown = list(self.candidates)
        if order is not None:
            order.shuffle(shown)
        return Reranking(self.topic.query, shown, self.rules)

    def judged(self, trace: Trace) -> Judged:
        relevant = frozenset(at for at, name in enumerate(trace.candidates, start=1) if name in self.topic.relevant)
        return Judged(trace, relevant, None if self.world is None else self.world.question(trace.candidates))


@dataclass(frozen=True)
class Course:
    """All exercises of a training.

    Args:
        exercises: in the order of tasks and topics.
        habits: what the model gets used to.
        left_out: queries whose candidates hold no right one: nothing can be earned there.
    """

    exercises: tuple[Exercise, ...]
    habits: Habits
    left_out: int = 0

    @property
    def by_key(self) -> Mapping[str, Exercise]:
        return {one.key: one for one in self.exercises}

    @property
    def prompt_hash(self) -> str:
        return prompt_hash_of(self.habits.toolbox, self.habits.max_tool_turns, self.habits.wire)


def load_course(
    sources: tuple[Source, ...], recipe: Recipe, wire: Wire, name: str, cache: Path, *, progress: bool = False
) -> Course:
    """The exercises of some tasks.

    Args:
        wire: the model's own dialect, where the recipe does not say.
        name: of the policy, for traces.

    Raises:
        InvalidInput: no task is named, one is a test split, tasks show pictures at different sizes (the model could not
            be served as it learnt), or no query is left. And as `load_source` and `asked`.
    """
    if not sources:
        raise InvalidInput("no task is named; add a table [[tasks]] with a dataset")
    exercises, dialects, left_out = [], {}, 0
    for at, source in enumerate(sources):
        task = load_source(source, cache)
        dialect = recipe.wire(task, _Speaks(wire))  # type: ignore[arg-type]
        dialects[dialect] = task.name
        rules = Rules(
            load_planner(f"onepass:{recipe.window}"), recipe.toolbox, recipe.max_tool_turns, dialect, name, Budget()
        )
        world = World.of(task) if task.name == "world" else None
        for topic, candidates in asked(task, recipe, cache, progress=progress):
            if any(one.document.id in topic.relevant for one in candidates):
                exercises.append(Exercise(f"{at}/{topic.id}", topic, tuple(candidates), rules, world))
            else:
                left_out += 1
    if len(dialects) > 1:
        raise InvalidInput(
            f"tasks show pictures at different sizes ({', '.join(dialects.values())}); set window_pixels in [recipe]"
        )
    if not exercises:
        raise InvalidInput(
            f"no query has a right candidate in its window of {recipe.window}; {left_out} were looked at"
        )
    habits = Habits.of(recipe.toolbox, recipe.max_tool_turns, next(iter(dialects)))
    return Course(tuple(exercises), habits, left_out)


@dataclass(frozen=True, slots=True)
class _Speaks:
    """Stands for a policy of which only the dialect is known."""

    wire: Wire

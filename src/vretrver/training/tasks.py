"""Queries of a task with their candidates, for whoever samples a model; and that no test split is among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from vretrver.datasets import Task, Topic
from vretrver.errors import InvalidInput
from vretrver.training.sources import Source
from vretrver.training.trajectories import Recipe, first_stage, readable
from vretrver.types import Candidate

Asked: TypeAlias = tuple[Topic, Sequence[Candidate]]
"""A query with its id, and the candidates that it ranks."""


def load_source(source: Source, cache: Path) -> Task:
    """The task of a source.

    Raises:
        InvalidInput: it is a test split; nothing is trained or chosen on one. And as `Source.load`.
    """
    task = source.load(cache)
    if task.split == "test":
        raise InvalidInput(
            f"{task.name} is its test split; nothing is trained or chosen on one: set split to train or val"
        )
    return task


def asked(task: Task, recipe: Recipe, cache: Path, *, progress: bool = False) -> list[Asked]:
    """Every query of a task with its candidates; one whose picture cannot be read is left out.

    Raises:
        InvalidInput: as `first_stage`, or no query is left.
    """
    topics = [topic for topic in task.topics if readable(topic)]
    if not topics:
        raise InvalidInput(f"{task.name} has no query whose picture can be read")
    stage = first_stage(task, recipe, cache, progress=progress)
    more = max(len(topic.excluded) for topic in topics)
    found = stage.search(topics, recipe.window + more)
    return [
        (topic, [one for one in candidates if one.document.id not in topic.excluded][: recipe.window])
        for topic, candidates in zip(topics, found, strict=True)
    ]

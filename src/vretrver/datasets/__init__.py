"""Benchmarks and a user's own data as tasks: what is asked, what answers it, and the pool it is found in.

A loader reads a benchmark's own files, opens no picture, and returns a `Task` with its card: where the data come from,
under what licence, and which measure its table reports. To add one, write a module with a `load` that returns a `Task`
and a case in `load_task`; or pass a `Task` of your own to `vretrver.evaluation.evaluate`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from vretrver.errors import InvalidInput
from vretrver.types import Document, Query

NAMES = (
    "mbeir", "circo", "genecis", "visdial", "vist", "mtfiq", "okvqa", "infoseek", "evqa", "released", "jsonl", "world"
)  # fmt: skip
Rule: TypeAlias = Literal["vqa", "infoseek", "evqa", "exact"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What answers a question, as its benchmark publishes it; `vretrver.evaluation.marking` marks by it.

    Args:
        rule: whose way of marking.
        accepted: `vqa`: one answer per annotator, so repeats count; else answers that are as good as one another, where
            `evqa` joins those of a list by `&&`. Empty where the answers are not public.
        sought: a passage that contains one of these is pseudo-relevant.
        kind: of question, for tables; it decides how `infoseek` and `evqa` mark.
        span: the closed interval that a number must lie in; None where no number is asked for.
    """

    rule: Rule
    accepted: tuple[str, ...]
    sought: tuple[str, ...] = ()
    kind: str = ""
    span: tuple[float, float] | None = None

    @property
    def known(self) -> bool:
        """Whether an answer can be marked."""
        return bool(self.accepted) or self.span is not None


@dataclass(frozen=True, slots=True)
class Topic:
    """One query of a task and what answers it (TREC's word for a query with an id).

    Args:
        id: unique in its task.
        query: what is asked.
        relevant: the grade, at least 1, of each document that answers; empty where the answers are not public.
        candidates: the ids this topic ranks, for benchmarks that give every query a gallery of its own; None for the
            whole pool. In the order the benchmark gives them.
        group: the part of the benchmark it belongs to, for tables by part; "" when there is one part.
        excluded: ids of the pool that this topic may not rank, such as the pictures that its query already shows.
        expected: what answers it in words, for benchmarks of questions; None elsewhere.
    """

    id: str
    query: Query
    relevant: Mapping[str, int]
    candidates: tuple[str, ...] | None = None
    group: str = ""
    excluded: tuple[str, ...] = ()
    expected: Expected | None = None


class Pool(Protocol):
    """Documents that may be iterated any number of times; a tuple is one. A large pool reads its file each time."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Document]: ...


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader of a result needs to know of a benchmark.

    Args:
        title: its name in tables.
        source: where it is published.
        licence: of the data, as its owner states it.
        metric: how its own table measures, in words.
        notes: what departs from the published protocol, or is easily got wrong.
    """

    title: str
    source: str
    licence: str
    metric: str
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark ready to be run.

    Args:
        name: such as `mbeir/cirr_task7`.
        split: such as `test`.
        topics: in the benchmark's order.
        pool: the documents; ids are unique.
        measures: what is reported, as `vretrver.metrics` names it; the first is the benchmark's headline.
        card: what it is.
        root: the folder that picture paths lie under, so that two machines agree on the data's digest.
        given_order: whether `Topic.candidates` come ranked by an earlier stage, to be kept as the coarse order.
        facts: what else decides the result and is recorded with it: pool kind, instruction, prompt.
        task_id: M-BEIR's number of the task, for its seven-column runs.
        window_pixels: the largest area at which the benchmark means pictures to stand in the window, unless the run
            says otherwise; None leaves it to the policy.
    """

    name: str
    split: str
    topics: tuple[Topic, ...]
    pool: Pool
    measures: tuple[str, ...]
    card: Card
    root: Path | None = None
    given_order: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    task_id: int | None = None
    window_pixels: int | None = None


def load_task(
    dataset: str,
    root: str | os.PathLike[str] | None = None,
    *,
    task: str | None = None,
    split: str | None = None,
    work: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Task:
    """The task of a benchmark by name.

    Args:
        dataset: one of `NAMES`.
        root: where its files lie; `world` needs none.
        task: which of its tasks or subsets; loaders say which exist.
        split: its usual test split when None.
        work: a folder for files that a loader makes (GeneCIS's crops, the world's scenes).
        options: what only some loaders take: `pool`, `instructions` (mbeir), `size`, `seed`, `distractors` (world).

    Raises:
        InvalidInput: no such dataset, task or split, or an option that this one does not take; says what is allowed.
        MissingPath: a file that the benchmark needs is not there; names it.
        RecordError: a file does not parse; names file and line.
    """
    import inspect

    load = _loader(dataset)
    given = {"root": root, "task": task, "split": split, "work": work, **options}
    given = {name: value for name, value in given.items() if value is not None}
    parameters = inspect.signature(load).parameters
    if stranger := next((name for name in given if name not in parameters and name != "work"), None):
        raise InvalidInput(f"{dataset} takes no {stranger}; it takes {', '.join(parameters)}")
    needed = [name for name, one in parameters.items() if one.default is one.empty and name not in given]
    if needed:
        raise InvalidInput(f"{dataset} needs {', '.join(f'--{name}' for name in needed)}")
    return load(**{name: value for name, value in given.items() if name in parameters})


def only_topics(task: Task, ids: Iterable[str]) -> Task:
    """The task with some of its topics only, in its own order; how many is recorded.

    Raises:
        InvalidInput: an id is no topic's, or none is left.
    """
    wanted = set(ids)
    kept = tuple(topic for topic in task.topics if topic.id in wanted)
    if strangers := wanted - {topic.id for topic in kept}:
        raise InvalidInput(
            f"{task.name} has no topic {sorted(strangers)[0]!r} ({len(strangers)} of {len(wanted)} ids are unknown); "
            f"its topics are such as {task.topics[0].id!r}"
        )
    if not kept:
        raise InvalidInput(f"no topic of {task.name} was named; name at least one")
    return replace(task, topics=kept, facts={**task.facts, "topics": f"{len(kept)} of {len(task.topics)}"})


def _loader(dataset: str) -> Callable[..., Task]:
    load: Callable[..., Task]
    match dataset:
        case "mbeir":
            from vretrver.datasets import mbeir

            load = mbeir.load
        case "circo":
            from vretrver.datasets import circo

            load = circo.load
        case "genecis":
            from vretrver.datasets import genecis

            load = genecis.load
        case "visdial":
            from vretrver.datasets import visdial

            load = visdial.load
        case "vist":
            from vretrver.datasets import vist

            load = vist.load
        case "mtfiq":
            from vretrver.datasets import mtfiq

            load = mtfiq.load
        case "okvqa" | "infoseek" | "evqa":
            from vretrver.datasets import evqa, infoseek, okvqa

            loaders: dict[str, Callable[..., Task]]
            loaders = {"okvqa": okvqa.load, "infoseek": infoseek.load, "evqa": evqa.load}
            load = loaders[dataset]
        case "released":
            from vretrver.datasets import released

            load = released.load
        case "jsonl":
            from vretrver.datasets import own

            load = own.load
        case "world":
            from vretrver.datasets import world

            load = world.load
        case _:
            raise InvalidInput(f"unknown dataset {dataset!r}; choose from {', '.join(NAMES)}")
    return load

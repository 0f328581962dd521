"""Tasks, teachers and rules to a data folder; a run that is killed goes on where it was, to the same bytes.

    config.json     settings, each task's digest and root, versions
    sft.jsonl       what was kept, in the released ShareGPT layout; images/ holds its pictures as shown (`sharegpt`)
    rl/             one parquet a task: every window that holds a right candidate, kept or not (`parquet`); its paths
                    start at the task's root
    counts.json     kept and dropped by reason, by task and teacher
    traces.jsonl    the first trajectories of every kind, for `vretrver view`
    journal.jsonl   what the run goes on from; may be deleted afterwards

All files for readers are made from the journal, at the end.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias

from vretrver.datasets import Task, Topic
from vretrver.datasets.digest import data_digest
from vretrver.episode import Episode
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.evaluation.folder import made, write_text
from vretrver.evaluation.journal import Journal
from vretrver.evaluation.pools import cache_folder
from vretrver.images import image_size
from vretrver.trace import Ranking
from vretrver.training.config import claim_folder
from vretrver.training.filtering import Rules, counts
from vretrver.training.parquet import Row, write_rows
from vretrver.training.sharegpt import ShownPictures, row_of
from vretrver.training.sources import Source
from vretrver.training.teachers import Teacher, load_teacher
from vretrver.training.trajectories import UNREADABLE, Attempt, Recipe, Synthesizer, first_stage
from vretrver.types import Candidate, Window
from vretrver.viewer.trace_file import line_of, replace_file

__all__ = ["Source", "Synthesis", "synthesize"]

JOURNAL, EXAMPLES, COUNTS, TRACES, ROWS = "journal.jsonl", "sft.jsonl", "counts.json", "traces.jsonl", "rl"
Place: TypeAlias = tuple[int, int, int]
"""Number of the task, of the sample and of the teacher."""


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What `vretrver train synthesize` does.

    Args:
        tasks: what is asked.
        teachers: who answers (`training.teachers`); each tells every topic.
        samples: how often each teacher tells each topic, every time with another seed.
        seed: of the first sample.
        images: how pictures are kept (`sharegpt.ShownPictures`).
        traces: how many trajectories of each group are kept to be looked at.
        batch: topics that advance together.
        cache: for drawn scenes, indexes and words read; the user's cache folder when None.
        workers: processes that draw the world, threads that make pictures; the files are the same for any number.
        recipe: how teachers are asked. rules: what is kept.

    Raises:
        InvalidInput: a number is out of range, or there is no task or teacher.
    """

    tasks: tuple[Source, ...]
    teachers: tuple[str, ...] = ("oracle:ledger",)
    samples: int = 1
    seed: int = 0
    images: Literal["jpeg", "png"] = "jpeg"
    traces: int = 1
    batch: int = 16
    cache: str | None = None
    workers: int = 1
    recipe: Recipe = field(default_factory=Recipe)
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("batch", 1), ("workers", 1), ("traces", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not self.tasks or not self.teachers:
            raise InvalidInput("name at least one task ([[tasks]] with dataset = ...) and one teacher")


def synthesize(settings: Synthesis, folder: str | os.PathLike[str], *, progress: bool = True) -> dict[str, Any]:
    """Make a data folder, or go on with one.

    Returns:
        The content of counts.json.

    Raises:
        InvalidInput: the folder holds the data of other settings, or the settings do not fit the tasks.
        MissingPath: a task's files or pictures are missing. PolicyError: a teacher fails again and again.
        StorageError: the disk refuses, or another process writes the folder.
    """
    place, cache = made(Path(folder)), cache_folder(settings.cache)
    tasks = [source.load(cache, settings.workers) for source in settings.tasks]
    facts = [{"task": task.name, "data": data_digest(task), "root": str(task.root or "")} for task in tasks]
    claim_folder(place, settings, ignoring=("cache", "workers"), data=facts)
    with Journal(place / JOURNAL) as journal:
        _Work(settings, place, journal, tasks, cache).run([load_teacher(name) for name in settings.teachers], progress)
        return _finish(settings, place, journal.path, tasks)


class _Work:
    """Asks what the journal does not have yet."""

    def __init__(self, settings: Synthesis, folder: Path, journal: Journal, tasks: Sequence[Task], cache: Path) -> None:
        self._settings, self._journal, self._tasks, self._cache = settings, journal, tasks, cache
        self._pictures = ShownPictures(folder, settings.images)
        self._done = {(*record["at"], record["topic"]) for record in journal.records}
        self._shown = Counter(record["kind"] for record in journal.records if "ranking" in record)
        journal.records.clear()  # rows by the hundred thousand: they are read again from the file, one at a time

    def run(self, teachers: Sequence[Teacher], progress: bool) -> None:
        from tqdm import tqdm

        settings = self._settings
        each = settings.samples * len(teachers)
        total = sum(len(task.topics) for task in self._tasks) * each
        quiet = None if progress else True
        with tqdm(total=total, initial=len(self._done), unit="topic", desc="synthesis", disable=quiet) as bar:
            for at, task in enumerate(self._tasks):
                if sum(place[0] == at for place in self._done) == len(task.topics) * each:
                    continue
                stage = first_stage(task, settings.recipe, self._cache, progress=progress)
                for sample, (who, teacher) in product(range(settings.samples), enumerate(teachers)):
                    seed = settings.seed + sample
                    work = Synthesizer(task, teacher, settings.recipe, settings.rules, seed=seed, stage=stage)
                    self._block(work, (at, sample, who), teacher.name, bar)

    def _block(self, work: Synthesizer, place: Place, teacher: str, bar: Any) -> None:
        topics, size = work.task.topics, self._settings.batch
        for start in range(0, len(topics), size):
            batch = topics[start : start + size]
            if all((*place, topic.id) in self._done for topic in batch):
                continue
            # The whole batch is asked again, so that its vectors come from the same company as before.
            attempts = [one for one in work.attempts(batch) if (*place, one.topic.id) not in self._done]
            self._make_pictures(attempts)
            records = [self._record(attempt, place, teacher) for attempt in attempts]
            self._journal.append(records)
            bar.update(len(records))

    def _make_pictures(self, attempts: Sequence[Attempt]) -> None:
        """Those of a batch side by side; what fails here is met again, and told, where its example is recorded."""
        views = dict.fromkeys(part.view for one in attempts if one.example for part in one.example.pictures)
        with ThreadPoolExecutor(self._settings.workers) as pool:
            for made_picture in [pool.submit(self._pictures.path, view) for view in views]:
                with suppress(ImageError, MissingPath):
                    made_picture.result()

    def _record(self, attempt: Attempt, place: Place, teacher: str) -> dict[str, Any]:
        """A line of the journal; an example's pictures are on disk before it."""
        record: dict[str, Any] = {
            "at": list(place),
            "teacher": teacher,
            "topic": attempt.topic.id,
            "faults": list(attempt.faults),
            "candidates": [candidate.document.id for candidate in attempt.candidates],
        }
        if attempt.example is not None:
            try:
                record["row"] = row_of(attempt.example, self._pictures.path)
                record["tool_turns"] = attempt.example.tool_turns
            except (ImageError, MissingPath):  # its header could be read, its pixels cannot
                record["faults"] = list(UNREADABLE)
        kind = f"{place[0]} {teacher} {attempt.topic.group} {(record['faults'] or ['kept'])[0]}"
        if attempt.ranking is not None and self._shown[kind] < self._settings.traces:
            self._shown[kind] += 1
            record |= {"kind": kind, "ranking": _timeless(attempt.ranking).to_record()}
        return record


def _timeless(ranking: Ranking) -> Ranking:
    """Without what the clock says, so that the same work gives the same bytes."""
    traces = [
        replace(trace, turns=tuple(replace(turn, seconds=0.0) for turn in trace.turns)) for trace in ranking.traces
    ]
    return replace(ranking, traces=tuple(traces), usage=replace(ranking.usage, seconds=0.0))


# -- the files for readers ------------------------------------------------------------------------------------------


def _finish(settings: Synthesis, folder: Path, journal: Path, tasks: Sequence[Task]) -> dict[str, Any]:
    replace_file(folder / EXAMPLES, _kept(journal))
    rankings = (Ranking.from_record(record["ranking"]) for record in _lines(journal) if "ranking" in record)
    replace_file(folder / TRACES, (line_of(ranking, pictures=False) for ranking in rankings))
    rows = _write_tasks(settings, folder, journal, tasks)
    summary = _summary(journal, tasks) | {"rows": rows}
    write_text(folder / COUNTS, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return summary


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    with journal.open("rb") as lines:
        for line in lines:
            yield json.loads(line)


def _kept(journal: Path) -> Iterator[str]:
    return (json.dumps(record["row"], ensure_ascii=False) + "\n" for record in _lines(journal) if "row" in record)


def _summary(journal: Path, tasks: Sequence[Task]) -> dict[str, Any]:
    blocks: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    images: set[str] = set()
    turns: Counter[int] = Counter()
    for record in _lines(journal):
        blocks.setdefault((tasks[record["at"][0]].name, record["teacher"]), []).append(tuple(record["faults"]))
        if "row" in record:
            images |= set(record["row"]["images"])
            turns[record["tool_turns"]] += 1
    parts = [{"task": task, "teacher": who} | _counted(block) for (task, who), block in blocks.items()]
    every = [faults for block in blocks.values() for faults in block]
    return _counted(every) | {"images": len(images), "tool_turns": dict(sorted(turns.items())), "parts": parts}


def _counted(faults: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """How many were asked, kept, and dropped for which reason: the first that speaks against each."""
    unread = faults.count(UNREADABLE)
    judged = counts(one for one in faults if one != UNREADABLE) | ({UNREADABLE[0]: unread} if unread else {})
    kept = judged.pop("kept", 0)
    return {"asked": len(faults), "kept": kept, "dropped": judged}


def _write_tasks(settings: Synthesis, folder: Path, journal: Path, tasks: Sequence[Task]) -> dict[str, int]:
    """One parquet a task; how many rows each holds."""
    made(folder / ROWS)
    written = {}
    for at, task in enumerate(tasks):
        name = f"{ROWS}/{at}-{task.name.replace('/', '-')}-{task.split}.parquet"
        root = Path(task.root) if task.root is not None else Path("/")
        written[name] = write_rows(folder / name, _rows(settings, journal, task, at), root)
    return written


def _rows(settings: Synthesis, journal: Path, task: Task, at: int) -> Iterator[Row]:
    """The windows as the first teacher met them."""
    windows = {record["topic"]: record["candidates"] for record in _lines(journal) if record["at"] == [at, 0, 0]}
    needed = {name for names in windows.values() for name in names}
    pool = {document.id: document for document in task.pool if document.id in needed}
    for topic in task.topics:
        names = windows.get(topic.id, [])
        relevant = [place for place, name in enumerate(names) if name in topic.relevant]
        if relevant:
            candidates = tuple(Candidate(pool[name], 1 / rank, rank) for rank, name in enumerate(names, start=1))
            yield _row(settings, task, topic, Window(topic.query, candidates), relevant)


def _row(settings: Synthesis, task: Task, topic: Topic, window: Window, relevant: Sequence[int]) -> Row:
    recipe = settings.recipe
    images = [*topic.query.images, *(one.document.image for one in window.candidates if one.document.image)]
    sizes = {}
    for image in images:
        try:
            sizes[image] = image_size(image)
        except (ImageError, MissingPath):
            continue  # the episode shows the candidate without it
    episode = Episode(window, sizes, recipe.toolbox, max_tool_turns=recipe.max_tool_turns, wire=recipe.wire(task, None))
    opening = episode.conversation.messages
    return Row.of(topic.id, window, relevant, opening, data_source=task.name, ability=topic.group or "retrieval")

"""One task of a stage's settings: a table in TOML to a `Task`, with the topics that are asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from vretrver.datasets import Task, load_task
from vretrver.datasets.missing import missing_pictures, without_missing
from vretrver.errors import InvalidInput, MissingPath


@dataclass(frozen=True, slots=True)
class Source:
    """One task: what `vretrver eval` takes, and which of its topics.

    Args:
        dataset, root, task, split, pool, instructions, size, seed, distractors: as `datasets.load_task`.
        groups: patterns of topic groups, such as `t->i/*`; all when empty. The world draws `size` topics of them alone.
        limit: so many topics, evenly spread; None for all.
        allow_missing: leave out what lacks its picture; else that is an error.
    """

    dataset: str
    root: str | None = None
    task: str | None = None
    split: str | None = None
    pool: str | None = None
    instructions: str | None = None
    size: int | None = None
    seed: int | None = None
    distractors: int | None = None
    groups: tuple[str, ...] = ()
    limit: int | None = None
    allow_missing: bool = False

    def load(self, cache: Path, workers: int = 1) -> Task:
        """The task.

        Args:
            cache: where the world's scenes are drawn. workers: in how many processes.

        Raises:
            InvalidInput: there is no such task, or no topic is left.
            MissingPath: files or pictures are missing.
        """
        names = ("task", "split", "pool", "instructions", "size", "seed", "distractors")
        given = {name: getattr(self, name) for name in names}
        if self.dataset == "world":
            given["workers"] = workers
            given["groups"] = self.groups
        task = load_task(self.dataset, self.root, work=cache / "datasets" / self.dataset, **given)
        topics = [one for one in task.topics if not self.groups or any(fnmatchcase(one.group, g) for g in self.groups)]
        if self.limit is not None and self.limit < len(topics):
            topics = [topics[at * len(topics) // self.limit] for at in range(self.limit)]
        if not topics:
            groups = ", ".join(dict.fromkeys(one.group or "(none)" for one in task.topics)) or "none at all"
            raise InvalidInput(f"no topic of {task.name} is in the groups {', '.join(self.groups)}; there are {groups}")
        return self._present(replace(task, topics=tuple(topics)))

    def _present(self, task: Task) -> Task:
        missing = missing_pictures(task)
        if missing and not self.allow_missing:
            raise MissingPath(
                f"{len(missing)} pictures of {task.name} are missing, such as {', '.join(missing[:3])}; get them, or "
                "set allow_missing = true"
            )
        return without_missing(task, missing) if missing else task

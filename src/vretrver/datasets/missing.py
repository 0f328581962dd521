"""Which pictures of a task are not on disk, and the task without them. Only whether a file exists is asked here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace

from vretrver.datasets import Pool, Task, Topic
from vretrver.types import Document, ImageRef


def missing_pictures(task: Task) -> list[str]:
    """Paths of all pictures that are not on disk, each once: those of the queries in order, then those of the pool.

    A pool of millions is asked a stat per picture and held nowhere; only the missing are kept.
    """
    exists = os.path.exists  # Path.exists takes several times as long, and there may be millions
    return list(dict.fromkeys(path for path in _paths(task) if not exists(path)))


def without_missing(task: Task, missing: Collection[str]) -> Task:
    """The task without what needs a missing picture.

    A topic goes when any picture of its query is missing. A document goes when it has nothing but a missing picture;
    one with text stays with its text. What is relevant stays as it was, so an answer that went counts as not found;
    `facts["missing"]` says how many of each.

    Args:
        missing: as `missing_pictures` gives them.
    """
    gone = frozenset(missing)
    if not gone:
        return task
    dropped = frozenset(one.id for one in task.pool if one.text is None and _is_gone(one.image, gone))
    topics = tuple(
        _without(topic, dropped) for topic in task.topics if not any(_is_gone(ref, gone) for ref in topic.query.images)
    )
    lost = sum(bool(topic.relevant) and topic.relevant.keys() <= dropped for topic in topics)
    said = {
        "pictures": len(gone),
        "topics left out": len(task.topics) - len(topics),
        "documents left out": len(dropped),
        "topics whose every answer is left out": lost,
    }
    pool = _PoolWithout(task.pool, gone, dropped)
    return replace(task, topics=topics, pool=pool, facts={**task.facts, "missing": said})


class _PoolWithout:
    """A pool read through: documents without their missing pictures."""

    def __init__(self, pool: Pool, gone: frozenset[str], dropped: frozenset[str]) -> None:
        self._pool, self._gone, self._dropped = pool, gone, dropped

    def __len__(self) -> int:
        return len(self._pool) - len(self._dropped)

    def __iter__(self) -> Iterator[Document]:
        for document in self._pool:
            if document.id not in self._dropped:
                yield replace(document, image=None) if _is_gone(document.image, self._gone) else document


def _without(topic: Topic, dropped: frozenset[str]) -> Topic:
    if topic.candidates is None or dropped.isdisjoint(topic.candidates):
        return topic
    return replace(topic, candidates=tuple(name for name in topic.candidates if name not in dropped))


def _paths(task: Task) -> Iterator[str]:
    for topic in task.topics:
        yield from (ref.path for ref in topic.query.images if ref.path is not None)
    for document in task.pool:
        if document.image is not None and document.image.path is not None:
            yield document.image.path


def _is_gone(ref: ImageRef | None, gone: frozenset[str]) -> bool:
    return ref is not None and ref.path in gone

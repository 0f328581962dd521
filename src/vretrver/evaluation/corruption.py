"""A task with corrupted pictures: of its queries, its pool, or both (`vretrver.degrade` says what a corruption is).

A corrupted picture is a file of its own in the cache and stands for the original everywhere: it is embedded, shown,
and cropped by the tools. A picture that cannot be read stays as it is and fails where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from vretrver.datasets import Pool, Task, Topic
from vretrver.errors import ImageError, MissingPath
from vretrver.evaluation.settings import Settings
from vretrver.types import Document, ImageRef

Corrupt: TypeAlias = Callable[[ImageRef], ImageRef]


def corrupted(task: Task, settings: Settings, cache: Path) -> Task:
    """The task with the pictures corrupted that the settings name, as far as its topics are asked.

    Raises:
        InvalidInput: the specification is none. StorageError: the cache cannot be written.
    """
    if settings.degrade is None:
        return task
    corrupt = _to_file(settings.degrade, cache / "degraded")
    if settings.degrade_on in ("queries", "both"):
        asked = {at for batch in settings.chosen(len(task.topics)) for at in batch}
        topics = (_topic(one, corrupt) if at in asked else one for at, one in enumerate(task.topics))
        task = replace(task, topics=tuple(topics))
    if settings.degrade_on in ("pool", "both"):
        task = replace(task, pool=CorruptPool(task.pool, corrupt))
    return task


class CorruptPool:
    """A pool whose pictures are corrupted when they are asked for."""

    def __init__(self, pool: Pool, corrupt: Corrupt) -> None:
        self._pool, self._corrupt = pool, corrupt

    def __len__(self) -> int:
        return len(self._pool)

    def __iter__(self) -> Iterator[Document]:
        for document in self._pool:
            image = document.image
            yield document if image is None else replace(document, image=self._corrupt(image))


def _to_file(specification: str, folder: Path) -> Corrupt:
    from vretrver.degrade import degraded_file, parse

    degradation = parse(specification)
    folder.mkdir(parents=True, exist_ok=True)

    def corrupt(image: ImageRef) -> ImageRef:
        try:
            return ImageRef(path=str(degraded_file(image, degradation, folder)))
        except (ImageError, MissingPath):
            return image

    return corrupt


def _topic(topic: Topic, corrupt: Corrupt) -> Topic:
    return replace(topic, query=replace(topic.query, images=tuple(map(corrupt, topic.query.images))))

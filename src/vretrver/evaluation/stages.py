"""First stages: whatever gives each topic its candidates before anybody looks.

The product's retriever on an index, the embedder's vector alone, BM25 over captions, another system's run, or the
order a benchmark gives. Each returns candidates best first; a gallery of a topic's own is kept to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vretrver.datasets import Task, Topic
from vretrver.embedders import Embedder, checked
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.evaluation.exact import BLOCK_ROWS, exact_top
from vretrver.indexes.lance import LanceIndex
from vretrver.retriever import Retriever
from vretrver.types import Candidate, Document

_ENCODED_AT_ONCE = 16


class FirstStage(Protocol):
    """Gives topics their candidates."""

    def search(self, topics: Sequence[Topic], k: int) -> list[list[Candidate]]:
        """At most k candidates per topic, best first."""
        ...


class Indexed:
    """The product's coarse stage on an index."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    def search(self, topics: Sequence[Topic], k: int) -> list[list[Candidate]]:
        if all(topic.candidates is None for topic in topics):
            return self._retriever.search([topic.query for topic in topics], k)
        return [
            self._retriever.retrieve(topic.query, k, None if topic.candidates is None else {"id": topic.candidates})
            for topic in topics
        ]


class Nearest:
    """The embedder's vectors alone, scored by the exact dot product; ties in id order.

    All topics are encoded first and the pool's vectors are read once for every few thousand of them, so that a pool of
    millions can be evaluated without an approximate index. The score is the dot product, without signals.

    Args:
        index: holds the pool's vectors.
        embedder: the one that made them.
        topics: all that will be asked. k: the most that will be asked for, what they exclude apart.
    """

    def __init__(self, index: LanceIndex, embedder: Embedder, topics: Sequence[Topic], k: int) -> None:
        self._index = index
        self._vectors = _encoded(topics, embedder)
        whole = [topic.id for topic in topics if topic.candidates is None and topic.id in self._vectors]
        self._found: dict[str, list[tuple[int, float]]] = {}
        if whole:
            queries = np.stack([self._vectors[name] for name in whole])
            most = k + max(len(topic.excluded) for topic in topics)
            rows, scores = exact_top(queries, _blocks(index.snapshot.vectors), most)
            self._found = {
                name: list(zip(rows[at].tolist(), scores[at].tolist(), strict=True)) for at, name in enumerate(whole)
            }
        galleries = any(topic.candidates is not None for topic in topics)
        self._rows = {name: row for row, name in enumerate(index.ids())} if galleries else {}

    def search(self, topics: Sequence[Topic], k: int) -> list[list[Candidate]]:
        """As `FirstStage.search`.

        Raises:
            ImageError: a topic's picture could not be read.
        """
        if unread := [topic for topic in topics if topic.id not in self._vectors]:
            raise ImageError(f"the query's picture cannot be read: {unread[0].query.images[0].label}")
        return [self._candidates(topic, k) for topic in topics]

    def _candidates(self, topic: Topic, k: int) -> list[Candidate]:
        found = self._found[topic.id] if topic.candidates is None else self._gallery(topic)
        documents = self._index.documents([row for row, _score in found[:k]])
        return [
            Candidate(document, score, rank)
            for rank, (document, (_row, score)) in enumerate(zip(documents, found, strict=False), start=1)
        ]

    def _gallery(self, topic: Topic) -> list[tuple[int, float]]:
        rows = [self._rows[name] for name in topic.candidates or () if name in self._rows]
        scores = self._index.snapshot.vectors[rows].astype(np.float64) @ self._vectors[topic.id].astype(np.float64)
        return sorted(zip(rows, scores.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))


class Worded:
    """BM25 over the documents' own texts."""

    def __init__(self, documents: Iterable[Document]) -> None:
        from vretrver.evaluation.bm25 import Bm25

        self._words = Bm25(list(documents))

    def search(self, topics: Sequence[Topic], k: int) -> list[list[Candidate]]:
        return self._words.search([topic.query for topic in topics], k, [topic.candidates for topic in topics])


class Ordered:
    """Orders that are there already: a TREC run, or a benchmark's ranked galleries.

    Args:
        orders: per topic id, document ids with scores, best first.
        documents: the pool; only what the orders name is kept.

    Raises:
        InvalidInput: an order names a document that the pool does not have.
    """

    def __init__(self, orders: Mapping[str, Sequence[tuple[str, float]]], documents: Iterable[Document]) -> None:
        wanted = {name for order in orders.values() for name, _score in order}
        self._documents = {document.id: document for document in documents if document.id in wanted}
        self._orders = orders
        if missing := sorted(wanted - self._documents.keys()):
            raise InvalidInput(
                f"the run names {len(missing)} documents that the pool does not have, such as {missing[:3]}; "
                "is it a run of this task and pool?"
            )

    @classmethod
    def run(cls, path: Path, task: Task, k: int) -> Ordered:
        """Another system's TREC run, its first k of each topic."""
        from vretrver.evaluation.trec import from_one_word, read_run

        found = {
            from_one_word(topic): [(from_one_word(name), score) for name, score in order]
            for topic, order in read_run(path).items()
        }
        most = k + max(len(topic.excluded) for topic in task.topics)
        orders = {topic.id: _kept(found.get(topic.id, ()), topic.candidates)[:most] for topic in task.topics}
        if not any(orders.values()):
            raise InvalidInput(
                f"{path} has no line for any topic of {task.name}; its topics are such as {task.topics[0].id}"
            )
        return cls(orders, task.pool)

    @classmethod
    def given(cls, task: Task) -> Ordered:
        """The order of each topic's own gallery; the score is 1 / rank."""
        orders = {
            topic.id: [(name, 1.0 / rank) for rank, name in enumerate(topic.candidates or (), start=1)]
            for topic in task.topics
        }
        return cls(orders, task.pool)

    def search(self, topics: Sequence[Topic], k: int) -> list[list[Candidate]]:
        return [
            [
                Candidate(self._documents[name], score, rank)
                for rank, (name, score) in enumerate(self._orders[topic.id][:k], start=1)
            ]
            for topic in topics
        ]


def _encoded(topics: Sequence[Topic], embedder: Embedder) -> dict[str, NDArray[np.float32]]:
    """A vector by topic id; none for a topic whose picture cannot be read."""
    found: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(topics), _ENCODED_AT_ONCE):
        batch = topics[start : start + _ENCODED_AT_ONCE]
        try:
            vectors = embedder.encode([topic.query for topic in batch])
        except (ImageError, MissingPath):
            if len(topics) == 1:
                return {}
            for topic in batch:
                found.update(_encoded([topic], embedder))
            continue
        rows = checked(vectors, len(batch), embedder.dim, embedder.name)
        found.update((topic.id, row) for topic, row in zip(batch, rows, strict=True))
    return found


def _blocks(vectors_N_D: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(vectors_N_D), BLOCK_ROWS):
        yield start, vectors_N_D[start : start + BLOCK_ROWS]


def _kept(order: Iterable[tuple[str, float]], gallery: Collection[str] | None) -> list[tuple[str, float]]:
    return [(name, score) for name, score in order if gallery is None or name in gallery]

"""First stages: whatever gives each topic its candidates before anybody looks.

The product's retriever on an index, the embedder's vector alone, BM25 over captions, another system's run, or the
order a benchmark gives. Each returns candidates best first; a gallery of a topic's own is kept to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vretrver import fusion
from vretrver.datasets import Task, Topic
from vretrver.errors import InvalidInput
from vretrver.retriever import Retriever
from vretrver.types import Candidate, Document

VECTOR_ALONE: Mapping[str, fusion.Weights] = {
    modality: fusion.Weights({"vector": 1.0}) for modality in ("text", "image", "image,text")
}


class FirstStage(Protocol):
    """Gives topics their candidates."""

    def search(self, topics: Sequence[Topic], k: int) -> list[list[Candidate]]:
        """At most k candidates per topic, best first."""
        ...


class Indexed:
    """The product's coarse stage on an index (`hybrid`), or with `VECTOR_ALONE` its vector alone."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    def search(self, topics: Sequence[Topic], k: int) -> list[list[Candidate]]:
        if all(topic.candidates is None for topic in topics):
            return self._retriever.search([topic.query for topic in topics], k)
        return [
            self._retriever.retrieve(topic.query, k, None if topic.candidates is None else {"id": topic.candidates})
            for topic in topics
        ]


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
        from vretrver.evaluation.trec import read_run

        found = read_run(path)
        orders = {topic.id: _kept(found.get(topic.id, ()), topic.candidates)[:k] for topic in task.topics}
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


def _kept(order: Iterable[tuple[str, float]], gallery: Collection[str] | None) -> list[tuple[str, float]]:
    return [(name, score) for name, score in order if gallery is None or name in gallery]

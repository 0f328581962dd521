from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from vretrver.errors import InvalidInput
from vretrver.pipeline import Pipeline
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer
from vretrver.reranker import Reranker
from vretrver.types import Candidate, Document, Query

POOL = [Candidate(Document(f"d{at}", f"text {at}"), 1 - at / 10, at + 1) for at in range(8)]


class Shelf:
    """A retriever that always finds the same."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, Mapping[str, Any] | None]] = []

    def search(self, queries: Sequence[Query], k: int, where: Mapping[str, Any] | None = None) -> list[list[Candidate]]:
        self.asked.append((len(queries), k, where))
        return [POOL[:k] for _ in queries]


def test_the_coarse_stage_finds_and_the_agent_ranks() -> None:
    shelf = Shelf()
    agent = ScriptedPolicy(lambda conversation: render_answer(range(len(conversation.window.candidates) - 1, -1, -1)))
    ranking = Pipeline(shelf, Reranker(agent)).search("q", k=2, top_k=5, where={"colour": "red"})
    assert ranking.ids == ("d4", "d3")
    assert shelf.asked == [(1, 5, {"colour": "red"})]
    assert len(ranking.traces) == 1


def test_without_a_reranker_the_coarse_order_stands() -> None:
    ranking = Pipeline(Shelf()).search("q", k=3)
    assert ranking.ids == ("d0", "d1", "d2")
    assert [result.score for result in ranking.results] == [1.0, 0.9, 0.8]
    assert ranking.traces == () and ranking.usage.policy_calls == 0


def test_k_larger_than_top_k_and_than_the_pool() -> None:
    shelf = Shelf()
    assert len(Pipeline(shelf).search("q", k=60, top_k=50).results) == 8
    assert shelf.asked == [(1, 60, None)]


def test_many_queries_are_one_call_to_the_retriever() -> None:
    shelf = Shelf()
    rankings = Pipeline(shelf).search_many(["a", Query("b")], k=1)
    assert [ranking.query.text for ranking in rankings] == ["a", "b"]
    assert shelf.asked == [(2, 50, None)]
    assert Pipeline(shelf).search_many([]) == []


@pytest.mark.parametrize(("k", "top_k"), [(0, 50), (5, 0)])
def test_asking_for_nothing_is_an_error(k: int, top_k: int) -> None:
    with pytest.raises(InvalidInput, match="both must be at least 1"):
        Pipeline(Shelf()).search("q", k=k, top_k=top_k)

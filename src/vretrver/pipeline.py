"""The whole road for a query: retrieve, then rerank. What each stage does is its own module."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from vretrver.coarse import as_query, coarse_ranking
from vretrver.errors import InvalidInput
from vretrver.reranker import Reranker
from vretrver.trace import Ranking
from vretrver.types import Candidate, Query


class Searches(Protocol):
    """What a pipeline needs of a retriever; `vretrver.Retriever` is one."""

    def search(
        self, queries: Sequence[Query], k: int, where: Mapping[str, Any] | None = None
    ) -> list[list[Candidate]]: ...


class Pipeline:
    """Args:
    retriever: finds the candidates.
    reranker: looks at them and ranks them; None leaves the coarse order.
    """

    def __init__(self, retriever: Searches, reranker: Reranker | None = None) -> None:
        self.retriever = retriever
        self.reranker = reranker

    def search(
        self, query: Query | str, k: int = 10, top_k: int = 50, where: Mapping[str, Any] | None = None
    ) -> Ranking:
        """The best `k` documents for one query.

        Args:
            k: how many results; fewer come when fewer exist.
            top_k: how many candidates the coarse stage hands to the agent; at least `k` are.
            where: keep documents with this metadata.

        Raises:
            InvalidInput: k or top_k below 1.
            MissingPath, ImageError: a picture of the query cannot be read.
        """
        return self.search_many([query], k, top_k, where)[0]

    def search_many(
        self,
        queries: Sequence[Query | str],
        k: int = 10,
        top_k: int = 50,
        where: Mapping[str, Any] | None = None,
    ) -> list[Ranking]:
        """`search` for many queries: one batch for the retriever, one growing batch for the policy."""
        if k < 1 or top_k < 1:
            raise InvalidInput(f"k is {k} and top_k is {top_k}; both must be at least 1")
        if not queries:
            return []
        asked = [as_query(query) for query in queries]
        started = time.perf_counter()
        found = self.retriever.search(asked, max(k, top_k), where=where)
        retrieval = (time.perf_counter() - started) / len(asked)
        return [_with_seconds(ranking, retrieval) for ranking in self._ranked(asked, found, k)]

    def _ranked(self, queries: Sequence[Query], found: Sequence[Sequence[Candidate]], k: int) -> list[Ranking]:
        if self.reranker is None:
            return [coarse_ranking(query, candidates, k) for query, candidates in zip(queries, found, strict=True)]
        return self.reranker.rerank_many(queries, found, top_k=k)


def _with_seconds(ranking: Ranking, seconds: float) -> Ranking:
    return replace(ranking, usage=replace(ranking.usage, seconds=round(ranking.usage.seconds + seconds, 4)))

"""LanceDB: a reranker for vector, full-text and hybrid searches that looks at the pictures in a column. No extra.

    from vretrver.adapters.lancedb import VretrverReranker

    rows = table.search("a red kite", query_type="hybrid").rerank(VretrverReranker(root="photos")).to_list()

The picture column holds encoded bytes, data URLs, or paths below `root` (`vretrver.adapters.pictures`). A hybrid search
comes in reciprocal rank fusion's order. Queries are strings where LanceDB reranks.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import pyarrow as pa
from lancedb.rerankers import Reranker as LanceReranker
from lancedb.rerankers import RRFReranker

from vretrver.adapters.ranking import Agent, Given, Ranker
from vretrver.embedders import Embedder
from vretrver.errors import InvalidInput


class VretrverReranker(LanceReranker):  # type: ignore[misc]  # the library has no types
    """Adds `_relevance_score`, 1 / rank, and sorts by it; every other column stays, the picture's too.

    Args:
        reranker, embedder, root: see `vretrver.adapters.ranking.Ranker`.
        column: holds the texts; need not exist if there are pictures.
        image_column: holds the pictures; need not exist if there are texts.
        return_score: "relevance", or "all" to keep `_distance` and `_score` beside it.
    """

    def __init__(
        self,
        reranker: Agent = "evidence",
        embedder: Embedder | str | None = None,
        root: str | PathLike[str] | None = None,
        *,
        column: str = "text",
        image_column: str = "image",
        return_score: str = "relevance",
    ) -> None:
        super().__init__(return_score)
        self._ranker = Ranker(reranker, embedder, root)
        self._column, self._image_column = column, image_column

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        return self._ranked(query, vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        return self._ranked(query, fts_results)

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        fused = RRFReranker(return_score="all").rerank_hybrid(query, vector_results, fts_results)
        return self._ranked(query, fused.drop_columns(["_relevance_score"]))

    def _ranked(self, query: str, rows: pa.Table) -> pa.Table:
        texts, pictures = self._values(rows, self._column), self._values(rows, self._image_column)
        if texts is None and pictures is None:
            raise InvalidInput(
                f"the results have neither a column {self._column!r} nor {self._image_column!r}; they have "
                f"{', '.join(rows.column_names)}. Name yours with column= and image_column=, and select() it"
            )
        blank = [None] * len(rows)
        given = [
            Given(None if text is None else str(text), picture)
            for text, picture in zip(texts or blank, pictures or blank, strict=True)
        ]
        placed = self._ranker.rank(query, given) if given else []
        rows = rows.take(pa.array([place.at for place in placed], pa.int64()))
        scores = pa.array([place.score for place in placed], pa.float32())
        return self._keep_relevance_score(rows.append_column("_relevance_score", scores))

    @staticmethod
    def _values(rows: pa.Table, name: str) -> list[Any] | None:
        return rows[name].to_pylist() if name in rows.column_names else None

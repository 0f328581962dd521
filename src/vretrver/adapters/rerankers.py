"""`rerankers` (Answer.AI): a ranker that takes text and image documents side by side. Extra `[rerankers]`.

    from vretrver.adapters.rerankers import VretrverRanker

    results = VretrverRanker(root="photos").rank("a red kite", documents, doc_ids=ids)
    results.top_k(3)[0].document

A `rerankers.Document` shows its `base64`, else its `image_path` below `root`, with or without text. Strings are texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

from vretrver.adapters.pictures import Base64
from vretrver.adapters.ranking import Agent, Given, Ranker
from vretrver.embedders import Embedder
from vretrver.errors import InvalidInput, MissingExtra
from vretrver.types import Query

try:
    from rerankers.documents import Document
    from rerankers.models.ranker import BaseRanker
    from rerankers.results import RankedResults, Result
except ImportError as missing:
    raise MissingExtra("the rerankers adapter", "rerankers") from missing

Ids: TypeAlias = Sequence[str] | Sequence[int]


class VretrverRanker(BaseRanker):  # type: ignore[misc]  # the library has no types
    """Args: reranker, embedder, root: see `vretrver.adapters.ranking.Ranker`. Documents come in no order here, so the
    embedder orders them first.
    """

    def __init__(
        self,
        reranker: Agent = "evidence",
        embedder: Embedder | str | None = "lite",
        root: str | PathLike[str] | None = None,
    ) -> None:
        self._ranker = Ranker(reranker, embedder, root)

    def rank(
        self,
        query: Query | str,
        docs: str | Document | Sequence[str | Document],
        doc_ids: Ids | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> RankedResults:
        """Documents best first; a result's `score` is 1 / rank, its `confidence` and `evidence` are in the metadata.

        Args:
            query: text, or a `vretrver.Query` with pictures.
            docs: texts or `rerankers.Document`s.
            doc_ids: a name for each; the documents' own, else 0, 1, 2, ..., when None.
            metadata: for each; the documents' own when None.

        Raises:
            InvalidInput: the query is empty, or doc_ids or metadata are not one for each document.
        """
        given = [docs] if isinstance(docs, str | Document) else list(docs)
        for what, values in (("doc_ids", doc_ids), ("metadata", metadata)):
            if values is not None and len(values) != len(given):
                raise InvalidInput(f"{len(values)} {what} came with {len(given)} documents; give one for each")
        results = []
        for placed in self._ranker.rank(query, [_given(one) for one in given]):
            name = None if doc_ids is None else doc_ids[placed.at]
            document = _copy(given[placed.at], placed.at, name, None if metadata is None else metadata[placed.at])
            said = placed.metadata()
            document.metadata |= {key: said[key] for key in said if key != "relevance_score"}
            results.append(Result(document=document, score=placed.score, rank=placed.rank))
        text = query if isinstance(query, str) else query.text or ""
        return RankedResults(results=results, query=text, has_scores=True)

    def score(self, query: Query | str, doc: str | Document) -> float:
        """How likely one document answers, 0..1, seen alone. Its rank among others is what `rank` is for."""
        return self._ranker.rank(query, [_given(doc)])[0].confidence


def _given(document: str | Document) -> Given:
    if isinstance(document, str):
        return Given(document)
    image = Base64(document.base64) if document.base64 else document.image_path
    return Given(document.text, image, None if document.doc_id is None else str(document.doc_id))


def _copy(document: str | Document, at: int, name: Any, metadata: Mapping[str, Any] | None) -> Document:
    """A document of its own: the caller's keeps its metadata as it was."""
    if isinstance(document, str):
        return Document(document, doc_id=at if name is None else name, metadata=dict(metadata or {}))
    own = at if document.doc_id is None else document.doc_id
    return Document(
        document.text,
        doc_id=own if name is None else name,
        metadata=dict(document.metadata if metadata is None else metadata),
        document_type=document.document_type,
        image_path=document.image_path,
        base64=document.base64,
    )

"""What all faces share: documents as a framework handed them over go in, their order comes out.

Nothing is thrown because of what a document holds. One without a readable picture is ranked by its text, one that
holds nothing at all comes last. Only the query must be sound. Frameworks have no place for a trace, so what goes wrong
on the way is a Python warning: `UnreadPicture` and `AgentFailed`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeAlias

from vretrver.adapters.pictures import UnreadPicture, picture_of
from vretrver.coarse import coarse_candidates
from vretrver.embedders import Embedder, load_embedder
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.images import image_size
from vretrver.policies import Policy, load_policy
from vretrver.reranker import Reranker
from vretrver.trace import Evidence, Ranking, StopReason
from vretrver.types import Candidate, Document, ImageRef, Query

Agent: TypeAlias = Reranker | Policy | str
"""Who looks and ranks: a `Reranker`, a policy, or the name of one, which is loaded at the first call."""


class AgentFailed(UserWarning):
    """The agent's model could not answer; the documents it was shown stand in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Given:
    """One document as it was given.

    Args:
        text: its text; blanks do not count.
        image: whatever stands for its picture (`pictures.picture_of`); None or "" when there is none.
        id: its own name, for traces; need not be unique.
        score: the framework's, higher is better.
    """

    text: str | None = None
    image: Any = None
    id: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a document came.

    Args:
        at: its position in what was given.
        rank: 1 for the best.
        score: 1 / rank. It orders, falls strictly, and says nothing more.
        confidence: how likely it answers the query, 0..1; need not fall with the rank.
        evidence: the looks at its picture.
    """

    at: int
    rank: int
    score: float
    confidence: float = 0.0
    evidence: tuple[Evidence, ...] = ()

    def metadata(self) -> dict[str, Any]:
        """The same for a document's metadata, in JSON values; `evidence` only where somebody looked."""
        said: dict[str, Any] = {"relevance_score": self.score, "confidence": self.confidence}
        if self.evidence:
            said["evidence"] = [
                {"tool": look.tool, "box": None if look.box is None else list(look.box), "note": look.note}
                for look in self.evidence
            ]
        return said


class Ranker:
    """Ranks what is given.

    Args:
        reranker: a `Reranker`, a policy, or the name of a policy (`load_policy`) that is loaded at the first call.
        embedder: orders the documents before the agent looks: an object or the name of one (`load_embedder`). None
            leaves them in the order given, with the scores given where every document has one.
        root: the folder below which paths of pictures are followed; see `vretrver.adapters.pictures`.
    """

    def __init__(
        self,
        reranker: Agent = "evidence",
        embedder: Embedder | str | None = None,
        root: str | PathLike[str] | None = None,
    ) -> None:
        self._reranker, self._embedder, self._root = reranker, embedder, root

    def load(self) -> None:
        """Load what was given by name; the first `rank` does it too.

        Raises:
            InvalidInput, MissingExtra: no such policy or embedder, or its library is not installed.
        """
        if not isinstance(self._reranker, Reranker):
            self._reranker = Reranker(load_policy(self._reranker))
        if isinstance(self._embedder, str):
            self._embedder = load_embedder(self._embedder)

    def rank(self, query: Query | str, documents: Sequence[Given], top_k: int | None = None) -> list[Placed]:
        """All documents, or the `top_k` best, best first.

        Raises:
            InvalidInput: the query is empty, or top_k is below 1.
            MissingPath, ImageError: a picture of the query cannot be read.
        """
        if top_k is not None and top_k < 1:
            raise InvalidInput(f"top_k is {top_k}; ask for at least 1 document, or None for all")
        query = Query(query) if isinstance(query, str) else query
        names = _names(documents)
        usable = [self._document(name, given) for name, given in zip(names, documents, strict=True)]
        found = [(one, given.score) for one, given in zip(usable, documents, strict=True) if one is not None]
        placed = self._placed(query, found, {name: at for at, name in enumerate(names)})
        empty = [at for at, one in enumerate(usable) if one is None]
        placed += [Placed(at, rank, 1 / rank) for rank, at in enumerate(empty, start=len(placed) + 1)]
        return placed[:top_k]

    def query(self, text: str | None, image: Any = None) -> Query:
        """A query; its picture goes by the same rule as the documents'.

        Raises:
            InvalidInput: it is empty, or its picture is refused.
        """
        return Query(text, () if _nothing(image) else (picture_of(image, self._root),))

    def _placed(self, query: Query, found: list[tuple[Document, float | None]], places: dict[str, int]) -> list[Placed]:
        self.load()
        assert isinstance(self._reranker, Reranker) and not isinstance(self._embedder, str)
        candidates = _as_given(found)
        if self._embedder is not None:
            candidates = coarse_candidates(query, [document for document, _score in found], self._embedder)
        ranking = self._reranker.rerank(query, candidates)
        _warn_of_failures(ranking)
        return [
            Placed(places[result.document.id], result.rank, result.score, result.confidence, result.evidence)
            for result in ranking.results
        ]

    def _document(self, name: str, given: Given) -> Document | None:
        """The document, with its picture if that may be opened and has a header; None when nothing is left of it."""
        text = (given.text or "").strip() or None
        image: ImageRef | None = None
        if not _nothing(given.image):
            try:
                image = picture_of(given.image, self._root)
                image_size(image)
            except (ImageError, InvalidInput, MissingPath) as refused:
                image = None
                warnings.warn(UnreadPicture(f"document {given.id or name!r}: {refused}"), stacklevel=4)
        return Document(name, text, image) if text or image else None


def _nothing(image: Any) -> bool:
    return image is None or (isinstance(image, str) and not image)


def _warn_of_failures(ranking: Ranking) -> None:
    failed = [trace for trace in ranking.traces if trace.stop is StopReason.POLICY_ERROR]
    if failed:
        said = f"{len(failed)} of {len(ranking.traces)} windows keep the order in which they came: {failed[0].error}"
        warnings.warn(AgentFailed(said), stacklevel=5)


def _names(documents: Sequence[Given]) -> list[str]:
    """An id for each: their own where all have one and none comes twice, else their numbers."""
    own = [given.id for given in documents if given.id]
    return own if len(set(own)) == len(documents) else [str(at) for at in range(1, len(documents) + 1)]


def _as_given(found: Sequence[tuple[Document, float | None]]) -> list[Candidate]:
    scores = [score for _document, score in found if score is not None and math.isfinite(score)]
    known = scores if len(scores) == len(found) else [0.0] * len(found)
    return [Candidate(one, score, rank) for rank, ((one, _), score) in enumerate(zip(found, known, strict=True), 1)]

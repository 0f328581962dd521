"""Candidates without an index, and rankings without an agent: what surrounds the rerank stage on both sides."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.trace import Evidence, Ranking, Result, Trace
from vretrver.types import Candidate, Document, ImageRef, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vretrver.embedders import Embedder

Item: TypeAlias = "Candidate | Document | str | PathLike[str]"
NEUTRAL = 0.5
"""The confidence of a result of which nobody said how likely it is."""
NO_MATCH_BELOW = 0.15
"""A ranking whose best confidence is under this says `no_match`: on validation one such first result in nine was right.

It says that the best found is unlikely, not that an answer is absent: among look-alikes absence hardly shows
(`runs/evidence/absent.py`)."""


def as_query(query: Query | str) -> Query:
    return Query(query) if isinstance(query, str) else query


def as_candidates(items: Iterable[Item]) -> list[Candidate]:
    """Candidates from what people have in hand, in the order given.

    A Candidate stays as it is; a Document has no coarse score (0) and its place as rank; a path object, or a string
    that ends like a picture's name, is the picture at that path; any other string is a text.

    Raises:
        InvalidInput: two documents share an id.
        MissingPath: a path given by name does not exist.
    """
    candidates = [
        item if isinstance(item, Candidate) else Candidate(_document(item, rank), 0.0, rank)
        for rank, item in enumerate(items, start=1)
    ]
    seen: set[str] = set()
    for candidate in candidates:
        if candidate.document.id in seen:
            raise InvalidInput(f"document id {candidate.document.id!r} comes twice; ids must be unique in one ranking")
        seen.add(candidate.document.id)
    return candidates


def coarse_candidates(query: Query | str, documents: Sequence[Document], embedder: Embedder) -> list[Candidate]:
    """Documents ordered by one embedder, without an index.

    Returns:
        One candidate per document, best first, scored by the dot product; ties keep the given order. A document whose
        picture cannot be read is scored by its text; without one it comes last, with score -1.

    Raises:
        MissingPath, ImageError: a picture of the query cannot be read.
        InvalidInput: two documents share an id.
    """
    as_candidates(documents)
    if not documents:
        return []
    query_D = embedder.encode([as_query(query)])[0]
    scores = [-1.0 if row_D is None else float(row_D @ query_D) for row_D in _rows(documents, embedder)]
    order = sorted(range(len(documents)), key=lambda at: -scores[at])
    return [Candidate(documents[at], scores[at], rank) for rank, at in enumerate(order, start=1)]


def coarse_ranking(
    query: Query | str,
    candidates: Sequence[Candidate],
    k: int | None = None,
    no_match_below: float = NO_MATCH_BELOW,
) -> Ranking:
    """The coarse order as a ranking. Scores are the coarse scores, made to fall strictly where two are equal."""
    kept = candidates[:k]
    scores: list[float] = []
    for candidate in kept:
        ceiling = math.nextafter(scores[-1], -math.inf) if scores else math.inf
        scores.append(min(candidate.score, ceiling))
    confidences = coarse_confidences(as_query(query), candidates)
    results = tuple(
        Result(rank, candidate, score, confidence)
        for rank, (candidate, score, confidence) in enumerate(zip(kept, scores, confidences, strict=False), start=1)
    )
    return Ranking(as_query(query), results, no_match=max(confidences, default=0.0) < no_match_below)


def coarse_confidences(query: Query, candidates: Sequence[Candidate]) -> list[float]:
    """How likely each candidate answers, 0..1, as far as the coarse stage can say.

    `fusion.confidences` for what a Retriever found, whose scores are on the scale that was fitted; `NEUTRAL` for
    candidates that came another way, which carry none of its signals.
    """
    from vretrver.calibration import from_retriever
    from vretrver.fusion import confidences

    if not from_retriever(candidates):
        return [NEUTRAL] * len(candidates)

    best_first = sorted(range(len(candidates)), key=lambda at: -candidates[at].score)
    found = confidences([candidates[at] for at in best_first], query.modality)
    by_place = dict(zip(best_first, found, strict=True))
    return [by_place[at] for at in range(len(candidates))]


def merged_evidence(traces: Sequence[Trace]) -> Mapping[str, tuple[Evidence, ...]]:
    """Every look of every window, by document id, each once, in the order of the looks."""
    merged: dict[str, dict[Evidence, None]] = {}
    for trace in traces:
        for key, looks in trace.evidence.items():
            merged.setdefault(key, {}).update(dict.fromkeys(looks))
    return {key: tuple(looks) for key, looks in merged.items()}


def _document(item: Document | str | PathLike[str], rank: int) -> Document:
    from vretrver.images import EXTENSIONS

    if isinstance(item, Document):
        return item
    name = os.fspath(item)
    if isinstance(item, str) and os.path.splitext(name)[1].lower() not in EXTENSIONS:
        return Document(f"text-{rank}", text=name)
    if not Path(name).exists():
        raise MissingPath(f"no such image: {name}")
    return Document(name, image=ImageRef(path=name))


def _rows(documents: Sequence[Document], embedder: Embedder) -> list[NDArray[np.float32] | None]:
    """A vector per document; None where its picture cannot be read and it has no text."""
    try:
        return list(embedder.encode(documents))
    except (ImageError, MissingPath):
        if len(documents) == 1:
            (document,) = documents
            return list(embedder.encode([replace(document, image=None)])) if document.text else [None]
    half = len(documents) // 2  # halving finds one bad file among many in a few calls
    return [*_rows(documents[:half], embedder), *_rows(documents[half:], embedder)]

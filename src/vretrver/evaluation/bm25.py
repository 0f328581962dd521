"""BM25 over the documents' texts as a first stage: the baseline that every table with captions should hold.

The plain ranking function, for comparison. What the product itself does with words (`indexes.words`: partial words,
coverage of the query) is left out, but texts become the same tokens. Library: bm25s (MIT, NumPy alone). Weighed:
rank_bm25, which scores every document in Python for every query, and tantivy, an engine with files of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vretrver.errors import InvalidInput, MissingExtra
from vretrver.indexes.scan import top
from vretrver.indexes.words import tokens
from vretrver.types import Candidate, Document, Query

NEEDS_TEXT = "use an embedder for the coarse stage instead (--coarse vector)"


class Bm25:
    """A pool of documents, searched by their texts.

    The score of a document of `length` tokens, over the query's tokens t (one that comes twice counts twice):

        sum of log(1 + (N - df(t) + 0.5) / (df(t) + 0.5)) * tf(t) / (tf(t) + k1 * (1 - b + b * length / mean length))

    (Kamphuis et al. 2020, "Which BM25 Do You Mean?", Lucene's variant with exact lengths.) N and the mean length count
    the documents that have words; one without scores 0. Tokens are English words and figures in lower case, accents
    folded, plural -s taken off, function words left out (`vretrver.indexes.words.tokens`).

    Args:
        documents: ids are unique.
        k1, b: saturation and length normalisation; Lucene's defaults.

    Raises:
        MissingExtra: bm25s is not installed.
        InvalidInput: no document has words to search.
    """

    def __init__(self, documents: Iterable[Document], k1: float = 1.2, b: float = 0.75) -> None:
        self._documents = sorted(documents, key=lambda document: document.id)  # so ties come in order of id
        self._places = {document.id: place for place, document in enumerate(self._documents)}
        if len(self._places) < len(self._documents):
            raise InvalidInput("two documents share an id; ids must be unique in one pool")
        words = [tokens(document.text) if document.text else [] for document in self._documents]
        self._worded = np.flatnonzero([bool(found) for found in words])
        if not len(self._worded):
            raise InvalidInput(f"BM25 needs texts, and none of the {len(words)} documents has words; {NEEDS_TEXT}")
        self._index = _index([words[place] for place in self._worded], k1, b)

    def search(
        self, queries: Sequence[Query], k: int, among: Sequence[Collection[str] | None] | None = None
    ) -> list[list[Candidate]]:
        """The k best documents per query, best first; equal scores in order of id.

        A query's instruction is not searched for. Documents that share no word with the query fill the list with
        score 0, so every query gets min(k, documents) candidates.

        Args:
            among: per query the ids that may be found; None for all of them.

        Raises:
            InvalidInput: a query has no text; k is below 1; `among` has another length or names an unknown id.
        """
        if among is not None and len(among) != len(queries):
            raise InvalidInput(f"{len(queries)} queries came with {len(among)} sets of ids")
        for number, query in enumerate(queries, start=1):
            if query.text is None:
                raise InvalidInput(f"BM25 needs words, and query {number} of {len(queries)} is a picture; {NEEDS_TEXT}")
        allowed = among if among is not None else [None] * len(queries)
        return [self._found(query, k, ids) for query, ids in zip(queries, allowed, strict=True)]

    def _found(self, query: Query, k: int, ids: Collection[str] | None) -> list[Candidate]:
        scores = self.scores(query)
        places = np.arange(len(scores)) if ids is None else self._places_of(ids)
        best = places[top(scores[places], k)]
        return [
            Candidate(self._documents[place], float(scores[place]), rank, {"bm25": float(scores[place])})
            for rank, place in enumerate(best, start=1)
        ]

    def scores(self, query: Query) -> NDArray[np.float32]:
        """The score of every document in order of id, shape (N,)."""
        scores = np.zeros(len(self._documents), np.float32)
        known = [token for token in tokens(query.text or "") if token in self._index.vocab_dict]
        if known:
            scores[self._worded] = self._index.get_scores(known)
        return scores

    def _places_of(self, ids: Collection[str]) -> NDArray[np.int64]:
        """Places of ids, ascending."""
        strangers = [name for name in ids if name not in self._places]
        if strangers:
            raise InvalidInput(f"{len(strangers)} ids are not in the pool, such as {strangers[:3]}")
        return np.sort(np.fromiter((self._places[name] for name in set(ids)), np.int64))


def _index(words: Sequence[Sequence[str]], k1: float, b: float) -> Any:
    try:
        import bm25s
    except ImportError as missing:
        raise MissingExtra("BM25 as the coarse stage", "eval") from missing
    numbers: dict[str, int] = {}
    ids = [[numbers.setdefault(token, len(numbers)) for token in found] for found in words]
    index = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64")
    index.index((ids, numbers), create_empty_token=False, show_progress=False)
    return index

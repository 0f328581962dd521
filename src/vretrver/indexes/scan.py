"""Exact search: every row is scored, nothing is approximated. Pure NumPy over arrays that may be memory-mapped.

Good for some 250,000 rows: the time is that of reading all vectors once, about 1 ms per 20 MB. Arithmetic stays
float32 throughout, because a float64 query would copy every vector first. No disk and no documents here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vretrver.errors import InvalidInput

_BLOCK_BYTES = 64 * 2**20


def dots(
    vectors_N_D: NDArray[np.float32],
    queries_Q_D: NDArray[np.float32],
    rows: NDArray[np.int64] | None = None,
    block_bytes: int = _BLOCK_BYTES,
) -> Iterator[NDArray[np.float32]]:
    """Dot products of each query with all rows (or with `rows`), query by query: shape (N,) each, float32.

    Queries go through in blocks, so that memory stays bounded and the vectors are read once per block.

    Raises:
        InvalidInput: queries are not (Q, D).
    """
    queries = np.ascontiguousarray(queries_Q_D, np.float32)
    if queries.ndim != 2 or queries.shape[1] != vectors_N_D.shape[1]:
        raise InvalidInput(f"queries have shape {queries.shape}; this index holds vectors of {vectors_N_D.shape[1]}")
    vectors = vectors_N_D if rows is None else vectors_N_D[rows]
    block = max(1, block_bytes // max(1, 4 * len(vectors)))
    for start in range(0, len(queries), block):
        if len(queries) == 1:
            yield vectors @ queries[0]
            return
        yield from queries[start : start + block] @ vectors.T


def top(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of the k highest scores, best first; equal scores in order of position. k may exceed the size.

    Raises:
        InvalidInput: k is less than 1.
    """
    if k < 1:
        raise InvalidInput(f"k is {k}; ask for at least 1 result")
    if k < len(scores):
        edge = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > edge)
        # Among equals at the edge the first positions win, whatever the partition did.
        level = np.flatnonzero(scores == edge)[: k - len(above)]
        chosen = np.concatenate([above, level])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))].astype(np.int64)


def search(
    vectors_N_D: NDArray[np.float32], queries_Q_D: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None = None
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The k nearest rows by dot product, per query: rows and their scores, best first.

    Args:
        mask: rows that may be found, shape (N,); all when None.
    """
    rows = None if mask is None else np.flatnonzero(mask)
    found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    for scores in dots(vectors_N_D, queries_Q_D, rows):
        best = top(scores, k)
        found.append((best if rows is None else rows[best], scores[best]))
    return found


def stacked(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Query vectors as one float32 array, shape (Q, D)."""
    return np.stack([np.asarray(vector, np.float32) for vector in vectors])

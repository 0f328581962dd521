"""Exact nearest neighbours of many queries in a pool that does not fit into memory: blocks stream by, nothing is lost.

For evaluation, where a missed neighbour would be counted against the embedder. One pass over the pool for all queries;
no index, no documents, no approximation. A first look in float32 keeps whatever could be among the k best given the
worst rounding error that it can have; what it keeps is scored again in float64. So the answer does not depend on the
size of blocks, the number of threads or the BLAS, and equal vectors come in order of their rows.

Weighed: `faiss.knn` with `faiss.ResultHeap` (MIT), which sorts equal scores otherwise and rounds with its BLAS;
`runs/bench_exact.py` times both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vretrver.errors import InvalidInput, MissingPath, RecordError

Block: TypeAlias = "tuple[int, NDArray[np.float32] | NDArray[np.float16]]"

BLOCK_ROWS = 8192
SCORE_BYTES = 32 * 2**20
_GATHER = 4096  # pairs scored again at once
_PAIRS = 2**20
_UNIT = 2.0**-24  # rounding error of one float32 operation, relative
_UNDERFLOW = 2.0**-149  # and absolute, of a product too small for float32
_LONGEST = 1e18  # two such vectors have a dot product that float32 holds


def exact_top(
    queries_Q_D: NDArray[np.float32], blocks: Iterable[Block], k: int, score_bytes: int = SCORE_BYTES
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k rows of highest dot product for each query, best first; equal scores with the lowest row first.

    Dot products are those of the given float32 (or float16) numbers, summed in float64. float32 serves as a sieve only:
    |fl(x.y) - x.y| <= D u |x| |y| / (1 - D u), u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms,
    eq. 3.5), so a row whose float32 score is further than that below the k-th best cannot be among the k best.

    Memory, beyond the queries: 32 bytes per query and result, two blocks as float32, and less than 150 MB.

    Args:
        queries_Q_D: Q queries.
        blocks: (number of the first row, vectors of shape (B, D)) in order of rows, without gaps, from row 0.
        k: how many rows.
        score_bytes: of float32 scores held at once; decides how many queries go together.

    Returns:
        Rows and scores, shape (Q, min(k, N)) each.

    Raises:
        InvalidInput: k is below 1, shapes do not fit, rows are missing or come twice, or a number is not finite.
    """
    if k < 1:
        raise InvalidInput(f"k is {k}; ask for at least 1 result")
    queries = np.ascontiguousarray(queries_Q_D, np.float32)
    if queries.ndim != 2:
        raise InvalidInput(f"queries have shape {queries.shape}; give (queries, dimensions)")
    best = _Best(queries, k, score_bytes)
    expected = 0
    for start, vectors in blocks:
        if start != expected:
            raise InvalidInput(f"a block starts at row {start}; row {expected} was to come next")
        if vectors.ndim != 2 or vectors.shape[1] != queries.shape[1]:
            raise InvalidInput(f"a block has shape {vectors.shape}; the queries have {queries.shape[1]} dimensions")
        best.add(start, np.ascontiguousarray(vectors, np.float32))
        expected += len(vectors)
    return best.rows, best.scores


def shards(paths: Sequence[str | PathLike[str]], block_rows: int = BLOCK_ROWS) -> Iterator[Block]:
    """Blocks of .npy files whose rows follow one another, read as they are asked for.

    Each block is mapped and let go again, so that a pool's pages do not add up in the process.

    Args:
        paths: float32 or float16 arrays of shape (rows, D), in order.

    Raises:
        MissingPath: a file does not exist.
        RecordError: a file is not such an array.
    """
    start = 0
    for path in paths:
        rows = len(_mapped(path))
        for first in range(0, rows, block_rows):
            block = np.array(_mapped(path)[first : first + block_rows], np.float32)
            yield start + first, block
        start += rows


class _Best:
    """The best rows so far: rows and scores of shape (Q, <= k), sorted."""

    def __init__(self, queries_Q_D: NDArray[np.float32], k: int, score_bytes: int) -> None:
        self._queries = queries_Q_D
        self._norms = _norms(queries_Q_D, "a query")
        self._k = k
        self._score_bytes = score_bytes
        self.rows = np.zeros((len(queries_Q_D), 0), np.int64)
        self.scores = np.zeros((len(queries_Q_D), 0), np.float64)

    def add(self, start: int, vectors_B_D: NDArray[np.float32]) -> None:
        """Take in one block."""
        size, dim = vectors_B_D.shape
        longest = float(_norms(vectors_B_D, f"a vector at or after row {start}").max(initial=0.0))
        # Twice the bound: it holds for the row in question and for the one that set the bar.
        slack_Q = 2 * dim * (_UNIT / (1 - dim * _UNIT) * longest * self._norms + _UNDERFLOW)
        full = self.scores.shape[1] == self._k
        self._widen(min(self._k, self.scores.shape[1] + size))
        step = max(1, self._score_bytes // max(1, 4 * size))
        for first in range(0, len(self._queries), step):
            part = slice(first, first + step)
            rough_Q_B = self._queries[part] @ vectors_B_D.T
            bar_Q = self.scores[part, -1] if full else self._first_bar(rough_Q_B)
            kept_Q_B = rough_Q_B >= _below(bar_Q - slack_Q[part])[:, None]
            # Where most of a pool ties, most of it is kept: few queries at once then.
            few = len(kept_Q_B) if np.count_nonzero(kept_Q_B) <= _PAIRS else max(1, _PAIRS // size)
            for at in range(0, len(kept_Q_B), few):
                query, row = np.divmod(
                    np.flatnonzero(kept_Q_B[at : at + few]), size
                )  # nonzero() takes ten times as long
                self._merge(query + first + at, row, start, vectors_B_D)

    def _first_bar(self, rough_Q_B: NDArray[np.float32]) -> NDArray[np.float64]:
        """While fewer than k rows are known: the k-th best of a block that has as many, else none."""
        size = rough_Q_B.shape[1]
        if size <= self._k:
            return np.full(len(rough_Q_B), -np.inf)
        return np.partition(rough_Q_B, size - self._k, axis=1)[:, size - self._k].astype(np.float64)

    def _widen(self, width: int) -> None:
        more = ((0, 0), (0, width - self.scores.shape[1]))
        self.rows = np.pad(self.rows, more, constant_values=-1)
        self.scores = np.pad(self.scores, more, constant_values=-np.inf)

    def _merge(
        self, query: NDArray[np.int64], row: NDArray[np.int64], start: int, vectors_B_D: NDArray[np.float32]
    ) -> None:
        """Score pairs of a query and a row of the block, and keep the best of the queries that they touch."""
        score = _dots(self._queries, vectors_B_D, query, row)
        touched, query = np.unique(query, return_inverse=True)
        size, width = len(touched), self.rows.shape[1]
        queries = np.concatenate([np.repeat(np.arange(size), width), query])
        rows = np.concatenate([self.rows[touched].ravel(), row + start])
        scores = np.concatenate([self.scores[touched].ravel(), score])
        order = np.lexsort((rows, -scores, queries))
        firsts = np.searchsorted(queries[order], np.arange(size))
        chosen = order[firsts[:, None] + np.arange(width)]
        self.rows[touched], self.scores[touched] = rows[chosen], scores[chosen]


def _dots(
    queries_Q_D: NDArray[np.float32], vectors_B_D: NDArray[np.float32], query: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dot products in float64 of pairs (query, row): each summed by itself, so equal vectors get equal scores."""
    scores = np.empty(len(row))
    for first in range(0, len(row), _GATHER):
        part = slice(first, first + _GATHER)
        products = vectors_B_D[row[part]].astype(np.float64)
        products *= queries_Q_D[query[part]]
        scores[part] = products.sum(axis=1)
    return scores


def _below(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The values in float32, never rounded up."""
    return np.nextafter(values.astype(np.float32), np.float32(-np.inf))


def _norms(vectors_N_D: NDArray[np.float32], what: str) -> NDArray[np.float64]:
    norms_N = np.sqrt(np.einsum("nd,nd->n", vectors_N_D, vectors_N_D, dtype=np.float64))
    if not (norms_N < _LONGEST).all():
        raise InvalidInput(f"{what} holds a number that is not finite, or is longer than {_LONGEST:g}; normalise it")
    return np.asarray(norms_N, np.float64)


def _mapped(path: str | PathLike[str]) -> NDArray[np.float32]:
    if not Path(path).is_file():
        raise MissingPath(f"no such shard: {path}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as fault:
        raise RecordError(f"{path} is not an array file (.npy): {str(fault)[:200]}") from fault
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype not in (np.float32, np.float16):
        raise RecordError(f"{path} does not hold a float32 or float16 array of shape (rows, dimensions)")
    return array

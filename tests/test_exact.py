from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.evaluation.exact import exact_top, shards

Rows = NDArray[np.float32]


def blocks(vectors: Rows, size: int) -> Iterator[tuple[int, Rows]]:
    for start in range(0, len(vectors), size):
        yield start, vectors[start : start + size]


def brute(queries: Rows, vectors: Rows, k: int) -> list[list[int]]:
    """In float64, row by row."""
    found = []
    for query in queries.astype(np.float64):
        scores = [(-float((vector * query).sum()), row) for row, vector in enumerate(vectors.astype(np.float64))]
        found.append([row for _, row in sorted(scores)[:k]])
    return found


def test_a_case_for_the_head() -> None:
    vectors = np.array([[1, 0], [0, 2], [3, 0], [0, 2]], np.float32)
    rows, scores = exact_top(np.array([[1, 0], [0, 1]], np.float32), blocks(vectors, 3), 3)
    assert rows.tolist() == [[2, 0, 1], [1, 3, 0]]
    assert scores.tolist() == [[3, 1, 0], [2, 2, 0]]
    assert rows.dtype == np.int64 and scores.dtype == np.float64


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 60),
    dim=st.integers(1, 40),
    queries=st.integers(0, 7),
    k=st.integers(1, 70),
    block=st.integers(1, 61),
    copies=st.integers(1, 60),
)
def test_it_is_brute_force_whatever_the_blocks(
    seed: int, size: int, dim: int, queries: int, k: int, block: int, copies: int
) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((size, dim)).astype(np.float32)
    vectors[random.integers(0, size, copies)] = vectors[0]  # equal vectors, so that ties decide
    asked = random.standard_normal((queries, dim)).astype(np.float32)
    rows, scores = exact_top(asked, blocks(vectors, block), k)
    assert rows.tolist() == brute(asked, vectors, k)
    assert scores.shape == (queries, min(k, size))
    assert (np.diff(scores, axis=1) <= 0).all()


def test_float32_rounding_decides_nothing() -> None:
    """Rows that differ by less than float32 sums can tell, in an order that only float64 finds."""
    random = np.random.default_rng(1)
    vectors = np.repeat(random.standard_normal((1, 512)), 3000, axis=0).astype(np.float32)
    nudged = random.integers(0, 512, 3000)
    at = np.arange(3000)
    vectors[at, nudged] = np.nextafter(vectors[at, nudged], np.float32(9))
    query = random.standard_normal((2, 512)).astype(np.float32)
    want = brute(query, vectors, 20)
    assert exact_top(query, blocks(vectors, 700), 20)[0].tolist() == want
    assert [np.argsort(-row, kind="stable")[:20].tolist() for row in query @ vectors.T] != want


def test_queries_in_several_parts_give_the_same() -> None:
    random = np.random.default_rng(2)
    vectors, asked = (random.standard_normal((size, 16)).astype(np.float32) for size in (500, 33))
    whole = exact_top(asked, blocks(vectors, 100), 5)
    parts = exact_top(asked, blocks(vectors, 100), 5, score_bytes=4 * 4 * 100)  # four queries at once
    assert np.array_equal(whole[0], parts[0]) and np.array_equal(whole[1], parts[1])


def test_a_pool_of_equal_vectors_comes_in_order_of_rows() -> None:
    vectors = np.ones((5000, 4), np.float32)
    asked = np.ones((300, 4), np.float32)  # 1.5 million pairs tie
    rows, scores = exact_top(asked, blocks(vectors, 5000), 3)
    assert rows.tolist() == [[0, 1, 2]] * 300 and (scores == 4).all()


def test_shards_follow_one_another_in_half_or_single_precision(tmp_path: Path) -> None:
    vectors = np.random.default_rng(3).standard_normal((50, 8)).astype(np.float16)
    np.save(tmp_path / "a.npy", vectors[:20])
    np.save(tmp_path / "b.npy", vectors[20:].astype(np.float32))
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    read = list(shards(paths, 7))
    assert [start for start, _ in read] == [0, 7, 14, 20, 27, 34, 41, 48]
    asked = vectors[[30, 2]].astype(np.float32)
    assert exact_top(asked, shards(paths, 7), 4)[0].tolist() == brute(asked, vectors.astype(np.float32), 4)


def test_what_cannot_be_searched() -> None:
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(InvalidInput, match="k is 0"):
        exact_top(vectors, [(0, vectors)], 0)
    with pytest.raises(InvalidInput, match="row 3 was to come"):
        exact_top(vectors, [(0, vectors), (4, vectors)], 1)
    with pytest.raises(InvalidInput, match="3 dimensions"):
        exact_top(vectors, [(0, vectors[:, :2])], 1)
    with pytest.raises(InvalidInput, match=r"shape \(3,\)"):
        exact_top(vectors[0], [(0, vectors)], 1)
    with pytest.raises(InvalidInput, match="not finite"):
        exact_top(vectors, [(0, vectors * np.nan)], 1)
    with pytest.raises(InvalidInput, match="a query holds"):
        exact_top(vectors * np.float32(1e30), [(0, vectors)], 1)
    tiny = vectors * np.float32(1e-30)
    assert exact_top(tiny, [(0, tiny * np.array([[1], [3], [2]], np.float32))], 3)[0].tolist()[1] == [1, 0, 2]
    rows, scores = exact_top(vectors, [], 5)
    assert rows.shape == scores.shape == (3, 0)


def test_files_that_are_no_shards(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="no such shard"):
        list(shards([tmp_path / "none.npy"]))
    (tmp_path / "text.npy").write_text("no")
    with pytest.raises(RecordError, match="not an array file"):
        list(shards([tmp_path / "text.npy"]))
    np.save(tmp_path / "ints.npy", np.zeros((2, 2), np.int64))
    with pytest.raises(RecordError, match="float32 or float16"):
        list(shards([tmp_path / "ints.npy"]))

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.indexes.scan import dots, search, top

SCORES = st.lists(st.integers(-3, 3), max_size=30).map(lambda values: np.array(values, np.float32))


@given(SCORES, st.integers(1, 40))
def test_top_is_a_stable_sort_cut_at_k(scores: np.ndarray, k: int) -> None:
    expected = sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:k]
    assert top(scores, k).tolist() == expected


def test_search_finds_the_nearest_and_keeps_float32() -> None:
    vectors = np.eye(4, dtype=np.float32)
    (rows, scores), (second, _) = search(vectors, np.array([[0, 1, 0.5, 0], [0, 0, 0, 1]], np.float64), 2)
    assert rows.tolist() == [1, 2]
    assert scores.tolist() == [1.0, 0.5]
    assert scores.dtype == np.float32
    assert second.tolist() == [3, 0]


def test_a_mask_and_a_k_beyond_the_pool() -> None:
    vectors = np.eye(4, dtype=np.float32)
    ((rows, _),) = search(vectors, vectors[:1], 99, np.array([False, True, False, True]))
    assert rows.tolist() == [1, 3]
    ((nothing, _),) = search(vectors, vectors[:1], 5, np.zeros(4, bool))
    assert nothing.tolist() == []


def test_blocks_give_what_one_product_gives() -> None:
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(7, 8)).astype(np.float32)
    np.testing.assert_allclose(np.stack(list(dots(vectors, queries, block_bytes=400))), queries @ vectors.T, rtol=1e-5)


def test_what_cannot_be_asked() -> None:
    with pytest.raises(InvalidInput, match="k is 0"):
        top(np.zeros(3, np.float32), 0)
    with pytest.raises(InvalidInput, match="vectors of 4"):
        list(dots(np.eye(4, dtype=np.float32), np.zeros((1, 5), np.float32)))

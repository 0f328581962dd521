from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.fusion import SIGNALS, Weights, confidences, fitted, fuse, shaped, standing
from vretrver.types import Candidate, Document, Modality

MODALITIES: tuple[Modality, ...] = ("text", "image", "image,text")
BULK = np.random.default_rng(0).normal(0.2, 0.05, 1000).astype(np.float32)


def candidates(*scores: float) -> list[Candidate]:
    return [Candidate(Document(f"d{at}", "x"), score, at + 1) for at, score in enumerate(scores)]


def test_a_vector_counts_by_its_distance_from_the_pool_in_deviations() -> None:
    scores = np.array([0.1, 0.3], np.float32)
    assert shaped("vector", scores).tolist() == pytest.approx([-1.0, 1.0])
    assert shaped("words", scores).tolist() == pytest.approx([0.1, 0.3])
    assert shaped("vector", np.array([0.5], np.float32)).tolist() == [0.0], "one row has nobody to stand out from"


def test_the_scale_of_an_embedder_does_not_matter() -> None:
    np.testing.assert_allclose(shaped("vector", BULK), shaped("vector", 7 * BULK + 3), atol=1e-3)


def test_the_sum_and_its_parts() -> None:
    signals = {"vector": np.array([0.1, 0.3], np.float32), "words": np.array([4, 0], np.float32)}
    total, parts = fuse(signals, Weights({"vector": 2.0, "words": 0.5, "colour": 9.0}))
    assert total.tolist() == pytest.approx([0.0, 2.0], abs=1e-5)
    assert set(parts) == {"vector", "words"}
    assert parts["words"].tolist() == [2.0, 0.0]


def test_a_signal_without_weight_and_a_pool_without_rows() -> None:
    total, parts = fuse({"vector": BULK}, Weights({}))
    assert not total.any()
    assert parts == {}
    assert fuse({"vector": BULK[:0]}, Weights({"vector": 1.0}))[0].shape == (0,)


@pytest.mark.parametrize("modality", MODALITIES)
def test_packaged_weights_are_usable(modality: Modality) -> None:
    weights = fitted()[modality]
    assert set(weights.signals) <= set(SIGNALS)
    assert weights.signals["vector"] > 0
    assert all(weight > 0 for weight in weights.signals.values())
    assert weights.slope >= 0
    assert weights.lead >= 0
    assert weights.fade >= 0


@pytest.mark.parametrize("size", [100, 1000, 100_000])
def test_a_rare_exact_figure_outweighs_the_best_vector(size: int) -> None:
    """A text query that quotes an invoice number: one row has it, another has by far the nearest vector."""
    vector = np.random.default_rng(1).normal(0.2, 0.05, size).astype(np.float32)
    vector[0] = vector.max() + 0.05
    vector[1] = 0.2
    words = np.zeros(size, np.float32)
    words[1] = 2 * math.log(size)  # two tokens that no other row has
    total, _ = fuse({"vector": vector, "words": words}, fitted()["text"])
    assert total.argmax() == 1


def test_where_a_score_stands() -> None:
    score, lead, rank, one = standing(np.array([5, 3, 1], np.float32)).T.tolist()
    assert (score, lead, one) == ([5, 3, 1], [2, -2, -4], [1, 1, 1])
    assert rank == pytest.approx([0, math.log(2), math.log(3)])
    assert standing(np.array([5], np.float32)).tolist() == [[5, 0, 0, 1]]
    assert standing(np.array([], np.float32)).shape == (0, 4)


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20), st.sampled_from(MODALITIES))
def test_confidence_is_a_probability_that_falls_with_rank(scores: list[float], modality: Modality) -> None:
    found = confidences(candidates(*sorted(scores, reverse=True)), modality)
    assert all(0 <= value <= 1 for value in found)
    assert found == sorted(found, reverse=True)

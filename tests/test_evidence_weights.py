"""The small model of the evidence agent: numbers that can be checked in the head."""

from __future__ import annotations

import numpy as np
import pytest

from vretrver import Candidate, Document, ImageRef, Query
from vretrver.policies.evidence.weights import Weights, coarse_z, fitted, kind_of, probabilities, weights_for


def candidate(at: int, score: float, text: str | None = None, fused: bool = False) -> Candidate:
    image = None if text else ImageRef(path=f"{at}.png")
    return Candidate(Document(str(at), text, image), score, at + 1, {"vector": score} if fused else {})


def test_coarse_scores_are_standardised() -> None:
    assert coarse_z([candidate(0, 3.0), candidate(1, 1.0)]).tolist() == [1.0, -1.0]


def test_scores_that_hardly_differ_stay_close() -> None:
    z = coarse_z([candidate(0, 2.01, fused=True), candidate(1, 1.99, fused=True)])
    assert z == pytest.approx([0.04, -0.04])  # a hundredth of a pool's deviation, over the least of a quarter


def test_equal_scores_say_nothing() -> None:
    assert coarse_z([candidate(0, 0.0), candidate(1, 0.0)]).tolist() == [0.0, 0.0]
    assert coarse_z([]).tolist() == []


def test_score_is_a_weighted_sum() -> None:
    weights = Weights(coarse=2.0, signals={"said": 3.0, "asked": 1.0})
    design = {"said": np.array([0.5, -0.5]), "asked": np.zeros(2)}
    assert weights.scores(design, np.array([-1.0, 1.0])).tolist() == [-0.5, 0.5]


def test_probabilities_sum_to_one_and_survive_large_scores() -> None:
    assert probabilities(np.array([1000.0, 1000.0])).tolist() == [0.5, 0.5]
    assert probabilities(np.array([])).size == 0


def test_a_kind_that_was_never_fitted_takes_the_nearest() -> None:
    kinds = {"text>image": Weights(coarse=1.0), "text>*": Weights(coarse=2.0), "*": Weights(coarse=3.0)}
    assert [weights_for(kinds, kind).coarse for kind in ("text>image", "text>text", "image>text")] == [1.0, 2.0, 3.0]


def test_the_kind_is_the_query_against_the_commonest_candidate() -> None:
    candidates = [candidate(0, 1.0), candidate(1, 1.0, "a caption"), candidate(2, 1.0, "another")]
    assert kind_of(Query("text"), candidates) == "text>text"


def test_the_packaged_weights_are_sane() -> None:
    kinds, centre = fitted()
    assert "*" in kinds
    for weights in kinds.values():
        assert weights.coarse > 0
        assert all(weight >= 0 for weight in weights.signals.values())
        confident = weights.confidence(np.array([0.05, 0.5, 0.99]))
        assert np.all(np.diff(confident) > 0)
    assert np.all(np.isfinite(centre))

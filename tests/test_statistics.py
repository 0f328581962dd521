from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.evaluation.statistics import auc, calibration, interval, kendall_tau, paired_interval, sign_p


def test_an_interval_of_equal_values_is_a_point() -> None:
    assert interval([0.5] * 7) == (0.5, 0.5)
    assert interval([1.0]) == (1.0, 1.0)


def test_an_interval_is_the_same_every_time_and_of_the_known_width() -> None:
    half = [0.0, 1.0] * 200
    low, high = interval(half)
    assert (low, high) == interval(half)
    # the standard error is 0.5 / sqrt(400) = 0.025, and 95 % lie within 1.96 of it
    assert low == pytest.approx(0.451, abs=0.004) and high == pytest.approx(0.549, abs=0.004)
    narrow = interval(half, level=0.5)
    assert low < narrow[0] < narrow[1] < high


@pytest.mark.parametrize("kind", ["hits", "many"])
def test_the_interval_covers_the_true_mean_as_often_as_it_says(kind: str) -> None:
    draw = np.random.default_rng(5)
    covered = 0
    for seed in range(300):
        values = draw.random(120) < 0.3 if kind == "hits" else draw.gamma(4.0, 0.25, 120)
        low, high = interval(values, resamples=500, seed=seed, level=0.9)
        covered += low <= (0.3 if kind == "hits" else 1.0) <= high
    # binomial(300, 0.9) has a standard deviation of 5.2 around 270; the percentile method covers a little less
    assert 252 <= covered <= 285


def test_few_and_many_distinct_values_give_the_same_distribution() -> None:
    draw = np.random.default_rng(1)
    hits = (draw.random(500) < 0.2).astype(float)
    jitter = hits + draw.normal(0, 1e-9, 500)  # all distinct, so drawn one by one
    assert interval(hits) == pytest.approx(interval(jitter), abs=0.003)


def test_pairs_that_move_together_differ_surely() -> None:
    before = np.random.default_rng(2).random(200)
    low, high = paired_interval(before, before + 0.01)
    assert low == pytest.approx(0.01) and high == pytest.approx(0.01)
    low, high = paired_interval([0, 1, 0, 1] * 20, [1, 0, 1, 0] * 20)
    assert low < 0 < high


@pytest.mark.parametrize(
    ("values", "options"),
    [([], {}), ([[1.0]], {}), ([float("nan")], {}), ([1.0], {"resamples": 0}), ([1.0], {"level": 1.0})],
)
def test_what_has_no_interval_is_refused(values: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        interval(values, **options)
    with pytest.raises(InvalidInput, match="1 values before and 2 after"):
        paired_interval([1], [1, 2])


def test_the_sign_test_is_exact() -> None:
    assert sign_p(0, 0) == 1
    assert sign_p(5, 0) == 2 / 32
    assert sign_p(1, 9) == 2 * (1 + 10) / 1024
    assert sign_p(3, 3) == 1  # more than all of it, cut to 1
    assert sign_p(2000, 0) < 1e-300  # and no overflow on the way
    assert 0.9 < sign_p(6_000, 6_005) <= 1
    with pytest.raises(InvalidInput):
        sign_p(-1, 2)


def test_the_sign_test_agrees_with_scipy() -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    for wins, losses in ((1, 0), (3, 9), (40, 22), (100, 140), (7, 7)):
        assert sign_p(wins, losses) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)


def test_calibration_by_hand() -> None:
    found = calibration([0.2, 0.4, 0.9, 1.0], [0, 1, 1, 1], bins=2)
    # low bin: confidence 0.3, right 0.5; high bin: 0.95 and 1; each holds half of the four
    assert found["ece"] == pytest.approx(0.5 * 0.2 + 0.5 * 0.05)
    assert [(b["low"], b["high"], b["n"], b["right"]) for b in found["bins"]] == [(0, 0.5, 2, 0.5), (0.5, 1, 2, 1)]
    assert found["bins"][0]["confidence"] == pytest.approx(0.3)


def test_empty_bins_say_so_and_an_edge_belongs_to_the_upper_bin() -> None:
    rows = calibration([0.5], [True], bins=4)["bins"]
    assert [row["n"] for row in rows] == [0, 0, 1, 0]
    assert rows[0]["confidence"] is None and rows[0]["right"] is None


@pytest.mark.parametrize(("confidence", "right"), [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([float("nan")], [1])])
def test_what_cannot_be_calibrated_is_refused(confidence: list[float], right: list[int]) -> None:
    with pytest.raises(InvalidInput):
        calibration(confidence, right)


def test_kendall_by_hand() -> None:
    assert kendall_tau("abcd", "abcd") == 1
    assert kendall_tau("abcd", "dcba") == -1
    assert kendall_tau("abcd", "bacd") == 1 - 2 * 1 / 6
    assert kendall_tau("a", "a") == kendall_tau("", "") == 1
    for other in ("abce", "abc", "aabc"):
        with pytest.raises(InvalidInput, match="permutations of the same ids"):
            kendall_tau("abcd", other)


@given(st.permutations([str(n) for n in range(9)]), st.permutations([str(n) for n in range(9)]))
def test_kendall_agrees_with_the_definition_over_pairs(a: list[str], b: list[str]) -> None:
    agree = sum(
        1 if (a.index(x) < a.index(y)) == (b.index(x) < b.index(y)) else -1 for x in a for y in a if x < y
    )  # fmt: skip
    assert kendall_tau(a, b) == pytest.approx(agree / 36)
    assert kendall_tau(b, a) == pytest.approx(kendall_tau(a, b))


def test_kendall_agrees_with_scipy() -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(3)
    order = [int(n) for n in draw.permutation(200)]
    theirs = stats.kendalltau(np.argsort(order), np.arange(200)).statistic
    assert kendall_tau([str(n) for n in range(200)], [str(n) for n in order]) == pytest.approx(theirs)


def test_the_interval_agrees_with_scipy() -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(4).beta(2, 5, 300)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    assert interval(values) == pytest.approx((theirs.low, theirs.high), abs=0.002)


def test_auc_by_hand() -> None:
    assert auc([0.1, 0.9], [False, True]) == 1.0
    assert auc([0.9, 0.1], [False, True]) == 0.0
    assert auc([0.5, 0.5, 0.5], [False, True, True]) == 0.5
    assert auc([1, 2, 3, 4], [False, True, False, True]) == 3 / 4
    assert auc([1, 2], [True, True]) is None and auc([], []) is None
    with pytest.raises(InvalidInput, match="1 scores and 2 truth values"):
        auc([1.0], [True, False])
    with pytest.raises(InvalidInput, match="one number to each"):
        auc([float("nan")], [True])

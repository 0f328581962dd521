"""How sure a difference is, whether a confidence means what it says, and how alike two orders are.

`scipy.stats.bootstrap` was weighed: it would bring scipy to every install for one resampled mean, and its BCa
correction needs a jackknife that adds nothing for the mean of many bounded values. The tests hold this module against
scipy where it is installed. It leaves out measures (`vretrver.metrics`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vretrver.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
_BLOCK = 1 << 20  # draws held at once: 8 MB of indices and as much of values


def interval(
    values_N: ArrayLike, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap of a mean (Efron and Tibshirani, 1993, ch. 13): low and high end.

    N values are drawn with replacement `resamples` times; the interval runs from the (1 - level) / 2 quantile of the
    means to its mirror. The same arguments give the same interval. Where the values are few distinct ones, as hits
    are, the number of times each is drawn is drawn instead: the same distribution, in milliseconds at N = 190k.

    Args:
        values_N: one finite value per topic.

    Raises:
        InvalidInput: there are no values, one is not finite, or resamples or level are out of range.
    """
    import numpy as np

    values = _checked(values_N, resamples, level)
    means = _resampled_means(values, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_interval(
    before_N: ArrayLike, after_N: ArrayLike, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """`interval` of the mean of after - before, topic by topic: zero outside it means the change is no accident.

    Raises:
        InvalidInput: as `interval`, or the two are not equally long.
    """
    import numpy as np

    before, after = np.asarray(before_N, dtype=np.float64), np.asarray(after_N, dtype=np.float64)
    if before.shape != after.shape:
        raise InvalidInput(f"{before.size} values before and {after.size} after; pairs need one of each per topic")
    return interval(after - before, resamples, seed, level)


def sign_p(wins: int, losses: int) -> float:
    """Two-sided exact sign test, ties left out: min(1, 2 * P(X <= min(wins, losses))).

    X ~ Binomial(wins + losses, 1/2). 1.0 when there was neither a win nor a loss.

    Raises:
        InvalidInput: a count is negative.
    """
    if wins < 0 or losses < 0:
        raise InvalidInput(f"{wins} wins and {losses} losses; counts are 0 or more")
    n, least = wins + losses, min(wins, losses)
    term = tail = 1  # C(n, 0); each next one from the last, in whole numbers
    for i in range(least):
        term = term * (n - i) // (i + 1)
        tail += term
    return min(1.0, (2 * tail) / (1 << n))


def calibration(confidence_N: ArrayLike, right_N: ArrayLike, bins: int = 10) -> dict[str, Any]:
    """Reliability curve and expected calibration error: ECE = sum over bins of n_b / N * |right_b - confidence_b|.

    Bins are equally wide: [0, 1/B), ..., [1 - 1/B, 1]. right_b is the share that was right in a bin, confidence_b the
    mean confidence there (Naeini et al., AAAI 2015; Guo et al., ICML 2017).

    Args:
        confidence_N: 0..1. right_N: truth values.

    Returns:
        {"ece": float, "bins": [{"low", "high", "n", "confidence", "right"}]}; the last two are None in an empty bin.

    Raises:
        InvalidInput: nothing to bin, lengths differ, or a confidence is outside 0..1.
    """
    import numpy as np

    confidence, right = np.asarray(confidence_N, dtype=np.float64), np.asarray(right_N, dtype=np.float64)
    if confidence.ndim != 1 or confidence.shape != right.shape or not confidence.size or bins < 1:
        raise InvalidInput(
            f"{confidence.size} confidences, {right.size} outcomes, {bins} bins; one outcome to each confidence is "
            "needed, and one or more of everything"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise InvalidInput("a confidence is outside 0..1 or not a number")
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=confidence, minlength=bins)
    rights = np.bincount(place, weights=right, minlength=bins)
    ece = float(np.abs(rights - sums).sum() / confidence.size)
    rows = [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "n": int(n),
            "confidence": float(sums[b] / n) if n else None,
            "right": float(rights[b] / n) if n else None,
        }
        for b, n in enumerate(counts)
    ]
    return {"ece": ece, "bins": rows}


def auc(score_N: ArrayLike, positive_N: ArrayLike) -> float | None:
    """Area under the ROC curve: P(a positive scores higher than a negative), ties half; None without one of both.

    By ranks, as the Mann-Whitney statistic (Hanley and McNeil, 1982), in O(N log N).

    Raises:
        InvalidInput: the lengths differ, or a score is not a number.
    """
    import numpy as np

    score, positive = np.asarray(score_N, dtype=np.float64), np.asarray(positive_N, dtype=bool)
    if score.ndim != 1 or score.shape != positive.shape or np.isnan(score).any():
        raise InvalidInput(f"{score.size} scores and {positive.size} truth values; one number to each is needed")
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return None
    _values, at, counts = np.unique(score, return_inverse=True, return_counts=True)
    midranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return float((midranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def kendall_tau(order_a: Sequence[str], order_b: Sequence[str]) -> float:
    """Kendall's tau of two orders of the same ids: 1 - 4 * swaps / (n * (n - 1)); 1 equal, -1 reversed; 1 when n < 2.

    `swaps` is the number of pairs in opposite order (Kendall, 1938), counted by merging in O(n log n).

    Raises:
        InvalidInput: the two are not permutations of the same ids.
    """
    place = {name: at for at, name in enumerate(order_a)}
    n = len(order_a)
    if len(place) != n or len(order_b) != n or set(order_b) != place.keys():
        raise InvalidInput(f"two orders of {n} and {len(order_b)} ids are not permutations of the same ids")
    if n < 2:
        return 1.0
    return 1 - 4 * _inversions([place[name] for name in order_b])[0] / (n * (n - 1))


def _inversions(values: list[int]) -> tuple[int, list[int]]:
    """The number of pairs out of order, and the values sorted."""
    if len(values) < 2:
        return 0, values
    middle = len(values) // 2
    left_count, left = _inversions(values[:middle])
    right_count, right = _inversions(values[middle:])
    count, at, merged = left_count + right_count, 0, []
    for value in right:
        while at < len(left) and left[at] < value:
            merged.append(left[at])
            at += 1
        count += len(left) - at
        merged.append(value)
    return count, merged + left[at:]


def _checked(values_N: ArrayLike, resamples: int, level: float) -> NDArray[np.float64]:
    import numpy as np

    values: NDArray[np.float64] = np.asarray(values_N, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise InvalidInput(f"values of shape {values.shape}; one value per topic is needed, and one or more topics")
    if not np.isfinite(values).all():
        raise InvalidInput("a value is not a finite number")
    if resamples < 1 or not 0 < level < 1:
        raise InvalidInput(f"resamples {resamples} and level {level}; resamples are 1 or more, a level is within 0..1")
    return values


def _resampled_means(values: NDArray[np.float64], resamples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """The mean of each resample, shape (resamples,).

    How often each distinct value is drawn is multinomial, so few distinct values need no draws of single topics.
    """
    import numpy as np

    distinct, counts = np.unique(values, return_counts=True)
    n = values.size
    means = np.empty(resamples)
    few = distinct.size <= max(2, n // 16)
    width = distinct.size if few else n
    step = max(1, _BLOCK // width)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        if few:
            drawn = random.multinomial(n, counts / n, size=rows)
            means[start : start + rows] = drawn @ distinct / n
        else:
            means[start : start + rows] = values[random.integers(0, n, size=(rows, n))].mean(axis=1)
    return means

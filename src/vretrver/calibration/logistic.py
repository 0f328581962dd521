"""Logistic regression on named signals: its weights, what they say, and how they are fitted.

scikit-learn's was weighed: thirty lines of Newton's method need no dependency and give the same weights (the tests
compare them where it is installed).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vretrver.errors import InvalidInput

Signals = Mapping[str, NDArray[np.float64]]
RIDGE = 1e-3
_STEPS = 100
_FARTHEST = 30.0  # logits beyond are as good as certain


@dataclass(frozen=True, slots=True)
class Logistic:
    """chance = sigmoid(offset + sum over signals s of weights[s] * signal_s); what has no weight counts nothing."""

    weights: Mapping[str, float] = field(default_factory=dict)
    offset: float = 0.0

    def chances(self, signals: Signals) -> NDArray[np.float64]:
        """Chance of each row, shape (N,).

        Args:
            signals: by name, shape (N,) each; every weighted one must be there.
        """
        size = len(next(iter(signals.values())))
        total = np.full(size, self.offset)
        for name, weight in self.weights.items():
            total += weight * signals[name]
        return np.asarray(1 / (1 + np.exp(-np.clip(total, -_FARTHEST, _FARTHEST))))

    @classmethod
    def from_record(cls, record: Any, known: Collection[str]) -> Logistic:
        """The weights of a JSON object.

        Raises:
            InvalidInput: a signal that is not known, or a weight that is no finite number.
        """
        weights = {str(name): _finite(name, weight) for name, weight in record["weights"].items()}
        if unknown := sorted(weights.keys() - set(known)):
            raise InvalidInput(f"unknown signal {unknown[0]!r}; a calibration weighs {', '.join(sorted(known))}")
        return cls(weights, _finite("offset", record["offset"]))


def fit(signals: Signals, right_N: ArrayLike, counts_N: ArrayLike | None = None, ridge: float = RIDGE) -> Logistic:
    """The weights of the greatest penalised likelihood, by Newton's method.

        mean over rows of counts * log-loss + ridge / 2 * |weights of standardised signals|^2

    Args:
        signals: by name, shape (N,) each; one that never varies gets no weight.
        right_N: truth values.
        counts_N: how much each row counts; all the same when None.
        ridge: keeps weights finite where rows can be told apart without fault.

    Raises:
        InvalidInput: no rows, or all of them are right, or none.
    """
    right = np.asarray(right_N, float)
    if not right.size or right.min() == right.max():
        raise InvalidInput(f"{right.size} results, {int(right.sum())} of them right: a fit needs both right and wrong")
    counts = np.ones_like(right) if counts_N is None else np.asarray(counts_N, float)
    counts = counts / counts.sum()
    rows = np.stack([np.asarray(values, float) for values in signals.values()], axis=1)
    mean = counts @ rows
    scale = np.sqrt(counts @ (rows - mean) ** 2)
    varies = scale > 1e-9
    X = np.ones((len(rows), int(varies.sum()) + 1))
    X[:, :-1] = (rows[:, varies] - mean[varies]) / scale[varies]
    beta = _newton(X, right, counts, ridge)
    weights = beta[:-1] / scale[varies]
    names = [name for name, kept in zip(signals, varies, strict=True) if kept]
    rounded = {name: round(float(weight), 5) for name, weight in zip(names, weights, strict=True)}
    return Logistic(rounded, round(float(beta[-1] - weights @ mean[varies]), 5))


def _newton(
    X: NDArray[np.float64], right: NDArray[np.float64], counts: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Weights of the columns of X, the last of which is the offset and goes unpunished."""
    punished = np.full(X.shape[1], ridge)
    punished[-1] = 1e-9
    beta = np.zeros(X.shape[1])
    for _step in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(X @ beta, -_FARTHEST, _FARTHEST)))
        gradient = X.T @ (counts * (chance - right)) + punished * beta
        curvature = (X * (counts * chance * (1 - chance))[:, None]).T @ X + np.diag(punished)
        step = np.linalg.solve(curvature, gradient)
        step *= min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))  # a long step can leave the basin
        beta -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return beta


def _finite(name: str, value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise InvalidInput(f"the weight of {name} is {number}; it must be a finite number")
    return number

"""One score from several signals, and how likely that score is to be right. Pure arithmetic on arrays.

    score = sum over signals s of weight[modality, s] * shape_s(signal)

`vector` enters as its distance from the pool's mean in standard deviations: so it is strong where the embedder tells
this query's answer from the rest, on any embedder's scale, and weak where it does not. `words` and `printed` enter as
nats of matched rarity: a common word adds little, an invoice number outweighs any vector. Colours enter as they are,
0..1. Weights are fitted on validation queries by `runs/fusion/fit.py` and kept in `fusion.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from vretrver.types import Candidate, Modality

SIGNALS = ("vector", "words", "printed", "colour", "palette")
_LEAST_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class Weights:
    """What each signal counts, per query modality.

    Args:
        signals: weight by signal name; one that is missing counts nothing.
        slope, lead, fade, offset: confidence = sigmoid(slope * score + lead * (score - best rival's score)
            - fade * log(rank) + offset).
    """

    signals: Mapping[str, float]
    slope: float = 1.0
    lead: float = 0.0
    fade: float = 0.0
    offset: float = -4.0


@lru_cache(maxsize=1)
def fitted() -> dict[Modality, Weights]:
    """The packaged weights, by query modality."""
    record = json.loads(files("vretrver").joinpath("fusion.json").read_text(encoding="utf-8"))
    return {modality: Weights(**weights) for modality, weights in record["modalities"].items()}


def shaped(name: str, scores_M: NDArray[np.float32]) -> NDArray[np.float32]:
    """A signal as it enters the sum: `vector` standardised over the pool, all others as they are."""
    if name != "vector" or not len(scores_M):
        return scores_M
    deviation = max(float(scores_M.std()), _LEAST_DEVIATION)
    return np.asarray((scores_M - scores_M.mean()) / deviation, np.float32)


def fuse(
    signals: Mapping[str, NDArray[np.float32]], weights: Weights
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """The score of every row, shape (M,), and what each signal contributed to it."""
    parts = {
        name: np.float32(weight) * shaped(name, signals[name])
        for name, weight in weights.signals.items()
        if name in signals and weight
    }
    size = len(next(iter(signals.values())))
    total = np.zeros(size, np.float32)
    for part in parts.values():
        total += part
    return total, parts


def standing(scores_K: NDArray[np.float32]) -> NDArray[np.float64]:
    """What confidence is judged by, scores best first: shape (K, 4).

    The score; its lead over the best other one (negative for all but the first); log(rank); 1.
    """
    scores = np.asarray(scores_K, np.float64)
    rivals = np.full(len(scores), scores[0] if len(scores) else 0.0)
    rivals[:1] = scores[:2][-1:]
    return np.stack([scores, scores - rivals, np.log(np.arange(1, len(scores) + 1)), np.ones(len(scores))], axis=1)


def confidences(candidates: Sequence[Candidate], modality: Modality) -> list[float]:
    """How likely each candidate answers the query, 0..1, from the coarse stage's scores alone.

    Args:
        candidates: of one query, best first, as `Retriever.search` gave them.
        modality: the query's.
    """
    weights = fitted()[modality]
    scores = np.array([candidate.score for candidate in candidates], np.float32)
    beta = np.array([weights.slope, weights.lead, -weights.fade, weights.offset])
    logits = np.clip(standing(scores) @ beta, -30, 30)
    return [float(value) for value in 1 / (1 + np.exp(-logits))]

"""How much each signal counts, when looking pays, and how likely a candidate is to answer: a small fitted model.

    score(c) = coarse * z(c) + sum over signals s of weight[s] * signal_s(c)

z is the coarse score, standardised within the window; likenesses are standardised among the candidates that were
looked at, shares and overlaps only centred: so the weights carry over to other collections and other embedders. A
signal that was not seen adds nothing. The probability that c answers, given that one of the window does, is
softmax(score) (conditional logit, McFadden 1974). Fitted by `runs/evidence/fit.py`, kept in `weights.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vretrver.colours import named_colours
from vretrver.policies.evidence.signals import NAMES, Table
from vretrver.types import Candidate, Query

STANDARDISED = frozenset({"regions", "details", "palette", "changed", "shown", "named"})
_FLAT = 1e-6
_LEAST_FUSED = 0.25  # deviations of the pool (`vretrver.fusion`): a window whose scores spread less is hardly ordered
_LEAST_RAW = 0.02  # of a cosine


@dataclass(frozen=True, slots=True)
class Weights:
    """The model of one kind of query against one kind of candidate.

    Args:
        coarse: what one standard deviation of the coarse score counts.
        signals: weight by signal name; one that is missing counts nothing.
        look: whether looking was found to help; without it the coarse order stands.
        certain: probability of the coarse first from which nobody looks.
        margin, stubborn: how much higher another candidate must score to take the coarse first's place: the margin, and
            `stubborn` for every standard deviation by which the coarse first leads.
        slope, offset: confidence = sigmoid(slope * logit(probability) + offset).
    """

    coarse: float = 1.5
    signals: Mapping[str, float] = field(default_factory=dict)
    look: bool = True
    certain: float = 0.95
    margin: float = 0.5
    stubborn: float = 0.5
    slope: float = 1.0
    offset: float = -1.0

    def scores(self, design: Mapping[str, NDArray[np.float64]], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score per candidate, shape (N,)."""
        total = self.coarse * z
        for name, weight in self.signals.items():
            total = total + weight * design.get(name, 0.0)
        return np.asarray(total)

    def defence(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the coarse first is given in advance, 0 for all others, shape (N,); nothing where none is first."""
        advance = np.zeros(len(z))
        if len(z) > 1 and z.any():
            second, best = np.sort(z)[-2:]
            advance[int(z.argmax())] = self.margin + self.stubborn * (best - second)
        return advance

    def confidence(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely each candidate answers at all, shape (N,): the window may hold no answer."""
        bounded = np.clip(probabilities, 1e-6, 1 - 1e-6)
        return np.asarray(_sigmoid(self.slope * np.log(bounded / (1 - bounded)) + self.offset))


@cache
def fitted() -> tuple[dict[str, Weights], NDArray[np.float32]]:
    """The packaged weights by kind (`kind_of`), and the centre of the regions of unrelated photos, shape (F,)."""
    record = json.loads(files("vretrver.policies.evidence").joinpath("weights.json").read_text(encoding="utf-8"))
    return {kind: Weights(**values) for kind, values in record["kinds"].items()}, np.array(record["centre"], np.float32)


def weights_for(kinds: Mapping[str, Weights], kind: str) -> Weights:
    """The weights of a kind; one that was never fitted takes the nearest: without its marks, then `query>*`, `*`."""
    plain = kind.partition("+")[0]
    asked = kind.partition(">")[0]
    return kinds.get(kind) or kinds.get(plain) or kinds.get(f"{asked}>*") or kinds.get("*") or Weights()


def kind_of(query: Query, candidates: Sequence[Candidate]) -> str:
    """What is compared with what, such as `image,text>image+colour`; the candidates' commonest modality counts.

    The marks: `+colour` where the text of a query with a picture names one ("the same in red"), `+print` where the
    coarse stage has matched words already. What pays to look at differs: alike pictures that print tells apart are
    misjudged by their parts.
    """
    modalities = [candidate.document.modality for candidate in candidates]
    kind = f"{query.modality}>{max(sorted(set(modalities)), key=modalities.count)}"
    if query.modality == "image,text" and named_colours(query.text or ""):
        kind += "+colour"
    matched = any(candidate.signals.get(name, 0) > 0 for candidate in candidates for name in ("words", "printed"))
    return kind + "+print" if matched else kind


def coarse_z(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """The coarse scores with mean 0 and standard deviation 1, less where they hardly differ. Shape (N,)."""
    fused = any(candidate.signals for candidate in candidates)
    scores = np.array([candidate.score for candidate in candidates], float)
    return _standardised(scores, _LEAST_FUSED if fused else _LEAST_RAW)


def design(table: Table) -> dict[str, NDArray[np.float64]]:
    """The signals as they count: comparable across windows, 0 where unseen. Shape (N,) each."""
    return {name: _prepared(name, table.values[name]) for name in NAMES}


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax, shape (N,)."""
    shares = np.exp(scores - scores.max()) if len(scores) else scores
    return np.asarray(shares / shares.sum()) if len(scores) else scores


def _prepared(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    out = np.zeros(len(values))
    if known.sum() > 1:
        seen = values[known]
        out[known] = _standardised(seen) if name in STANDARDISED else seen - seen.mean()
    return out


def _standardised(values: NDArray[np.float64], least: float = _FLAT) -> NDArray[np.float64]:
    centred = values - values.mean() if len(values) else values
    deviation = max(float(centred.std()) if len(values) else 0.0, least)
    return np.asarray(centred / deviation)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))

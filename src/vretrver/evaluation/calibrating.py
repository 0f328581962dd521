"""A calibration of one's own: chances and confidences fitted on a run's judged topics, and how well they hold.

The packaged weights were fitted on simulated agents; those of a run are of the very model, data and first stage that
will be asked. How well they hold is told by cross-validation: every topic by weights that were fitted without it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vretrver.calibration import Calibration, Logistic, from_retriever, kind_of, packaged
from vretrver.calibration.logistic import Signals, fit
from vretrver.calibration.signals import of_ranking, of_scores
from vretrver.errors import InvalidInput, RecordError
from vretrver.evaluation.folder import config_of, outcomes_of
from vretrver.evaluation.runner import TRACES
from vretrver.evaluation.statistics import auc, calibration
from vretrver.trace import Ranking
from vretrver.types import Candidate
from vretrver.viewer.trace_file import records_of

LEAST = 50
"""Topics that a model is fitted on at least."""
MOST = 5000
"""Topics that are read at most: no weight is surer for more of them, and rankings take memory."""
FOLDS = 5
RIGHT_AT_MOST = 0.1
"""How many of the rankings that say `no_match` may have been right in their first place."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A topic's ranking and which documents answer."""

    topic: str
    ranking: Ranking
    relevant: frozenset[str]

    @property
    def fold(self) -> int:
        return blake2b(self.topic.encode()).digest()[0] % FOLDS

    def right(self, candidates: Sequence[Candidate]) -> NDArray[np.bool_]:
        return np.array([candidate.document.id in self.relevant for candidate in candidates], bool)


@dataclass(frozen=True, slots=True)
class Report:
    """How well a calibration holds on topics it was not fitted on; rank 1 throughout.

    Args:
        topics: that were judged. right: share of them whose rank 1 answers.
        confidence: mean. ece, auc: of confidence against right; auc is None where all were right, or none.
        before: the packaged calibration's ECE on the same topics.
        no_match_below: the cut-off. no_match: share of topics under it.
        result: whether the result model was fitted; the packaged one stays where the policy says how sure it is.
    """

    topics: int
    right: float
    confidence: float
    ece: float
    auc: float | None
    before: float
    no_match_below: float
    no_match: float
    result: bool

    def summary(self) -> str:
        """A few lines for people."""
        told = "none were right, or all" if self.auc is None else f"{self.auc:.3f}"
        lines = [
            f"{self.topics} judged topics; rank 1 is right in {self.right:.1%} and says {self.confidence:.1%}, "
            "each topic by weights fitted without it",
            f"expected calibration error {self.ece:.3f}, {self.before:.3f} with the packaged weights; "
            f"AUC of right against wrong: {told}",
            f"no match is said below {self.no_match_below:g}: in {self.no_match:.1%} of these topics",
        ]
        if not self.result:
            lines.append(
                "the policy says itself how sure it is, so only the chances of --gate and adaptive were fitted"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def calibrate(folder: str | os.PathLike[str]) -> tuple[Calibration, Report]:
    """Fit a calibration on a run folder of `vretrver eval`.

    Raises:
        MissingPath: it is no run folder, or it has no traces.
        InvalidInput: fewer than `LEAST` judged topics with two candidates, or rank 1 is right always or never.
        RecordError: a file of it does not parse.
    """
    place = Path(folder)
    config, judged = config_of(place), judged_of(place)
    if len(judged) < LEAST:
        raise InvalidInput(f"{place} has {len(judged)} judged topics with candidates; a calibration needs {LEAST}")
    about = {name: config.get(name) for name in ("hash", "task", "split", "policy", "coarse", "planner", "k")}
    made = fitted(judged, about)
    held_out = np.array([0.0] * len(judged))
    for fold in {one.fold for one in judged}:
        others = fitted([one for one in judged if one.fold != fold], about)
        for at, one in enumerate(judged):
            if one.fold == fold:
                held_out[at] = _first(others, one)
    right = np.array([bool(one.right([one.ranking.results[0].candidate])[0]) for one in judged])
    report = Report(
        topics=len(judged),
        right=float(right.mean()),
        confidence=float(held_out.mean()),
        ece=calibration(held_out, right)["ece"],
        auc=auc(held_out, right),
        before=calibration([_first(packaged(), one) for one in judged], right)["ece"],
        no_match_below=cut_off(held_out, right),
        no_match=float((held_out < cut_off(held_out, right)).mean()),
        result=any(_calibrated(one.ranking) for one in judged),
    )
    facts = about | {"report": report.to_json()}
    return replace(made, no_match_below=report.no_match_below, about=facts), report


def judged_of(folder: Path) -> list[Judged]:
    """The run's topics whose answers are known and that have something to rank; `MOST` of them, evenly spread.

    Raises:
        MissingPath, RecordError: the folder has no traces, or they do not parse.
    """
    relevant = {
        one.topic: frozenset(name for name, grade in one.relevant.items() if grade > 0)
        for one in outcomes_of(folder)
        if any(grade > 0 for grade in one.relevant.values())
    }
    kept = set(list(relevant)[:: -(-len(relevant) // MOST) or 1])
    judged = []
    for record, ranking in records_of(folder / TRACES):
        topic = str(record.get("topic"))
        if topic in kept and len(ranking.results) > 1:
            if not all(math.isfinite(result.candidate.score) for result in ranking.results):
                raise RecordError(f"{folder / TRACES}: a score of topic {topic!r} is no finite number")
            judged.append(Judged(topic, ranking, relevant[topic]))
    return judged


def fitted(judged: Sequence[Judged], about: dict[str, Any] | None = None) -> Calibration:
    """The calibration of these rankings alone, without a cut-off.

    Raises:
        InvalidInput: rank 1 is right always or never.
    """
    kinds = sorted({_kind(one) for one in judged})
    groups = {kind: [one for one in judged if _kind(one) == kind] for kind in kinds}
    coarse = {"*": _coarse(judged)} | {kind: _coarse(some) for kind, some in groups.items() if len(some) >= LEAST}
    fused = all(from_retriever(_candidates(one)) for one in judged)
    least = min(len(one.ranking.results) for one in judged)
    chances = Calibration(coarse, Logistic(), 0.0, fused, least)
    ranked = [one for one in judged if _calibrated(one.ranking)]
    result = _result(ranked, chances) if len(ranked) >= LEAST else packaged().result
    return Calibration(coarse, result, 0.0, fused, least, about or {})


def cut_off(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> float:
    """The highest confidence, by hundredths and up to .5, below which at most `RIGHT_AT_MOST` of all are right."""
    for hundredths in range(50, 0, -1):
        below = confidence_N < hundredths / 100
        if below.any() and right_N[below].mean() <= RIGHT_AT_MOST:
            return hundredths / 100
    return 0.0


def _calibrated(ranking: Ranking) -> bool:
    """Whether its confidences are a calibration's: somebody looked, and did not say how sure they are."""
    return bool(ranking.traces) and all(trace.relevance is None for trace in ranking.traces)


def _candidates(one: Judged) -> list[Candidate]:
    return sorted((result.candidate for result in one.ranking.results), key=lambda candidate: -candidate.score)


def _kind(one: Judged) -> str:
    return kind_of(one.ranking.query, _candidates(one))


def _coarse(judged: Sequence[Judged]) -> Logistic:
    lists = [_candidates(one) for one in judged]
    signals = [of_scores(np.array([candidate.score for candidate in found], float)) for found in lists]
    return fit(_joined(signals), np.concatenate([one.right(found) for one, found in zip(judged, lists, strict=True)]))


def _result(judged: Sequence[Judged], chances: Calibration) -> Logistic:
    signals, right = [], []
    for one in judged:
        candidates = [result.candidate for result in one.ranking.results]
        signals.append(of_ranking(one.ranking, chances.chances(one.ranking.query, candidates)))
        right.append(one.right(candidates))
    return fit(_joined(signals), np.concatenate(right))


def _joined(signals: Sequence[Signals]) -> Signals:
    return {name: np.concatenate([one[name] for one in signals]) for name in signals[0]}


def _first(made: Calibration, one: Judged) -> float:
    """The confidence of rank 1: the model's, else what the policy said of it."""
    return made.confidences(one.ranking)[0] if _calibrated(one.ranking) else one.ranking.results[0].confidence

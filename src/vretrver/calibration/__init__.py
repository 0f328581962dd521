"""How likely a candidate answers, in numbers that were held against the truth: logistic models and their weights.

Two models. `coarse` reads the first stage's scores alone: what `adaptive` plans and the gate go by. `result` reads what
came of reranking (`calibration.signals`): the confidence of results whose policy says nothing of its own. The packaged
weights were fitted by `runs/confidence/fit.py` on validation topics and simulated agents; `vretrver calibrate` fits
others on judged answers of one's own model. docs/confidence.md says what the numbers mean and how far they hold.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from vretrver.calibration.logistic import Logistic
from vretrver.calibration.signals import COARSE, RESULT, of_ranking, of_scores
from vretrver.errors import InvalidInput, MissingPath
from vretrver.fusion import SIGNALS
from vretrver.trace import Ranking
from vretrver.types import Candidate, Query

VERSION = 1
KIND = re.compile(r"\*|(text|image|image,text)>(\*|text|image|image,text)")
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """Args:
    coarse: by kind, `query's modality>candidates' modality`, such as `image,text>image`; with `*` for the latter or
        both. The nearest counts; what no kind fits has no chances.
    result: of reranked results.
    no_match_below: a ranking whose best confidence is under this says `no_match`.
    fused: whether `coarse` was fitted on the scores of the product's own first stage, and so holds for no others.
    least: so many candidates a list had at least on which `coarse` was fitted. Scores of a handful mean something else:
        they are all that there is, or what a filter left.
    about: where the weights come from; JSON values.
    """

    coarse: Mapping[str, Logistic]
    result: Logistic
    no_match_below: float
    fused: bool = True
    least: int = 1
    about: Mapping[str, Any] = field(default_factory=dict)

    def chances(self, query: Query, candidates: Sequence[Candidate]) -> list[float] | None:
        """How likely each candidate answers, 0..1, if any of the pool does, from the first stage's scores alone.

        None where that is not known: a kind that was not fitted, scores of another stage than the fitted ones, fewer
        candidates, or a score that is no finite number.
        """
        if len(candidates) < self.least or not all(math.isfinite(candidate.score) for candidate in candidates):
            return None
        model = self._coarse_of(query, candidates)
        if model is None or (self.fused and not from_retriever(candidates)):
            return None
        best_first = sorted(range(len(candidates)), key=lambda at: -candidates[at].score)
        found = model.chances(of_scores(np.array([candidates[at].score for at in best_first], float)))
        chances = np.empty(len(candidates))
        chances[best_first] = found
        return [float(chance) for chance in chances]

    def _coarse_of(self, query: Query, candidates: Sequence[Candidate]) -> Logistic | None:
        kinds = (kind_of(query, candidates), f"{query.modality}>*", "*")
        return next((self.coarse[kind] for kind in kinds if kind in self.coarse), None)

    def confidences(self, ranking: Ranking) -> list[float]:
        """How likely each result answers, 0..1, in the ranking's order.

        Args:
            ranking: with all its results and traces; the confidences it holds are not read.
        """
        candidates = [result.candidate for result in ranking.results]
        signals = of_ranking(ranking, self.chances(ranking.query, candidates))
        return [float(chance) for chance in self.result.chances(signals)]

    def to_record(self) -> dict[str, Any]:
        return {"version": VERSION} | asdict(self)

    @classmethod
    def from_record(cls, record: Any) -> Calibration:
        """The inverse of `to_record`.

        Raises:
            InvalidInput: another version, an unknown name, or a value that is no finite number.
        """
        version = record.get("version") if isinstance(record, dict) else None
        if version != VERSION:
            raise InvalidInput(f"this calibration has version {version!r}; this vretrver reads version {VERSION}")
        try:
            coarse, about = dict(record["coarse"]), dict(record["about"])
            if unknown := [kind for kind in coarse if not KIND.fullmatch(kind)]:
                raise InvalidInput(f"a kind is such as image,text>image, text>* or *; got {unknown[0]!r}")
            models = {name: Logistic.from_record(model, COARSE) for name, model in coarse.items()}
            below = float(record["no_match_below"])
            if not 0 <= below <= 1:
                raise InvalidInput(f"no_match_below is {below}; it must be between 0 and 1")
            result = Logistic.from_record(record["result"], RESULT)
            return cls(models, result, below, record["fused"] is True, int(record["least"]), about)
        except (KeyError, TypeError, ValueError) as fault:
            if isinstance(fault, InvalidInput):
                raise
            raise InvalidInput(f"this calibration does not parse: {type(fault).__name__}: {fault}") from fault


def load_calibration(path: str | os.PathLike[str]) -> Calibration:
    """The calibration of a file that `vretrver calibrate` wrote.

    Raises:
        MissingPath: no such file.
        InvalidInput: it is no calibration.
    """
    if not Path(path).is_file():
        raise MissingPath(f"no such calibration: {os.fspath(path)}; make one with: vretrver calibrate RUN -o FILE")
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{os.fspath(path)} has more than {MAX_BYTES} bytes; no calibration is that large")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{os.fspath(path)} is not JSON; a calibration is made by: vretrver calibrate") from None
    return Calibration.from_record(record)


@cache
def packaged() -> Calibration:
    """The calibration that comes with the package."""
    return Calibration.from_record(json.loads(files(__name__).joinpath("weights.json").read_text(encoding="utf-8")))


def kind_of(query: Query, candidates: Sequence[Candidate]) -> str:
    """What is looked for by what, such as `image,text>image`; the candidates' commonest modality counts."""
    found = Counter(candidate.document.modality for candidate in candidates).most_common(1)
    return f"{query.modality}>{found[0][0] if found else '*'}"


def from_retriever(candidates: Sequence[Candidate]) -> bool:
    """Whether the scores are the product's own first stage's: its signals are there."""
    return any(name in SIGNALS for candidate in candidates for name in candidate.signals)


__all__ = ["Calibration", "Logistic", "from_retriever", "kind_of", "load_calibration", "packaged"]

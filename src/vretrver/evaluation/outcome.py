"""What became of one topic, and the run folder's files. Everything a report needs of a run, without its traces.

A run folder holds
    config.json     everything that decides the result, with a hash, and the versions it ran under
    journal.jsonl   append-only: the configuration's hash, then policy calls by topic and window, and outcomes, as they
                    came; what a run that was cut off goes on from
    outcomes.jsonl  one `Outcome` a line, in the order of the topics
    metrics.json    see `vretrver.evaluation.summary`; no clock reading is in it, so a resumed run gives the same bytes
    timing.json     seconds per topic, measured
    traces.jsonl    one ranking a line for `vretrver view`
    run.trec        the reranked run; coarse.trec the coarse one; qrels.trec what is relevant
    answers.jsonl   one answer a line, in runs that answer questions; and in the form that the benchmark's script takes
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from vretrver.errors import RecordError
from vretrver.evaluation.answered import Answered
from vretrver.usage import Usage

FORMAT = 2
"""Of a run folder's files; told in config.json. A run of another format is not gone on with."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One topic's result; JSON values only.

    Args:
        topic: its id. group: its part of the benchmark. modality: of the query.
        query: the query's text, or None. images: labels of its pictures.
        relevant: grade by document id.
        coarse: the candidates' ids, best first. scores: the coarse scores, strictly falling.
        order: the same ids as reranked, best first; equal to `coarse` when nothing looked.
        confidence: of each place of `order`, 0..1.
        no_match: whether the ranking said that nothing matches.
        usage: what the ranking cost, without its seconds; shuffled orders are not in it.
        tools: names of the tools that were called, in order. repairs: how many repairs the traces name.
        stops: why each window ended.
        skipped: why nobody looked (`Ranking.skipped`). agreement: of a second look with the first.
        shuffled: further orders, from the same candidates handed over in shuffled order.
        error: why the topic could not be asked, in one line; then `coarse` and `order` are empty.
        seconds, policy_seconds: measured; kept out of metrics.json.
        kind: of question; "" where a benchmark has none.
        bearing: the candidates that contain an answer, as `marking.contains` grades them; None where nobody can say.
        pseudo: whether `relevant` is that too, because no document of the benchmark is labelled: then an empty one is
            a miss among these candidates.
        answered: the answer to the question; None where none was asked for.
    """

    topic: str
    group: str
    modality: str
    query: str | None
    images: tuple[str, ...]
    relevant: Mapping[str, int]
    coarse: tuple[str, ...]
    scores: tuple[float, ...]
    order: tuple[str, ...]
    confidence: tuple[float, ...]
    no_match: bool = False
    usage: Usage = field(default_factory=Usage)
    tools: tuple[str, ...] = ()
    repairs: int = 0
    stops: tuple[str, ...] = ()
    skipped: str | None = None
    agreement: float | None = None
    shuffled: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    seconds: float = 0.0
    policy_seconds: float = 0.0
    kind: str = ""
    bearing: Mapping[str, int] | None = None
    pseudo: bool = False
    answered: Answered | None = None

    @property
    def judged(self) -> bool:
        """Whether it is known what is relevant."""
        return self.pseudo or any(grade > 0 for grade in self.relevant.values())

    @property
    def first_before(self) -> int:
        """1-based place of the first relevant document in the coarse order; 0 when there is none."""
        return _first(self.coarse, self.relevant)

    @property
    def first_after(self) -> int:
        """1-based place of the first relevant document in the final order; 0 when there is none."""
        return _first(self.order, self.relevant)

    @property
    def change(self) -> str:
        """`won`: a relevant document came to rank 1 that was not there; `lost`: it left rank 1; else `tied`."""
        before, after = self.first_before == 1, self.first_after == 1
        return "tied" if before == after else "won" if after else "lost"

    def to_record(self) -> dict[str, Any]:
        record = asdict(self) | {"usage": self.usage.to_record()}
        if self.answered is not None:
            record["answered"] = self.answered.to_record()
        return {name: value for name, value in record.items() if name not in _OF_QUESTIONS or value != _UNSAID[name]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """The inverse of `to_record`, through JSON too.

        Raises:
            RecordError: a field is missing or strange.
        """
        try:
            values = {one.name: record[one.name] for one in fields(cls) if one.name not in _OF_QUESTIONS}
            values |= {name: record[name] for name in _OF_QUESTIONS if name in record}
            for name in ("images", "coarse", "scores", "order", "confidence", "tools", "stops"):
                values[name] = tuple(values[name])
            values["shuffled"] = tuple(map(tuple, values["shuffled"]))
            values["usage"] = Usage.from_record(values["usage"])
            if values.get("answered") is not None:
                values["answered"] = Answered.from_record(values["answered"])
            return cls(**values)
        except KeyError as fault:
            raise RecordError(
                f"this outcome does not parse: it has no {fault}; another version of vretrver wrote it, run it again"
            ) from fault
        except (TypeError, ValueError, AttributeError) as fault:
            raise RecordError(f"this outcome does not parse: {type(fault).__name__}: {fault}") from fault


_OF_QUESTIONS = ("kind", "bearing", "pseudo", "answered")
"""Written only where a benchmark asks questions."""
_UNSAID = {one.name: one.default for one in fields(Outcome) if one.default is not MISSING}


def spending(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    """What the outcomes' rankings cost: name -> {"total", "mean"}, None where nobody reports it.

    Means are per topic. A topic whose policy was called and reported no tokens is in neither; one without any call
    cost none.
    """
    return spent([one.usage for one in outcomes])


def spent(usages: Sequence[Usage]) -> dict[str, dict[str, float | None]]:
    """`spending` of usages, one per topic."""
    costs = [_costs(one) for one in usages]
    return {name: _spent([one[name] for one in costs]) for name in _costs(Usage())}


def _spent(amounts: Sequence[float | None]) -> dict[str, float | None]:
    known = [amount for amount in amounts if amount is not None]
    if not any(known) and None in amounts:
        return {"total": None, "mean": None}
    total = math.fsum(known) if any(isinstance(amount, float) for amount in known) else sum(known)
    return {"total": total, "mean": total / len(known) if known else None}


def _costs(usage: Usage) -> dict[str, float | None]:
    """Usage as a table's columns."""
    counts = ("windows", "rounds", "policy_calls", "tool_calls", "images", "cache_hits")
    found: dict[str, float | None] = {name: getattr(usage, name) for name in counts}
    idle = None if usage.policy_calls else 0  # who was not asked has cost nothing
    for name in ("prompt", "cached", "image", "completion"):
        found[f"{name}_tokens"] = idle if usage.tokens is None else getattr(usage.tokens, name)
    return {**found, "money": idle if usage.money is None else usage.money}


def _first(order: tuple[str, ...], relevant: Mapping[str, int]) -> int:
    return next((rank for rank, name in enumerate(order, start=1) if relevant.get(name, 0) > 0), 0)

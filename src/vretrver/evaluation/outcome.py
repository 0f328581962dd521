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
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vretrver.errors import RecordError


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
        policy_calls, tool_calls, images_shown, tokens: usage. tokens is None when none were reported.
        tools: names of the tools that were called, in order. repairs: how many repairs the traces name.
        stops: why each window ended.
        shuffled: further orders, from the same candidates handed over in shuffled order.
        error: why the topic could not be asked, in one line; then `coarse` and `order` are empty.
        seconds, policy_seconds: measured; kept out of metrics.json.
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
    policy_calls: int = 0
    tool_calls: int = 0
    images_shown: int = 0
    tokens: int | None = None
    tools: tuple[str, ...] = ()
    repairs: int = 0
    stops: tuple[str, ...] = ()
    shuffled: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    seconds: float = 0.0
    policy_seconds: float = 0.0

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
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """The inverse of `to_record`, through JSON too.

        Raises:
            RecordError: a field is missing or strange.
        """
        try:
            values = {field.name: record[field.name] for field in fields(cls)}
            for name in ("images", "coarse", "scores", "order", "confidence", "tools", "stops"):
                values[name] = tuple(values[name])
            values["shuffled"] = tuple(map(tuple, values["shuffled"]))
            return cls(**values)
        except (KeyError, TypeError) as fault:
            raise RecordError(f"this outcome does not parse: {type(fault).__name__}: {fault}") from fault


def _first(order: tuple[str, ...], relevant: Mapping[str, int]) -> int:
    return next((rank for rank, name in enumerate(order, start=1) if relevant.get(name, 0) > 0), 0)

"""The answer to a query: results with their evidence, what it cost, the traces it came of; a line of a trace file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vretrver.errors import RecordError
from vretrver.trace.records import image_record, query_record, read_image
from vretrver.trace.window import Evidence, StopReason, Trace, evidence_record, read_evidence, read_trace, trace_record
from vretrver.types import Candidate, Document, Query
from vretrver.usage import Usage

VERSION = 2


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a ranking: `score` falls strictly with `rank`; `confidence` is in 0..1."""

    rank: int
    candidate: Candidate
    score: float
    confidence: float
    evidence: tuple[Evidence, ...] = ()

    @property
    def document(self) -> Document:
        return self.candidate.document


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer to a query, with everything that led to it.

    Args:
        query: what was asked.
        results: best first.
        no_match: True when nothing found is likely to answer the query.
        usage: the cost of all of it, retrieval's seconds included.
        traces: one per window, in the order they ran; empty when only the coarse stage ran.
        skipped: why nobody looked, where a gate found the coarse stage certain enough; else None.
        agreement: the share of pairs of the list's head that a second look ordered as the first did, 0..1; None
            without an answer to a second look.
    """

    query: Query
    results: tuple[Result, ...]
    no_match: bool = False
    usage: Usage = field(default_factory=Usage)
    traces: tuple[Trace, ...] = ()
    skipped: str | None = None
    agreement: float | None = None

    @property
    def repairs(self) -> tuple[str, ...]:
        return tuple(repair for trace in self.traces for repair in trace.repairs)

    @property
    def partial(self) -> bool:
        """Whether a budget ended before every window of the plan was ranked: the order is the best so far."""
        return any(trace.stop is StopReason.BUDGET and trace.look is None for trace in self.traces)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(result.document.id for result in self.results)

    def to_json(self) -> dict[str, Any]:
        """The object that `vretrver search --json` prints: results without turns."""
        return {
            "query": query_record(self.query, with_bytes=False),
            "results": [_result_json(result) for result in self.results],
            "no_match": self.no_match,
            "usage": self.usage.to_record(),
            "repairs": list(self.repairs),
            "partial": self.partial,
            "skipped": self.skipped,
            "agreement": self.agreement,
        }

    def to_record(self) -> dict[str, Any]:
        """Everything, as JSON values: one line of a trace file."""
        return {
            "version": VERSION,
            "query": query_record(self.query, with_bytes=True),
            "results": [_result_record(result) for result in self.results],
            "no_match": self.no_match,
            "usage": self.usage.to_record(),
            "traces": [trace_record(trace) for trace in self.traces],
            "skipped": self.skipped,
            "agreement": self.agreement,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Ranking:
        """The inverse of `to_record`.

        Raises:
            RecordError: another version, a missing field, or a value of the wrong kind.
        """
        version = record.get("version") if isinstance(record, Mapping) else None
        if version != VERSION:
            raise RecordError(f"this trace has version {version!r}; this vretrver reads version {VERSION}")
        try:
            query = record["query"]
            return cls(
                query=Query(query["text"], tuple(read_image(i) for i in query["images"]), query["instruction"]),
                results=tuple(_result(result) for result in record["results"]),
                no_match=bool(record["no_match"]),
                usage=Usage.from_record(record["usage"]),
                traces=tuple(read_trace(trace) for trace in record["traces"]),
                skipped=record["skipped"],
                agreement=record["agreement"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise RecordError(f"this trace record does not parse: {type(fault).__name__}: {fault}") from fault


def _result_json(result: Result) -> dict[str, Any]:
    document = result.document
    return {
        "rank": result.rank,
        "id": document.id,
        "score": result.score,
        "confidence": result.confidence,
        "coarse_rank": result.candidate.rank,
        "path": document.image.path if document.image else None,
        "text": document.text,
        "evidence": [evidence_record(evidence) for evidence in result.evidence],
    }


def _result_record(result: Result) -> dict[str, Any]:
    document = result.document
    return _result_json(result) | {
        "image": image_record(document.image) if document.image else None,
        "printed": document.printed,
        "metadata": dict(document.metadata),
        "coarse_score": result.candidate.score,
        "signals": dict(result.candidate.signals),
    }


def _result(record: Mapping[str, Any]) -> Result:
    document = Document(
        id=record["id"],
        text=record["text"],
        image=read_image(record["image"]) if record["image"] else None,
        printed=record["printed"],
        metadata=record["metadata"],
    )
    candidate = Candidate(document, record["coarse_score"], record["coarse_rank"], record["signals"])
    evidence = tuple(read_evidence(item) for item in record["evidence"])
    return Result(record["rank"], candidate, record["score"], record["confidence"], evidence)

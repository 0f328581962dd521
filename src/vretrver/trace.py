"""What happened: turns, evidence, one window's trace, and the ranking that came of it. The hinge of the house.

Everything before this module produces it; everything after (rewards, evaluation, viewer, servers) only
reads it. What can be derived is a property; None means not known or not scored. `Ranking.to_record` and
`Ranking.from_record` are inverse and versioned; a record holds JSON values only, and no picture's bytes
(`vretrver.viewer` adds thumbnails to a trace file).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vretrver.errors import RecordError
from vretrver.messages import ImagePart, Observation, Part, TextPart, ToolCall, View
from vretrver.types import Candidate, Document, ImageRef, Query
from vretrver.usage import Tokens, Usage

VERSION = 2


class StopReason(StrEnum):
    ANSWERED = "answered"  # the model gave a ranking
    NO_ANSWER = "no_answer"  # a turn held neither a ranking nor a tool call
    OUT_OF_TURNS = "out_of_turns"  # it still wanted a tool after the last allowed turn
    POLICY_ERROR = "policy_error"  # the model failed; the incoming order stands
    BUDGET = "budget"  # what the query may cost was spent; the incoming order stands


@dataclass(frozen=True, slots=True)
class Turn:
    """One generation and what it led to.

    Args:
        text: the model's text as it counted (what came after a tool call is dropped).
        call: the tool call it held, if one parsed.
        observation: what was answered to it; None on the turn that ends the episode.
        seconds: time the policy took.
        tokens: as the policy reported.
        reused: whether the text came from a cache of answers.
    """

    text: str
    call: ToolCall | None = None
    observation: Observation | None = None
    seconds: float = 0.0
    tokens: Tokens | None = None
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """One look at one picture of a result, and what the agent said of it.

    Args:
        image: the picture's label (`ImageRef.label`).
        box: the part looked at, in pixels of the original; None for all of it.
        tool: the tool that showed it.
        note: the agent's own words after the look, bounded.
    """

    image: str
    box: tuple[int, int, int, int] | None
    tool: str
    note: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One window, start to end.

    Args:
        start: 0-based position of the window in the reranked list.
        candidates: document ids in incoming order.
        order: permutation of 0..N-1, best first: positions in `candidates`.
        turns: every generation.
        stop: why it ended.
        repairs: what was mended to make `order` a permutation.
        evidence: per document id, the looks at its picture.
        relevance: the policy's probabilities per candidate in incoming order, if it gave any.
        policy: the policy's name.
        prompt_hash: SHA-256 of the system prompt.
        look: None for a window of the plan; `reverse` or `shuffle` for a second look at the head of the list.
    """

    start: int
    candidates: tuple[str, ...]
    order: tuple[int, ...]
    turns: tuple[Turn, ...]
    stop: StopReason
    repairs: tuple[str, ...] = ()
    evidence: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict)
    relevance: tuple[float, ...] | None = None
    policy: str = ""
    prompt_hash: str = ""
    error: str | None = None
    prompt: tuple[Part, ...] = ()
    look: str | None = None

    @property
    def tool_calls(self) -> int:
        """Turns answered by a tool, refused calls included."""
        return sum(turn.observation is not None for turn in self.turns)

    @property
    def usage(self) -> Usage:
        tokens = [turn.tokens for turn in self.turns if turn.tokens is not None]
        shown = [part for turn in self.turns if turn.observation for part in turn.observation.parts]
        prompt = self.prompt if self.turns else ()  # nobody saw it
        return Usage(
            windows=1 if self.turns else 0,
            policy_calls=len(self.turns),
            tool_calls=self.tool_calls,
            images=sum(isinstance(part, ImagePart) for part in [*prompt, *shown]),
            cache_hits=sum(turn.reused for turn in self.turns),
            tokens=sum(tokens, Tokens(0, 0)) if tokens else None,
            seconds=sum(turn.seconds for turn in self.turns),
        )


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
            "query": _query_record(self.query, with_bytes=False),
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
            "query": _query_record(self.query, with_bytes=True),
            "results": [_result_record(result) for result in self.results],
            "no_match": self.no_match,
            "usage": self.usage.to_record(),
            "traces": [_trace_record(trace) for trace in self.traces],
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
                query=Query(query["text"], tuple(_image(i) for i in query["images"]), query["instruction"]),
                results=tuple(_result(result) for result in record["results"]),
                no_match=bool(record["no_match"]),
                usage=Usage.from_record(record["usage"]),
                traces=tuple(_trace(trace) for trace in record["traces"]),
                skipped=record["skipped"],
                agreement=record["agreement"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise RecordError(f"this trace record does not parse: {type(fault).__name__}: {fault}") from fault


def _image_record(ref: ImageRef, with_bytes: bool = True) -> dict[str, str]:
    if ref.path is not None:
        return {"path": ref.path}
    assert ref.data is not None
    return {"data": base64.b64encode(ref.data).decode()} if with_bytes else {"bytes": ref.label}


def _image(record: Mapping[str, str]) -> ImageRef:
    if "path" in record:
        return ImageRef(path=str(record["path"]))
    return ImageRef(data=base64.b64decode(record["data"], validate=True))


def _query_record(query: Query, with_bytes: bool) -> dict[str, Any]:
    return {
        "text": query.text,
        "images": [_image_record(image, with_bytes) for image in query.images],
        "instruction": query.instruction,
    }


def _evidence_record(evidence: Evidence) -> dict[str, Any]:
    box = None if evidence.box is None else list(evidence.box)
    return {"image": evidence.image, "box": box, "tool": evidence.tool, "note": evidence.note}


def _evidence(record: Mapping[str, Any]) -> Evidence:
    return Evidence(record["image"], _box(record["box"]), record["tool"], record["note"])


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
        "evidence": [_evidence_record(evidence) for evidence in result.evidence],
    }


def _result_record(result: Result) -> dict[str, Any]:
    document = result.document
    return _result_json(result) | {
        "image": _image_record(document.image) if document.image else None,
        "printed": document.printed,
        "metadata": dict(document.metadata),
        "coarse_score": result.candidate.score,
        "signals": dict(result.candidate.signals),
    }


def _result(record: Mapping[str, Any]) -> Result:
    document = Document(
        id=record["id"],
        text=record["text"],
        image=_image(record["image"]) if record["image"] else None,
        printed=record["printed"],
        metadata=record["metadata"],
    )
    candidate = Candidate(document, record["coarse_score"], record["coarse_rank"], record["signals"])
    evidence = tuple(_evidence(item) for item in record["evidence"])
    return Result(record["rank"], candidate, record["score"], record["confidence"], evidence)


def _part_record(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    view = part.view
    box = None if view.box is None else list(view.box)
    return {
        "image": _image_record(view.image),
        "index": part.index,
        "width": view.width,
        "height": view.height,
        "box": box,
    }


def _part(record: Mapping[str, Any]) -> Part:
    if "text" in record:
        return TextPart(record["text"])
    view = View(_image(record["image"]), record["width"], record["height"], _box(record["box"]))
    return ImagePart(view, record["index"])


def _turn_record(turn: Turn) -> dict[str, Any]:
    call = turn.call and {"name": turn.call.name, "arguments": dict(turn.call.arguments)}
    seen = turn.observation and {
        "valid": turn.observation.valid,
        "parts": [_part_record(part) for part in turn.observation.parts],
    }
    return {
        "text": turn.text,
        "call": call,
        "observation": seen,
        "seconds": turn.seconds,
        "tokens": None if turn.tokens is None else turn.tokens.to_record(),
        "reused": turn.reused,
    }


def _turn(record: Mapping[str, Any]) -> Turn:
    call, seen = record["call"], record["observation"]
    return Turn(
        text=record["text"],
        call=ToolCall(call["name"], call["arguments"]) if call else None,
        observation=Observation(tuple(_part(part) for part in seen["parts"]), seen["valid"]) if seen else None,
        seconds=record["seconds"],
        tokens=None if record["tokens"] is None else Tokens.from_record(record["tokens"]),
        reused=bool(record["reused"]),
    )


def _trace_record(trace: Trace) -> dict[str, Any]:
    return {
        "start": trace.start,
        "candidates": list(trace.candidates),
        "order": list(trace.order),
        "turns": [_turn_record(turn) for turn in trace.turns],
        "stop": trace.stop.value,
        "repairs": list(trace.repairs),
        "evidence": {key: [_evidence_record(item) for item in items] for key, items in trace.evidence.items()},
        "relevance": None if trace.relevance is None else list(trace.relevance),
        "policy": trace.policy,
        "prompt_hash": trace.prompt_hash,
        "error": trace.error,
        "prompt": [_part_record(part) for part in trace.prompt],
        "look": trace.look,
    }


def _trace(record: Mapping[str, Any]) -> Trace:
    relevance = record["relevance"]
    return Trace(
        start=record["start"],
        candidates=tuple(record["candidates"]),
        order=tuple(record["order"]),
        turns=tuple(_turn(turn) for turn in record["turns"]),
        stop=StopReason(record["stop"]),
        repairs=tuple(record["repairs"]),
        evidence={key: tuple(_evidence(item) for item in items) for key, items in record["evidence"].items()},
        relevance=None if relevance is None else tuple(relevance),
        policy=record["policy"],
        prompt_hash=record["prompt_hash"],
        error=record["error"],
        prompt=tuple(_part(part) for part in record["prompt"]),
        look=record["look"],
    )


def _box(values: Any) -> tuple[int, int, int, int] | None:
    if values is None:
        return None
    x0, y0, x1, y1 = values
    return (x0, y0, x1, y1)

"""One window's trace: its turns, its evidence, why it ended, and all of that as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vretrver.messages import ImagePart, Observation, Part, ToolCall
from vretrver.trace.records import part_record, read_box, read_part
from vretrver.usage import Tokens, Usage


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


def evidence_record(evidence: Evidence) -> dict[str, Any]:
    box = None if evidence.box is None else list(evidence.box)
    return {"image": evidence.image, "box": box, "tool": evidence.tool, "note": evidence.note}


def read_evidence(record: Mapping[str, Any]) -> Evidence:
    return Evidence(record["image"], read_box(record["box"]), record["tool"], record["note"])


def _turn_record(turn: Turn) -> dict[str, Any]:
    call = turn.call and {"name": turn.call.name, "arguments": dict(turn.call.arguments)}
    seen = turn.observation and {
        "valid": turn.observation.valid,
        "parts": [part_record(part) for part in turn.observation.parts],
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
        observation=Observation(tuple(read_part(part) for part in seen["parts"]), seen["valid"]) if seen else None,
        seconds=record["seconds"],
        tokens=None if record["tokens"] is None else Tokens.from_record(record["tokens"]),
        reused=bool(record["reused"]),
    )


def trace_record(trace: Trace) -> dict[str, Any]:
    return {
        "start": trace.start,
        "candidates": list(trace.candidates),
        "order": list(trace.order),
        "turns": [_turn_record(turn) for turn in trace.turns],
        "stop": trace.stop.value,
        "repairs": list(trace.repairs),
        "evidence": {key: [evidence_record(item) for item in items] for key, items in trace.evidence.items()},
        "relevance": None if trace.relevance is None else list(trace.relevance),
        "policy": trace.policy,
        "prompt_hash": trace.prompt_hash,
        "error": trace.error,
        "prompt": [part_record(part) for part in trace.prompt],
        "look": trace.look,
    }


def read_trace(record: Mapping[str, Any]) -> Trace:
    relevance = record["relevance"]
    return Trace(
        start=record["start"],
        candidates=tuple(record["candidates"]),
        order=tuple(record["order"]),
        turns=tuple(_turn(turn) for turn in record["turns"]),
        stop=StopReason(record["stop"]),
        repairs=tuple(record["repairs"]),
        evidence={key: tuple(read_evidence(item) for item in items) for key, items in record["evidence"].items()},
        relevance=None if relevance is None else tuple(relevance),
        policy=record["policy"],
        prompt_hash=record["prompt_hash"],
        error=record["error"],
        prompt=tuple(read_part(part) for part in record["prompt"]),
        look=record["look"],
    )

"""A model's text to a tool call or a permutation, and back. Bounded, linear scans, `json`; never evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.messages import ToolCall
from vretrver.protocol.plain import TAG
from vretrver.tools import Toolbox

MAX_MODEL_TEXT = 200_000  # characters of one generation that are read; three generations of 12k tokens are below
MAX_CALL = 10_000  # characters of one <tool_call> block


@dataclass(frozen=True, slots=True)
class Parsed:
    """One generation as it counts.

    Args:
        text: the text up to the end of its first tool call; the rest is dropped.
        call: the call, its name canonical, its arguments unchecked.
        answer: what stands inside the last `<answer>` outside think.
        problem: why a `<tool_call>` block is not a call.
        repairs: what was mended while reading.

    At most one of `call`, `answer` and `problem` is set; none when the text holds neither a call nor an answer.
    """

    text: str
    call: ToolCall | None = None
    answer: str | None = None
    problem: str | None = None
    repairs: tuple[str, ...] = ()


def parse(text: str, toolbox: Toolbox) -> Parsed:
    """Read one generation.

    The first `</tool_call>` ends the text wherever it stands, as a stop string would, and its block is the call, unless
    a complete answer outside think comes before. Of several answers outside think the last counts: a later one
    revises an earlier one.
    """
    text, repairs = _bounded(text)
    end = text.find("</tool_call>")
    before = text if end < 0 else text[:end]
    opened = before.find("<tool_call>")
    said = before if opened < 0 else before[:opened]
    answer = answer_in(said)
    if opened < 0 or answer is not None:
        return Parsed(said, answer=answer, repairs=repairs)
    kept = before + "</tool_call>"
    if end < 0:
        repairs = (*repairs, "closed a tool call that was left open")
    try:
        return Parsed(kept, call=_call(before[opened + len("<tool_call>") :], toolbox), repairs=repairs)
    except ValueError as problem:
        return Parsed(kept, problem=str(problem), repairs=repairs)


def permutation(text: str, n: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The order a generation gives to a window of `n` candidates; any text whatever gives one.

    Returns:
        The order, best first, as 0-based positions: a permutation of 0..n-1. And what was repaired: repeats and
        strangers dropped, the missing appended in incoming order. No repairs means the answer was complete.
    """
    answer = answer_in(_bounded(text)[0])
    return complete("" if answer is None else answer, n)


def complete(answer: str, n: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """`permutation` for the inside of an answer tag."""
    order: dict[int, None] = {}
    strangers: list[str] = []
    repeats: list[str] = []
    for word in _words(answer):
        position = int(word) - 1 if _NUMBER.fullmatch(word) else -1
        if not 0 <= position < n:
            strangers.append(word)
        elif position in order:
            repeats.append(word)
        else:
            order[position] = None
    missing = [position for position in range(n) if position not in order]
    repairs = (
        _repair("dropped repeats", repeats),
        _repair("dropped what is no candidate", strangers),
        _repair("appended in incoming order", [str(position + 1) for position in missing]),
    )
    return (*order, *missing), tuple(repair for repair in repairs if repair)


def is_empty(answer: str, n: int) -> bool:
    """Whether the inside of an answer tag names none of the candidates of a window that has some."""
    return n > 0 and not any(_NUMBER.fullmatch(word) and 1 <= int(word) <= n for word in _words(answer))


def answer_in(text: str) -> str | None:
    """The inside of the last `<answer>` outside think; one left open runs to the end. None when there is none."""
    outside = without_think(text)
    opened = outside.rfind("<answer>")
    if opened < 0:
        return None
    inside = outside[opened + len("<answer>") :]
    return inside.partition("</answer>")[0]


def without_think(text: str) -> str:
    """The text outside think. A think left open runs to the end; one closed but never opened began at the start."""
    kept: list[str] = []
    thinking, opened, at = False, False, 0
    for tag in _THINK.finditer(text):
        if not thinking:
            kept.append(text[at : tag.start()])
        if tag.group() == "<think>":
            thinking = opened = True
        else:
            kept = kept if opened else []
            thinking = False
        at = tag.end()
    return "".join(kept) + ("" if thinking else text[at:])


def render_tool_call(call: ToolCall, think: str = "") -> str:
    """What a model writes to make a call; `parse` reads it back."""
    block = json.dumps({"name": call.name, "arguments": dict(call.arguments)}, ensure_ascii=False, allow_nan=False)
    # A tag inside an argument would end the block; JSON can spell the same string without it.
    return _thought(think) + "<tool_call>" + block.replace("<", "\\u003c") + "</tool_call>"


def render_answer(order: Sequence[int], think: str = "") -> str:
    """What a model writes to rank: `order` holds 0-based positions, best first; `permutation` reads it back."""
    return _thought(think) + f"<answer>[{', '.join(str(position + 1) for position in order)}]</answer>"


def _thought(think: str) -> str:
    return f"<think>{TAG.sub(chr(0x2039), think)}</think>\n" if think else ""


_THINK = re.compile("</?think>")
_WORD = re.compile(r"[^\s,;\[\](){}<>\"']+")
_NUMBER = re.compile(r"[0-9]{1,6}")  # ASCII only: `\d` and int() would take digits of every script


def _words(answer: str) -> list[str]:
    """What stands between brackets, commas and blanks; a lone full stop or dash is nothing."""
    return [word for word in _WORD.findall(answer[:MAX_CALL]) if any(map(str.isalnum, word))]


def _repair(what: str, words: Sequence[str]) -> str:
    shown = ", ".join(word[:20] for word in words[:20])
    return f"{what}: {shown}{' and more' if len(words) > 20 else ''}" if words else ""


def _bounded(text: str) -> tuple[str, tuple[str, ...]]:
    whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair could not be written to a trace
    if len(whole) <= MAX_MODEL_TEXT:
        return whole, ()
    return whole[:MAX_MODEL_TEXT], (f"read only the first {MAX_MODEL_TEXT} of {len(whole)} characters",)


def _call(block: str, toolbox: Toolbox) -> ToolCall:
    """The call inside a block.

    Raises:
        ValueError: it is not one; the message is for the model.
    """
    if len(block) > MAX_CALL:
        raise ValueError(f"The tool call is longer than {MAX_CALL} characters.")
    try:
        call: Any = json.loads(block)
        # No NaN, infinity or half a surrogate pair enters a trace, which is JSON in UTF-8.
        json.dumps(call, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("The tool call is not one valid JSON object.") from None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError("The tool call should be a JSON object with a 'name'.")
    if "arguments" not in call:
        raise ValueError("Missing 'arguments' in the tool call.")
    if not isinstance(call["arguments"], dict):
        raise ValueError("'arguments' should be an object of parameter names and values.")
    return ToolCall(toolbox.canonical(call["name"]), call["arguments"])

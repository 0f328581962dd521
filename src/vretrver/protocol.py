"""The wire protocol: a window to messages, and model text to a tool call or a permutation. Nowhere else.

The shape is the released checkpoints'. The system prompt and the guidelines are **our restatement** in that
shape, not the released strings; every trace carries the prompt's hash so that results name what was said.
Boxes are the sibling module `boxes`; what a call does is `tools`; what happens between turns is `episode`.

Both directions handle untrusted text. Texts of queries and candidates are bounded and cannot pose as protocol
tags; model text is bounded, searched with linear scans and read with `json`, never evaluated.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.boxes import MEANING, BoxFamily
from vretrver.messages import Conversation, ImagePart, Message, Part, TextPart, ToolCall, View
from vretrver.sizes import MIN_PIXELS, PATCH, shown_size
from vretrver.tools import Gallery, Picture, Toolbox
from vretrver.types import Candidate, ImageRef, Query, Window

MAX_MODEL_TEXT = 200_000  # characters of one generation that are read; three generations of 12k tokens are below
MAX_CALL = 10_000  # characters of one <tool_call> block
CUT = "[...]"


@dataclass(frozen=True, slots=True)
class Wire:
    """What may differ between models that speak the protocol.

    Args:
        boxes: the family of coordinates in which the model writes boxes.
        window_pixels: the largest area at which a picture stands in the window. The default, 512 patches, lets 21
            pictures into the 12,288 tokens of the paper's prompts.
        max_text: characters of one item's text that are shown.
    """

    boxes: BoxFamily = "released"
    window_pixels: int = 512 * PATCH * PATCH
    max_text: int = 2000


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


# ---- a window to messages


def number_pictures(window: Window, sizes: Mapping[ImageRef, tuple[int, int]], wire: Wire) -> Gallery:
    """The map from wire numbers to pictures: 0 is the query image, 1..N the candidates' pictures in order.

    Numbers count pictures, not candidates. A picture without an entry in `sizes` is unreadable and takes none.
    Further query images are -1, -2, ...

    Args:
        sizes: width and height of each readable original, in pixels.
    """
    pictures: dict[int, Picture] = {}

    def add(index: int, ref: ImageRef, candidate: int | None) -> None:
        width, height = shown_size(*sizes[ref], max_pixels=max(wire.window_pixels, MIN_PIXELS))
        pictures[index] = Picture(View(ref, width, height), sizes[ref], candidate)

    for index, ref in enumerate(ref for ref in window.query.images if ref in sizes):
        add(-index, ref, None)
    number = 0
    for position, candidate in enumerate(window.candidates):
        image = candidate.document.image
        if image is not None and image in sizes:
            number += 1
            add(number, image, position)
    return Gallery(pictures, wire.boxes)


def render_window(window: Window, gallery: Gallery, toolbox: Toolbox, max_tool_turns: int, wire: Wire) -> list[Message]:
    """The system and the user message that open an episode."""
    system = system_prompt(toolbox, max_tool_turns, wire.boxes)
    return [Message("system", (TextPart(system),)), Message("user", tuple(_user_parts(window, gallery, wire)))]


def candidate_pictures(conversation: Conversation) -> dict[int, ImagePart]:
    """The candidates' pictures as the window shows them, by the candidate's 0-based position; for embedded policies."""
    opening = next(message for message in conversation.messages if message.role == "user")
    shown = [part for part in opening.views if part.index > 0]
    found: dict[int, ImagePart] = {}
    for position, candidate in enumerate(conversation.window.candidates):
        if len(found) < len(shown) and candidate.document.image == shown[len(found)].view.image:
            found[position] = shown[len(found)]
    return found


def system_prompt(toolbox: Toolbox, max_tool_turns: int = 2, boxes: BoxFamily = "released") -> str:
    """Our restatement of the released system prompt; without tools or turns for them, the section is left out."""
    opening = "You are a helpful assistant for multimodal retrieval tasks."
    if not toolbox.tools or max_tool_turns < 1:
        return opening
    signatures = "\n".join(
        json.dumps({"type": "function", "function": signature}, ensure_ascii=False) for signature in toolbox.signatures
    )
    calls = {1: "one tool call", 2: "two tool calls"}.get(max_tool_turns, f"{max_tool_turns} tool calls")
    return (
        f"{opening}\n\n# Tools\n\n"
        f"You may make at most {calls} in total, with one <tool_call></tool_call> block per turn. "
        "After a call, stop and wait for its result.\n"
        "These are the functions, as JSON signatures inside <tools></tools>:\n"
        f"<tools>\n{signatures}\n</tools>\n\n"
        "Write a call as one JSON object with the function's name and its arguments:\n"
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>\n'
        f"Coordinates are {MEANING[boxes]}."
    )


def prompt_hash(messages: Sequence[Message]) -> str:
    """SHA-256 of the system prompt, in hexadecimal."""
    text = "".join(message.text for message in messages if message.role == "system")
    return hashlib.sha256(text.encode()).hexdigest()


def _user_parts(window: Window, gallery: Gallery, wire: Wire) -> list[Part]:
    numbers = {picture.candidate: index for index, picture in gallery.pictures.items()}
    parts = ["Query: ", *_query_parts(window.query, gallery, wire), "\n\nCandidates:"]
    for position, candidate in enumerate(window.candidates):
        parts.append(f"\n({position + 1}) ")
        parts += _candidate_parts(candidate, gallery, numbers.get(position), wire)
    parts.append("\n\nGuidelines: " + _guidelines(len(window.candidates), gallery))
    return _joined(parts)


def _query_parts(query: Query, gallery: Gallery, wire: Wire) -> list[str | ImagePart]:
    images = sorted((index for index in gallery.pictures if index <= 0), reverse=True)
    words = " ".join(plain(text, wire.max_text) for text in (query.instruction, query.text) if text)
    shown: list[str | ImagePart] = [ImagePart(gallery.pictures[index].view, index) for index in images]
    return [*shown, *([" "] if shown and words else []), words]


def _candidate_parts(candidate: Candidate, gallery: Gallery, number: int | None, wire: Wire) -> list[str | ImagePart]:
    document = candidate.document
    parts: list[str | ImagePart] = []
    if number is not None:
        parts.append(ImagePart(gallery.pictures[number].view, number))
    elif document.image is not None:
        parts.append("(image cannot be read)")
    if document.text:
        parts += [" " if parts else "", plain(document.text, wire.max_text)]
    return parts


def _guidelines(candidates: int, gallery: Gallery) -> str:
    several = sorted(-index for index in gallery.pictures if index < 0)
    more = (
        f"The query has {len(several) + 1} images; they are image 0"
        + "".join(f", image -{index}" for index in several)
        + " in this order. "
        if several
        else ""
    )
    return (
        f"Rank all {candidates} candidates from most to least relevant to the query. A query and a candidate may each "
        "be text, an image, or both. Image numbers count images: 0 is the query image, and 1 to "
        f"{gallery.candidate_images} are the candidates' images in order, so a candidate without an image has no image "
        f"number. {more}Compare the candidates step by step; where a detail decides and you cannot see it well, use a "
        "tool. Reason inside <think></think>, then give every candidate's number, best first: "
        "<think>your reasoning</think><answer>[2, 1, 3]</answer>"
    )


def _joined(pieces: Sequence[str | ImagePart]) -> list[Part]:
    """Neighbouring strings become one text part."""
    parts: list[Part] = []
    for piece in pieces:
        if isinstance(piece, ImagePart):
            parts.append(piece)
        elif piece and parts and isinstance(parts[-1], TextPart):
            parts[-1] = TextPart(parts[-1].text + piece)
        elif piece:
            parts.append(TextPart(piece))
    return parts


_TAG = re.compile(
    r"<(?=\s*/?\s*(?:think|answer|tool_call|tool_response|tools?|image|img|video|vision|system|user|assistant)\b|\||/s>|s>)",
    re.IGNORECASE,
)


def plain(text: str, most: int) -> str:
    """A query's or candidate's text made safe to stand in a prompt.

    One line (so that it cannot pose as the next candidate or as the guidelines), no control or invisible
    characters, `<` of anything that could be a protocol tag or a special token replaced by a look-alike,
    at most `most` characters.
    """
    cut = text[: most + 1]
    if not cut.isprintable():
        spaced = (" " if character.isspace() else character for character in cut)
        cut = "".join(character for character in spaced if unicodedata.category(character) not in _INVISIBLE)
    cut = _TAG.sub("\u2039", " ".join(cut.split()))
    return cut if len(text) <= most else cut[: max(0, most - len(CUT))] + CUT


_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")


# ---- model text to a call or a permutation


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
    return f"<think>{_TAG.sub(chr(0x2039), think)}</think>\n" if think else ""


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

"""A window to the messages that open its episode. The wording is our restatement of the released prompts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vretrver.boxes import MEANING, BoxFamily
from vretrver.errors import InvalidInput
from vretrver.messages import Conversation, ImagePart, Message, Part, TextPart, View
from vretrver.protocol.plain import plain
from vretrver.sizes import MAX_PIXELS, MIN_PIXELS, PATCH, shown_size
from vretrver.tools import Gallery, Picture, Toolbox
from vretrver.types import Candidate, ImageRef, Query, Window


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

    def showing(self, tokens: int) -> Wire:
        """The same dialect with smaller or larger pictures in the window; what a tool shows is not affected.

        Args:
            tokens: of 28x28 pixels, as Qwen2-VL and Qwen2.5-VL count, that one picture may take; Qwen3-VL's are 32x32.

        Raises:
            InvalidInput: fewer than the 4 that the smallest shown picture takes, or more than 5,120.
        """
        least, most = MIN_PIXELS // PATCH**2, MAX_PIXELS // PATCH**2
        if not least <= tokens <= most:
            raise InvalidInput(f"a window's picture takes {least} to {most} tokens; got {tokens}")
        return replace(self, window_pixels=tokens * PATCH**2)


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

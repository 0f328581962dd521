"""What the doctor asks a model: small questions with pictures painted for them, and what the answers mean.

Each takes a policy and gives a verdict; a request that fails is the caller's matter.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from vretrver.boxes import BoxFamily, to_original
from vretrver.errors import PolicyError
from vretrver.messages import Conversation, ImagePart, Message, Part, TextPart, View
from vretrver.policies.chat.faults import one_line
from vretrver.policies.chat.policy import ChatPolicy
from vretrver.protocol import is_empty, number_pictures, parse, render_window
from vretrver.sizes import shown_size
from vretrver.tools import default_toolbox
from vretrver.types import Box, Candidate, Document, ImageRef, Query, Window

Verdict: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
Colour: TypeAlias = tuple[int, int, int]

RED, GREEN, BLUE, GREY = (230, 10, 10), (0, 160, 0), (10, 10, 230), (128, 128, 128)
LARGE = (2000, 1500)
SQUARE: Box = (1300, 900, 1700, 1300)  # its numbers differ in every family: pixels shown, thousandths, pixels
OVERLAP = 0.5  # intersection over union from which numbers fit a family


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what: `reachable`, `model`, `stop`, `images`, `protocol`, `boxes`, `ids` or `latency`.
        verdict: `ok`, `warning`, `failed`, or `skipped` where an earlier failure left nothing to look at.
        found: what came.
        advice: what to do; empty when nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def images(chat: ChatPolicy) -> Check:
    """One question over two orders of two pictures: a guess fails one, and so does a server that keeps one picture."""
    given, said = _which_is_red(chat)
    if given == [1, 2]:
        return Check("images", "ok", "tells two pictures of one message apart")
    found = f"asked which of two pictures is red, it said {one_line(said[0], 60)!r} and {one_line(said[1], 60)!r}"
    return Check("images", "failed", found, "use a vision model, and let the server take 20 or more images a prompt")


def _which_is_red(chat: ChatPolicy) -> tuple[list[int | None], list[str]]:
    """What is answered to it for red and blue, then for blue and red: the numbers, and the words."""
    question = "Which image is red, the first or the second? Answer with its number alone, 1 or 2."
    first, second = painted((112, 112), RED), painted((112, 112), BLUE)
    pairs = [(first, second), (second, first)]
    said = [ask(chat, [*(_whole(ref, (112, 112), at) for at, ref in enumerate(pair)), question]) for pair in pairs]
    return [_number(text) for text in said], said


def protocol(chat: ChatPolicy) -> Check:
    """A window of two candidates, rendered as in a search."""
    documents = [Document("1", "a red tile", painted((224, 168), RED)), Document("2", None, painted((224, 168), BLUE))]
    window = Window(Query("a blue tile"), tuple(Candidate(one, 0.0, at) for at, one in enumerate(documents, start=1)))
    toolbox = default_toolbox()
    sizes = {one.image: (224, 168) for one in documents if one.image is not None}
    gallery = number_pictures(window, sizes, chat.wire)
    (completion,) = chat.complete([Conversation(window, render_window(window, gallery, toolbox, 2, chat.wire))])
    parsed = parse(completion.text, toolbox)
    said = one_line(completion.text, 120)
    advice = "the model was not trained for this protocol: expect windows left in incoming order; try tools=native"
    if parsed.call is not None:
        refusal = toolbox.run(parsed.call, gallery)
        if refusal.valid:
            return Check("protocol", "ok", f"makes a valid tool call: {parsed.call.name}")
        return Check("protocol", "warning", f"makes a tool call that is refused: {said!r}", advice)
    if parsed.answer is not None and not is_empty(parsed.answer, 2):
        return Check("protocol", "ok", f"answers with a ranking: [{one_line(parsed.answer.strip(' []'), 40)}]")
    if parsed.problem is not None:
        return Check("protocol", "failed", f"{parsed.problem} It wrote {said!r}", advice)
    return Check("protocol", "failed", f"neither a tool call nor an answer: {said!r}", advice)


def boxes(chat: ChatPolicy) -> Check:
    """Which family's reading of the numbers lies on the square."""
    shown = shown_size(*LARGE, max_pixels=chat.wire.window_pixels)
    question = (
        "Give the bounding box of the green square in this image as [x1, y1, x2, y2], its top left and bottom right "
        "corner. Answer with the four numbers alone."
    )
    said = ask(chat, [_whole(painted(LARGE, GREY, SQUARE, GREEN), shown, 0), question])
    numbers = [float(number) for number in re.findall(r"\d{1,6}(?:\.\d{1,6})?", said)[:4]]
    advice = "rely on select_images, or use a model that was trained to write boxes"
    if len(numbers) < 4:
        return Check("boxes", "warning", f"wrote no box: {one_line(said, 80)!r}", advice)
    overlaps = {family: _overlap(to_original(numbers, family, LARGE, shown), SQUARE) for family in get_args(BoxFamily)}
    best = max(overlaps, key=lambda family: overlaps[family])
    found = f"wrote {[round(number, 3) for number in numbers]}"
    if overlaps[best] < OVERLAP:
        return Check("boxes", "warning", f"{found}, which lies on the square in no family", advice)
    if max(numbers) <= 1:
        return Check("boxes", "ok", f"{found}: fractions, which every family reads")
    if best == chat.wire.boxes:
        return Check("boxes", "ok", f"{found}: {best}, as the policy reads it")
    why = " unless the released behaviour is to be reproduced" if chat.wire.boxes == "released" else ""
    return Check("boxes", "warning", f"{found}: {best}, but the policy reads {chat.wire.boxes}", f"use {best}{why}")


def ids(chat: ChatPolicy) -> Check:
    """The question of `images` with identifiers: the second order goes by them alone, where the server keeps them."""
    before = chat.usage.resent
    try:
        given = _which_is_red(chat.with_image_ids(True))[0]
    except PolicyError as fault:
        found = f"takes no identifiers with pictures: {one_line(cause(chat, fault), 120)}"
        return Check("ids", "failed", found, "leave image_ids off") if chat.image_ids else Check("ids", "ok", found)
    if given != [1, 2]:
        found = "passes over pictures that it is only given the identifiers of"
        return Check("ids", "failed", found, "leave image_ids off") if chat.image_ids else Check("ids", "ok", found)
    if chat.usage.resent > before:
        found = "keeps no pictures by their identifiers"
        return Check("ids", "warning", found, "leave image_ids off") if chat.image_ids else Check("ids", "ok", found)
    more = "" if chat.image_ids else "; image_ids=true would send each only once"
    return Check("ids", "ok", f"keeps pictures by their identifiers{more}")


def ask(chat: ChatPolicy, parts: Sequence[Part | str]) -> str:
    """The answer to one user message, without its thoughts."""
    said = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
    (completion,) = chat.complete([Conversation(Window(Query("doctor"), ()), [Message("user", said)])])
    return completion.text.rpartition("</think>")[2]


def _whole(image: ImageRef, size: tuple[int, int], index: int) -> ImagePart:
    return ImagePart(View(image, *size), index)


def _number(text: str) -> int | None:
    """The 1 or 2 of an answer that names one of them only."""
    words = set(re.findall(r"\b(?:1|2|first|second)\b", text.lower()))
    numbers = {1 if word in ("1", "first") else 2 for word in words}
    return numbers.pop() if len(numbers) == 1 else None


def _overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    areas = [max(0.0, one[2] - one[0]) * max(0.0, one[3] - one[1]) for one in (box, other)]
    return common / (sum(areas) - common)


def cause(chat: ChatPolicy, fault: Exception) -> str:
    return str(fault).removeprefix(f"{chat.name}: ")


def painted(size: tuple[int, int], colour: Colour, box: Box | None = None, inside: Colour = GREY) -> ImageRef:
    """A picture of one colour, with a box of another: a PNG, written by hand to need no drawing library."""
    width, height = size
    plain = b"\x00" + bytes(colour) * width
    x0, y0, x1, y1 = box or (0, 0, 0, 0)
    crossed = b"\x00" + bytes(colour) * x0 + bytes(inside) * (x1 - x0) + bytes(colour) * (width - x1)
    rows = plain * y0 + crossed * (y1 - y0) + plain * (height - y1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return ImageRef(data=b"\x89PNG\r\n\x1a\n" + data)

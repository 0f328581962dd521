"""Is a chat endpoint there, and can it do what a search asks of it? Small requests, one verdict each.

It leaves out quality: a model may pass every check and still rank badly.
"""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from vretrver.boxes import BoxFamily, to_original
from vretrver.errors import VretrverError
from vretrver.messages import Conversation, ImagePart, Message, Part, TextPart, View
from vretrver.policies.chat.faults import Fault, one_line
from vretrver.policies.chat.policy import ChatPolicy
from vretrver.policies.chat.response import read_json
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
SLOW = 20.0  # seconds of one small request that make a search tedious


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what: `reachable`, `model`, `stop`, `images`, `protocol`, `boxes` or `latency`.
        verdict: `ok`, `warning`, `failed`, or `skipped` where an earlier failure left nothing to look at.
        found: what came.
        advice: what to do; empty when nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found. `ok` when no check failed."""

    policy: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.verdict != "failed" for check in self.checks)

    def to_record(self) -> dict[str, Any]:
        rows = [{"name": one.name, "verdict": one.verdict, "found": one.found, "advice": one.advice} for one in self]
        return {"policy": self.policy, "ok": self.ok, "checks": rows}

    def __iter__(self) -> Any:
        return iter(self.checks)

    def __str__(self) -> str:
        lines = [f"{one.verdict:8}{one.name:10} {one.found}{f'. {one.advice}' if one.advice else ''}" for one in self]
        return "\n".join([self.policy, *lines])


def doctor(policy: ChatPolicy | str) -> Report:
    """Ask an endpoint a handful of small questions, each for at most two minutes and two retries.

    Args:
        policy: the policy, or its name, `chat:URL#MODEL`.

    Returns:
        The checks in the order in which they build on each other. A broken server is a finding, not an error.

    Raises:
        InvalidInput: the name is not one of a chat endpoint.
    """
    chat = (ChatPolicy.load(policy) if isinstance(policy, str) else policy).for_checks()
    try:
        return Report(chat.name, tuple(_checks(chat)))
    finally:
        chat.close()


def _checks(chat: ChatPolicy) -> list[Check]:
    reachable, model = _models(chat)
    stop, chat = _stop(chat) if reachable.verdict != "failed" else (_skipped("stop"), chat)
    checks = [reachable, model, stop]
    seconds: list[float] = []
    for name, look in (("images", _images), ("protocol", _protocol), ("boxes", _boxes)):
        checks.append(_skipped(name) if stop.verdict in ("failed", "skipped") else _looked(name, look, chat, seconds))
    return [*checks, _latency(seconds)]


def _models(chat: ChatPolicy) -> tuple[Check, Check]:
    try:
        reply = chat.get("/models")
        listed = read_json(reply.body, reply.headers).get("data")
    except VretrverError as fault:
        said = one_line(_cause(chat, fault))
        if re.match(r"HTTP (?!3|401|403)\d", said):
            found = Check("model", "warning", f"no list of models: {said}", "if more fails, look up the model's name")
            return Check("reachable", "ok", "the server answers"), found
        return Check("reachable", "failed", said, _what_to_do(said)), _skipped("model")
    except Fault as fault:
        advice = "check that the URL ends where /chat/completions goes on, usually in /v1"
        return Check("reachable", "failed", str(fault), advice), _skipped("model")
    rows = listed if isinstance(listed, list) else []
    names = [str(row.get("id")) for row in rows if isinstance(row, dict)]
    found = Check("reachable", "ok", "the server answers")
    if chat.model in names:
        return found, Check("model", "ok", f"{chat.model} is listed")
    shown = one_line(", ".join(names[:8]) or "nothing", 300)
    return found, Check("model", "warning", f"{chat.model} is not listed; there is {shown}", "choose one that is")


def _stop(chat: ChatPolicy) -> tuple[Check, ChatPolicy]:
    """Whether a stop text is taken; and the policy to go on with, since all else would fail for the same reason."""
    said = _refusal(chat)
    if said is None:
        return Check("stop", "ok", "takes text alone, and a text to stop at"), chat
    other = chat.without_stop()
    if said.startswith("HTTP") and _refusal(other) is None:
        return Check("stop", "warning", f"fails when asked to stop at a text: {said}", "pass stop=False"), other
    return Check("stop", "failed", said, _what_to_do(said)), chat


def _refusal(chat: ChatPolicy) -> str | None:
    """Why a request of a few words fails; None when it does not, whatever is answered."""
    try:
        _ask(chat, ["Say yes."])
    except VretrverError as fault:
        said = one_line(_cause(chat, fault))
        return None if said.startswith("the answer is empty") else said
    return None


def _looked(name: str, look: Callable[[ChatPolicy], Check], chat: ChatPolicy, seconds: list[float]) -> Check:
    started = time.perf_counter()
    try:
        check = look(chat)
    except VretrverError as fault:
        said = one_line(_cause(chat, fault))
        return Check(name, "failed", said, _what_to_do(said))
    seconds.append((time.perf_counter() - started) / (2 if name == "images" else 1))
    return check


def _images(chat: ChatPolicy) -> Check:
    """One question over two orders of two pictures: a guess fails one, and so does a server that keeps one picture."""
    question = "Which image is red, the first or the second? Answer with its number alone, 1 or 2."
    first, second = painted((112, 112), RED), painted((112, 112), BLUE)
    pairs = [(first, second), (second, first)]
    said = [_ask(chat, [*(_whole(ref, (112, 112), at) for at, ref in enumerate(pair)), question]) for pair in pairs]
    given = [_number(text) for text in said]
    if given == [1, 2]:
        return Check("images", "ok", "tells two pictures of one message apart")
    found = f"asked which of two pictures is red, it said {one_line(said[0], 60)!r} and {one_line(said[1], 60)!r}"
    return Check("images", "failed", found, "use a vision model, and let the server take 20 or more images a prompt")


def _protocol(chat: ChatPolicy) -> Check:
    """A window of two candidates, rendered as in a search."""
    documents = [Document("1", "a red tile", painted((224, 168), RED)), Document("2", None, painted((224, 168), BLUE))]
    window = Window(Query("a blue tile"), tuple(Candidate(one, 0.0, at) for at, one in enumerate(documents, start=1)))
    toolbox = default_toolbox()
    sizes = {one.image: (224, 168) for one in documents if one.image is not None}
    gallery = number_pictures(window, sizes, chat.wire)
    (completion,) = chat.complete([Conversation(window, render_window(window, gallery, toolbox, 2, chat.wire))])
    parsed = parse(completion.text, toolbox)
    said = one_line(completion.text, 120)
    advice = "the model was not trained for this protocol: expect windows left in incoming order; try tools='native'"
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


def _boxes(chat: ChatPolicy) -> Check:
    """Which family's reading of the numbers lies on the square."""
    shown = shown_size(*LARGE, max_pixels=chat.wire.window_pixels)
    question = (
        "Give the bounding box of the green square in this image as [x1, y1, x2, y2], its top left and bottom right "
        "corner. Answer with the four numbers alone."
    )
    said = _ask(chat, [_whole(painted(LARGE, GREY, SQUARE, GREEN), shown, 0), question])
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


def _latency(seconds: Sequence[float]) -> Check:
    if not seconds:
        return _skipped("latency")
    typical = sorted(seconds)[len(seconds) // 2]
    found = f"{typical:.2f} s for a small request"
    if typical <= SLOW:
        return Check("latency", "ok", found)
    return Check("latency", "warning", found, "rank fewer candidates, or set a budget of seconds")


def _ask(chat: ChatPolicy, parts: Sequence[Part | str]) -> str:
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


def _cause(chat: ChatPolicy, fault: Exception) -> str:
    return str(fault).removeprefix(f"{chat.name}: ")


def _what_to_do(said: str) -> str:
    if re.match(r"HTTP 3", said):
        return "give the final URL"
    if re.match(r"HTTP 40[13]\b", said):
        return "put the server's key into VRETRVER_API_KEY"
    if re.match(r"HTTP 404\b", said):
        return "check the model's name, and that the URL ends in /v1"
    if re.match(r"HTTP 4(00|13|22)\b", said):
        return "the server takes no such request: does the model take images, and several in one message?"
    if said.startswith("HTTP"):
        return "look into the server's log"
    return "check that the server runs, and its host and port"


def _skipped(name: str) -> Check:
    return Check(name, "skipped", "not asked, because an earlier check failed")


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

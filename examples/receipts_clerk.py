"""The clerk: an agent of one's own for receipts. All that it takes is a method `complete(conversations)`.

It reads each candidate, compares what is printed with what is wanted (`receipts_reading`), enlarges small print where
something wanted is still missing, shows the lines that decide, and ranks. No model, no training: rules for days,
amounts and numbers, which the embedded agent of the package does not have. Boxes are pixels of the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from receipts_reading import Detail, Met, around, met_on, wanted

from vretrver.errors import ImageError, MissingPath
from vretrver.images import crop, image_size, open_image
from vretrver.messages import Completion, Conversation, ToolCall
from vretrver.ocr import MAX_SIDE, TRUSTED, Line, Reads
from vretrver.protocol import Wire, candidate_pictures, render_answer, render_tool_call
from vretrver.types import Box, ImageRef

SMALL = 22  # pixels: lines of print lower than this are worth enlarging
SURE = 0.95
LOOKS = 2  # one to enlarge small print, one to show what decides; more found no more here
ENLARGE, SHOW = "Small print, enlarged: something is missing.", "These lines decide."


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate: what was read on it, what is met by that, and how much of what is wanted that is, 0..1."""

    lines: Sequence[Line]
    met: tuple[Met, ...]
    share: float

    @property
    def height(self) -> float:
        """Of the lines that were read, in pixels."""
        return median([line.box[3] - line.box[1] for line in self.lines] or [0])

    @property
    def is_small(self) -> bool:
        """Whether there is print that would be read better if it were larger."""
        return len(self.lines) > 5 and self.height < SMALL


class Clerk:
    """Ranks receipts by what is printed on them.

    Args:
        reader: reads print; one that remembers (`vretrver.ocr_memory`) spares much time.
    """

    name = "clerk"
    at_once = 1
    wire = Wire()  # boxes in pixels of the original

    def __init__(self, reader: Reads) -> None:
        self._reader = reader
        self._known: dict[tuple[ImageRef, Box | None], list[Line]] = {}

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        return [self._next(conversation) for conversation in conversations]

    def _next(self, conversation: Conversation) -> Completion:
        details = wanted(conversation.window.query.text or "")
        enlarged = _crops(conversation)
        judged = [self._judged(details, c.document.image, enlarged) for c in conversation.window.candidates]
        order = sorted(range(len(judged)), key=lambda at: (-judged[at].share, at))
        said = _said(order, judged, len(details))
        relevance = tuple(SURE * one.share**3 for one in judged)  # two of three details are no two thirds of an answer
        look = _look(order, judged, conversation) if details else None
        if look is None:
            return Completion(render_answer(order, said), relevance=relevance)
        why, number, box = look
        call = ToolCall("crop_image", {"bbox_2d": list(box), "target_image": number})
        return Completion(render_tool_call(call, f"{said}\n{why}"), relevance=relevance)

    def _judged(self, details: Sequence[Detail], image: ImageRef | None, enlarged: dict[ImageRef, list[Box]]) -> Judged:
        if image is None:
            return Judged((), (), 0.0)
        try:
            lines = self.lines(image) + [line for box in enlarged.get(image, ()) for line in self.lines(image, box)]
        except (ImageError, MissingPath):
            lines = []
        met = tuple(met_on(lines, details))
        return Judged(lines, met, sum(one.share for one in met) / max(1, len(details)))

    def lines(self, image: ImageRef, box: Box | None = None) -> list[Line]:
        """The print on a picture, or on a part of it enlarged, in pixels of the original. Read once and kept."""
        if (image, box) not in self._known:
            picture = open_image(image, near=MAX_SIDE // 2) if box is None else crop(image, box)
            scale = image_size(image)[0] / picture.width if box is None else 1.0
            lines = [line for line in self._reader.read(picture) if line.score >= TRUSTED]
            self._known[image, box] = [_scaled(line, scale, (0, 0) if box is None else box[:2]) for line in lines]
        return self._known[image, box]


def _scaled(line: Line, scale: float, start: tuple[int, int]) -> Line:
    x0, y0, x1, y1 = (round(side * scale) + start[at % 2] for at, side in enumerate(line.box))
    return Line(line.text, (x0, y0, x1, y1), line.score)


def _look(order: Sequence[int], judged: Sequence[Judged], conversation: Conversation) -> tuple[str, int, Box] | None:
    """What to look at next, and why: small print that may hold what is missing, then the lines that decide."""
    shown = candidate_pictures(conversation)
    before = [message.text for message in conversation.messages if message.role == "assistant"]
    if len(before) >= LOOKS or any(SHOW in said for said in before):
        return None
    known = _crops(conversation)
    if judged[order[0]].share < 1 and len(before) < LOOKS - 1:
        small = [at for at in order if at in shown and shown[at].view.image not in known and judged[at].is_small]
        # Where something was met the rest may be; then whatever is printed smallest.
        for at in sorted(small, key=lambda at: (not judged[at].met, judged[at].height)):
            image = shown[at].view.image
            return ENLARGE, shown[at].index, around(judged[at].lines, image_size(image))
    best = next((at for at in order if at in shown and judged[at].met), None)
    if best is None:
        return None
    return SHOW, shown[best].index, _deciding(judged[best].met, image_size(shown[best].view.image))


def _deciding(met: Sequence[Met], size: tuple[int, int]) -> Box:
    """Around the lines that decide, where they stand near each other; else around the last of the best met."""
    sure = [one.line for one in met if one.share == 1] or [one.line for one in met]
    box = around(sure, size)
    return box if box[3] - box[1] < size[1] / 3 else around(sure[-1:], size)


def _crops(conversation: Conversation) -> dict[ImageRef, list[Box]]:
    """The parts that were shown so far."""
    found: dict[ImageRef, list[Box]] = {}
    shown = [part for message in conversation.messages[2:] if message.role == "user" for part in message.views]
    for part in shown:
        if part.view.box is not None:
            found.setdefault(part.view.image, []).append(part.view.box)
    return found


def _said(order: Sequence[int], judged: Sequence[Judged], count: int) -> str:
    """What stands on the first three, in words."""
    said = []
    for at in order[:3]:
        parts = [
            f'{m.detail.said} {"" if m.share == 1 else "nearly "}stands in "{m.line.text}"' for m in judged[at].met
        ]
        missing = f"; {count - len(parts)} not found" if count > len(parts) else ""
        said.append(f"({at + 1}): {'; '.join(parts) or 'nothing of it was read'}{missing}.")
    return "\n".join(said)

"""What the fake model writes: tool calls and rankings in the released protocol, from a relevance it alone knows."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from vretrver.boxes import BoxFamily
from vretrver.images import image_size
from vretrver.messages import ToolCall
from vretrver.protocol import render_answer, render_tool_call
from vretrver.testing import rankgpt
from vretrver.testing.eyes import seen
from vretrver.testing.reading import Item, Reading
from vretrver.types import ImageRef

Relevance: TypeAlias = Callable[[str, str, bytes | None], float]
"""Query text, a candidate's text, its picture's bytes as sent (JPEG) or None -> relevance; higher is better."""

_VERB = r"\b(?:rank|put|place|choose|select|pick|prefer|list|make|move)\s+"
_TOP = r"\b(?:first|top|best|above|number one|1)\b"
_FIRST = re.compile(
    r"(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|previous|above|other|earlier)"
    rf"|{_VERB}(?:this|me|it)\b.{{0,40}}{_TOP}",
    re.IGNORECASE,
)
_NAMED = re.compile(rf"{_VERB}(?:candidate|number|item)?\s*\(?(\d{{1,3}})\)?\s.{{0,30}}{_TOP}", re.IGNORECASE)
_ORDER = re.compile(r"\b(?:answer|ranking|order|output)\b.{0,20}?\[([\d ,]{1,100})\]", re.IGNORECASE)
_SAY = re.compile(
    r"\b(?:answer|reply|respond|say|write|output)\s+(?:only |exactly |with )*[:\"'“](.{1,200}?)[\"'”]", re.I
)


@dataclass(frozen=True, slots=True)
class Agent:
    """Answers readings; the same reading always gets the same answer.

    Args:
        relevance: what it knows.
        seed: of the noise and of who looks.
        noise: standard deviation of what is added to a relevance, drawn for each window and candidate; halved for a
            candidate whose picture a tool has shown.
        position_bias: what the first candidate of a window gains over the last.
        look_share: probability of a tool call in each turn that allows one; with 1, every window is looked at twice.
        boxes: the coordinates in which it writes boxes.
        gullible: whether it obeys the first instruction that stands in a candidate's text: to rank something first, to
            forget other instructions (it then ranks that candidate first), to give an order, to say something.
    """

    relevance: Relevance
    seed: int = 0
    noise: float = 0.0
    position_bias: float = 0.0
    look_share: float = 0.5
    boxes: BoxFamily = "0-1000"
    gullible: bool = False

    def text(self, reading: Reading) -> str:
        """The whole generation, its tool call closed."""
        if reading.query is None:
            return seen(reading, self.boxes) or "I can only rank candidates."
        scores = self._scores(reading.query, reading)
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        obeyed = self._obeyed(reading.candidates, order) if self.gullible else None
        if obeyed is not None:
            return obeyed
        if reading.rankgpt:
            return rankgpt.render(order)
        call = self._call(reading, order)
        if call is not None:
            return render_tool_call(call, "A closer look may decide.")
        said = "; ".join(f"({at + 1}) scores {scores[at]:.3f}" for at in order[:3])
        return render_answer(order, f"{said}.")

    def _scores(self, query: Item, reading: Reading) -> list[float]:
        window = "\n".join(_digest(item) for item in (query, *reading.candidates))
        last = max(1, len(reading.candidates) - 1)
        scores = []
        for at, item in enumerate(reading.candidates):
            noise = self._draw(window, _digest(item)).gauss(0, self.noise) if self.noise else 0.0
            noise *= 0.5 if item.number in reading.looked_at else 1.0
            scores.append(
                self.relevance(query.text, item.text, item.image) + noise + self.position_bias * (1 - at / last)
            )
        return scores

    def _call(self, reading: Reading, order: list[int]) -> ToolCall | None:
        shown = [item for at in order if (item := reading.candidates[at]).number is not None]
        window = "\n".join(_digest(item) for item in reading.candidates)
        draw = self._draw("look", window, str(reading.turn)).random()
        if not shown or not reading.may_call or draw >= self.look_share:
            return None
        if reading.turn == 0:
            return ToolCall("select_images", {"target_images": sorted(item.number or 0 for item in shown[:2])})
        return ToolCall("crop_image", {"bbox_2d": self._middle(shown[0]), "target_image": shown[0].number})

    def _middle(self, item: Item) -> list[Any]:
        """The middle of a picture in this model's coordinates; fractions where they are the original's pixels, whose
        number a model cannot know."""
        assert item.image is not None
        if self.boxes == "released":
            return [0.25, 0.25, 0.75, 0.75]
        width, height = (1000, 1000) if self.boxes == "0-1000" else image_size(ImageRef(data=item.image))
        return [width // 4, height // 4, width * 3 // 4, height * 3 // 4]

    def _obeyed(self, candidates: list[Item], order: list[int]) -> str | None:
        for at, item in enumerate(candidates):
            if said := _SAY.search(item.text):
                return said[1]
            if told := _ORDER.search(item.text):
                return f"<answer>[{told[1]}]</answer>"
            named = _NAMED.search(item.text)
            first = int(named[1]) - 1 if named else at if _FIRST.search(item.text) else None
            if first is not None and first in order:
                return render_answer([first, *(other for other in order if other != first)], "As I was told.")
        return None

    def _draw(self, *what: str) -> random.Random:
        return random.Random(hashlib.sha256("\x1f".join([str(self.seed), *what]).encode()).digest())  # noqa: S311


def _digest(item: Item) -> str:
    return hashlib.sha256(item.text.encode("utf-8", "replace") + b"\x00" + (item.image or b"")).hexdigest()

"""What each look of a trace cost, and whether it showed anything that had not been shown.

The unit of cost is a token as Qwen2.5-VL counts them: a patch of 28 x 28 shown pixels, or four characters of text
(the call, and the words that answer it). Both are read off the trace, so a rollout costs the same whoever generates it.
It leaves out whether a look helped (`filtering.sightings`, `counterfactual`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vretrver.messages import ImagePart, Observation, TextPart, View
from vretrver.sizes import PATCH
from vretrver.trace import Trace, Turn
from vretrver.types import Box

CHARACTERS = 4
"""Characters of text to a token, about."""
SAME = 0.9
"""A view shows nothing new when an earlier one held this share of it, at this share of its magnification or more."""


@dataclass(frozen=True, slots=True)
class Look:
    """One turn that a tool answered.

    Args:
        number: which of the trace's turns, from 0.
        tool: its name; empty for what was no call.
        valid: False when it was refused.
        fresh: whether it showed a picture, or a part of one, that had not been shown so before.
        tokens: of the pictures it showed, of the call and of the words that answered it.
    """

    number: int
    tool: str
    valid: bool
    fresh: bool
    tokens: float

    @property
    def redundant(self) -> bool:
        """Refused, made twice, or showing only what had been shown."""
        return not (self.valid and self.fresh)


def looks_of(trace: Trace) -> list[Look]:
    """Every look of a trace, in order."""
    shown = _pictures(trace.prompt)
    found = []
    for number, turn in enumerate(trace.turns):
        seen = turn.observation
        if seen is None:
            continue
        pictures = _pictures(seen.parts)
        fresh = any(_is_new(one, shown) for one in pictures)
        found.append(Look(number, turn.call.name if turn.call else "", seen.valid, fresh, _tokens(turn, seen)))
        shown += pictures
    return found


def _pictures(parts: Iterable[object]) -> list[View]:
    return [part.view for part in parts if isinstance(part, ImagePart)]


def _tokens(turn: Turn, seen: Observation) -> float:
    call = turn.text.rfind("<tool_call>")
    words = len(turn.text[call:]) if call >= 0 else 0
    words += sum(len(part.text) for part in seen.parts if isinstance(part, TextPart))
    return sum(view.width * view.height for view in _pictures(seen.parts)) / PATCH**2 + words / CHARACTERS


def _is_new(view: View, before: Iterable[View]) -> bool:
    return not any(_holds(old, view) for old in before if old.image == view.image)


def _holds(old: View, new: View) -> bool:
    """Whether an earlier view of the same original shows what a new one does.

    A trace has no original's size, so a part is not measured against the whole: it counts as new.
    """
    if old.box is None or new.box is None:
        return old.box is None and new.box is None and old.width >= SAME * new.width
    if _area(_common(old.box, new.box)) < SAME * _area(new.box):
        return False
    return _scale(old, old.box) >= SAME * _scale(new, new.box)


def _common(one: Box, other: Box) -> Box:
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _scale(view: View, box: Box) -> float:
    """Shown pixels to a pixel of the original; the smaller of the two ways."""
    return min(view.width / (box[2] - box[0]), view.height / (box[3] - box[1]))

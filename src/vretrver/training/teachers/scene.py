"""What the oracle reads off a conversation: tools, calls left, box family, what has been shown, what that settles."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from vretrver.boxes import MEANING, BoxFamily, from_original
from vretrver.messages import Conversation, ImagePart, ToolCall
from vretrver.protocol import candidate_pictures
from vretrver.training.truths import Question, shows
from vretrver.types import Box
from vretrver.world import Truth

_CALLS = {"one": 1, "two": 2}
_CALL = re.compile(r"<tool_call>(.*)</tool_call>", re.DOTALL)
_MARGIN = 0.12  # the most by which a side of the tag's box is set too far out


@dataclass(frozen=True)
class Scene:
    """A conversation as the oracle reads it. Positions count candidates from 0; the query's picture is None."""

    conversation: Conversation
    question: Question
    ids: tuple[str, ...]

    @property
    def turn(self) -> int:
        return sum(message.role == "assistant" for message in self.conversation.messages)

    @property
    def last_call(self) -> ToolCall | None:
        """The call of the last turn; None before any."""
        said = [message.text for message in self.conversation.messages if message.role == "assistant"]
        written = _CALL.search(said[-1]) if said else None
        call = json.loads(written[1]) if written else None
        return None if call is None else ToolCall(call["name"], call["arguments"])

    @cached_property
    def numbers(self) -> dict[int | None, int]:
        """The number on the wire of every picture that the opening shows."""
        found: dict[int | None, int] = {at: part.index for at, part in candidate_pictures(self.conversation).items()}
        if any(part.index == 0 for part in self.conversation.messages[1].views):
            found[None] = 0
        return found

    @cached_property
    def truths(self) -> dict[int | None, Truth]:
        """The truth about every picture that can be looked at."""
        known: dict[int | None, Truth] = {
            at: self.question.pictures[name] for at, name in enumerate(self.ids) if name in self.question.pictures
        }
        if self.question.query is not None:
            known[None] = self.question.query
        return {at: one for at, one in known.items() if at in self.numbers}

    @cached_property
    def seen(self) -> list[int | None]:
        """Whose detail has been shown, in that order; texts are there to be read from the beginning."""
        texts: list[int | None] = [at for at, name in enumerate(self.ids) if name not in self.question.pictures]
        views = [part for message in self.conversation.messages if message.role == "user" for part in message.views]
        return list(dict.fromkeys([*texts, *self._shown(views)]))

    @property
    def new(self) -> list[int | None]:
        """Whose detail the last message has shown."""
        return self._shown(self.conversation.messages[-1].views)

    def _shown(self, views: Sequence[ImagePart]) -> list[int | None]:
        place = {number: at for at, number in self.numbers.items()}
        return [
            at
            for part in views
            if (at := place.get(part.index, -1)) in self.truths and shows(part.view, self.truths[at])
        ]

    @property
    def needs_query(self) -> bool:
        """Whether the query's picture must be seen to know what is wanted."""
        return self.question.modality in ("i->i", "i->t") or self.step != 0

    @cached_property
    def step(self) -> int:
        """1 or -1 where the query asks for one more or one fewer than its picture has."""
        text = f" {self.question.text or ''} ".lower()
        if self.question.modality != "(i,t)->i" or self.question.kind != "count":
            return 0
        return (
            (1 if re.search(r"\bone (more|.+ more) ", text) else -1) if re.search(r" (more|fewer|less) ", text) else 0
        )

    @property
    def known(self) -> bool:
        return not self.needs_query or None in self.seen

    @property
    def match(self) -> int | None:
        """The position that was seen to be right; or the only one not seen, when all others are ruled out."""
        if not self.known:
            return None
        right = self.ids.index(self.question.relevant) if self.question.relevant in self.ids else None
        unseen = self.unseen
        if right in self.seen:
            return right
        return unseen[0] if len(unseen) == 1 and right is not None else None

    @property
    def unseen(self) -> list[int]:
        return [at for at in range(len(self.ids)) if at not in self.seen]

    @property
    def settled(self) -> bool:
        return self.match is not None

    @property
    def needed(self) -> list[int | None]:
        """What is to be looked at, first things first."""
        missing = [at for at in (None, *range(len(self.ids))) if at in self.truths and at not in self.seen]
        return [at for at in missing if at is not None or self.needs_query]

    def order(self, of_truth: bool = False) -> list[int]:
        """The ranking: what matches, then what was not seen, then what was ruled out, each in incoming order."""
        first = (
            self.ids.index(self.question.relevant) if of_truth and self.question.relevant in self.ids else self.match
        )
        ruled_out = set(self.seen) if self.known else set()
        return sorted(range(len(self.ids)), key=lambda at: (at != first, at in ruled_out, at))

    @cached_property
    def system(self) -> str:
        return self.conversation.messages[0].text

    def offers(self, tool: str) -> bool:
        return f'"name": "{tool}"' in self.system

    @property
    def calls_left(self) -> int:
        """How many more calls the system prompt allows."""
        said = re.search(r"at most (\w+) tool calls? in total", self.system)
        allowed = _CALLS.get(said[1]) or int(said[1]) if said else 0
        return max(0, allowed - self.turn)

    @property
    def boxes(self) -> BoxFamily:
        said = self.system.rpartition("Coordinates are ")[2]
        return next((family for family, meaning in MEANING.items() if said == f"{meaning}."), "released")

    def box(self, at: int | None, dice: Random, margin: float = _MARGIN) -> list[float]:
        """The tag of a picture in the model's own coordinates, on every side too large by at most `margin` of it."""
        known, number = self.truths[at], self.numbers[at]
        x0, y0, x1, y1 = known.tag
        across, down = margin * (x1 - x0), margin * (y1 - y0)
        left, top, right, bottom = (round(dice.uniform(0, reach)) for reach in (across, down, across, down))
        width, height = known.size
        box: Box = (max(0, x0 - left), max(0, y0 - top), min(width, x1 + right), min(height, y1 + bottom))
        whole = [part.view for message in self.conversation.messages for part in message.views if part.index == number]
        shown = [view for view in whole if view.box is None][-1]
        return from_original(box, self.boxes, known.size, (shown.width, shown.height))

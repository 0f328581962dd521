"""The oracle of the small-detail world: it knows what is true, looks where that can be seen, and says what it saw.

It is an ordinary policy: it reads the conversation (tools, calls left, box family, what was shown so far) and writes
the next turn. It names a candidate's detail only once a look has shown it, one verdict a candidate, and ranks when the
question is settled or no call is left; a candidate that was not looked at comes before those that were ruled out. The
truth decides what a look shows, never where it looks: candidates are taken in the order in which they stand.

What it leaves out: mistakes. It never misreads, doubts or looks beside, so its students see no recovery.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from vretrver.boxes import MEANING, BoxFamily, from_original
from vretrver.datasets import Task
from vretrver.errors import InvalidInput
from vretrver.messages import Completion, Conversation, ImagePart, ToolCall
from vretrver.protocol import candidate_pictures, render_answer, render_tool_call
from vretrver.tools import compare_crops, select_images
from vretrver.training.teachers.phrases import BOOKS, Book
from vretrver.training.truths import Question, World, shows
from vretrver.types import Box
from vretrver.world import Truth
from vretrver.world.icons import spoken
from vretrver.world.wording import with_article

_CALLS = {"one": 1, "two": 2}
_SELECTS = 0.2  # so often whole pictures are compared where crops could be
_CROPS = 0.5  # so often a single look is a crop_image where it could be a compare_crops
_SPLITS = 0.25  # so often what one look could show is taken in two, so that a second turn is learned too
_MARGIN = 0.12  # the most by which a side of the tag's box is set too far out


class OracleTeacher:
    """Teaches tasks of the small-detail world.

    Args:
        style: whose words: `ledger`, `narrator` or `terse` (`teachers.phrases`).
        looks: False answers at once, in the same words, without a look: for a control.
        splits: how often it takes two looks where one would do, 0..1.

    Raises:
        InvalidInput: no such style.
    """

    def __init__(self, style: str = "ledger", looks: bool = True, splits: float = _SPLITS) -> None:
        if style not in BOOKS:
            raise InvalidInput(f"unknown style {style!r} of the oracle; choose from {', '.join(BOOKS)}")
        self.style, self.looks, self.splits = style, looks, splits

    @property
    def name(self) -> str:
        return f"{'oracle' if self.looks else 'blind'}:{self.style}"

    def policy(self, task: Task, seed: int = 0) -> OraclePolicy:
        """As `Teacher.policy`.

        Raises:
            InvalidInput: the task is not the world's.
        """
        return OraclePolicy(World.of(task), self.style, seed=seed, looks=self.looks, splits=self.splits)


class OraclePolicy:
    """Answers windows of one world. Its boxes are in whatever family the system prompt speaks of."""

    def __init__(
        self, world: World, style: str = "ledger", *, seed: int = 0, looks: bool = True, splits: float = _SPLITS
    ) -> None:
        self.name = f"{'oracle' if looks else 'blind'}:{style}"
        self._world, self._book, self._seed, self._looks, self._splits = world, BOOKS[style], seed, looks, splits

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """One turn per conversation.

        Raises:
            InvalidInput: a window is none of this world.
        """
        return [Completion(self._next(conversation)) for conversation in conversations]

    def _next(self, conversation: Conversation) -> str:
        ids = [candidate.document.id for candidate in conversation.window.candidates]
        scene = Scene(conversation, self._world.question(ids), tuple(ids))
        dice = Random(json.dumps([self._seed, self.name, scene.turn, ids]))  # noqa: S311
        teller = Teller(scene, self._book, dice)
        if not self._looks:
            return render_answer(scene.order(of_truth=True), teller.guess())
        needed = [] if scene.settled or not scene.calls_left else scene.needed
        at_once = compare_crops.MOST if scene.offers("compare_crops") else select_images.MOST
        if 2 < len(needed) <= at_once and scene.calls_left > 1 and dice.random() < self._splits:
            needed = needed[: 1 if None in needed else len(needed) // 2]
        call, looked_at = _call(scene, needed, dice) if needed else (None, [])
        think = teller.turn(call, looked_at)
        return render_answer(scene.order(), think) if call is None else render_tool_call(call, think)


@dataclass(frozen=True)
class Scene:
    """A conversation as the oracle reads it. Positions count candidates from 0; the query's picture is None."""

    conversation: Conversation
    question: Question
    ids: tuple[str, ...]

    @property
    def turn(self) -> int:
        return sum(message.role == "assistant" for message in self.conversation.messages)

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

    def box(self, at: int | None, dice: Random) -> list[float]:
        """The tag of a picture in the model's own coordinates, a little too large on every side."""
        known, number = self.truths[at], self.numbers[at]
        x0, y0, x1, y1 = known.tag
        across, down = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
        left, top, right, bottom = (round(dice.uniform(0, reach)) for reach in (across, down, across, down))
        width, height = known.size
        box: Box = (max(0, x0 - left), max(0, y0 - top), min(width, x1 + right), min(height, y1 + bottom))
        whole = [part.view for message in self.conversation.messages for part in message.views if part.index == number]
        shown = [view for view in whole if view.box is None][-1]
        return from_original(box, self.boxes, known.size, (shown.width, shown.height))


def _call(scene: Scene, needed: list[int | None], dice: Random) -> tuple[ToolCall | None, list[int | None]]:
    """The next look, and at whom; none where no tool is offered."""
    compare, select, crop = (scene.offers(name) for name in ("compare_crops", "select_images", "crop_image"))
    if crop and (not (compare or select) or (len(needed) == 1 and dice.random() < _CROPS)):
        return _crop(scene, needed[0], dice), needed[:1]
    if select and (not compare or (len(needed) <= select_images.MOST and dice.random() < _SELECTS)):
        # Five to see in two turns: the query's tag by itself, then the four.
        if crop and None in needed and len(needed) == select_images.MOST + 1 and scene.calls_left > 1:
            return _crop(scene, None, dice), [None]
        chosen = needed[: select_images.MOST]
        return ToolCall("select_images", {"target_images": [scene.numbers[at] for at in chosen]}), chosen
    if compare:
        chosen = needed[: compare_crops.MOST]
        crops = [{"target_image": scene.numbers[at], "bbox_2d": scene.box(at, dice)} for at in chosen]
        return ToolCall("compare_crops", {"crops": crops}), chosen
    return None, []


def _crop(scene: Scene, at: int | None, dice: Random) -> ToolCall:
    return ToolCall("crop_image", {"bbox_2d": scene.box(at, dice), "target_image": scene.numbers[at]})


class Teller:
    """Puts a turn of the oracle into the words of a style."""

    def __init__(self, scene: Scene, book: Book, dice: Random) -> None:
        self._scene, self._book, self._dice = scene, book, dice
        self._question = scene.question

    def turn(self, call: ToolCall | None, looked_at: Sequence[int | None]) -> str:
        """The thoughts of a turn: before the first look, after one, or before the ranking."""
        scene, book = self._scene, self._book
        said = self._opening() if scene.turn == 0 else []
        if call is None:
            said += [*self._findings(scene.seen), *self._rest()]
            said.append(self._say(book.open) if scene.match is None else self._say(book.concludes, n=_n(scene.match)))
        else:
            if scene.turn > 0:
                said += [*self._findings(scene.new), self._say(book.further)]
            plan = {"compare_crops": book.compare, "select_images": book.select}.get(call.name, book.crop)
            said.append(self._say(plan, names=_listed([_n(at) for at in looked_at])))
        return book.between.join(said)

    def guess(self) -> str:
        """The thoughts of an answer without any look."""
        guess = self._say(self._book.guesses, n=_n(self._scene.order(of_truth=True)[0]))
        return self._book.between.join([*self._opening(), guess])

    def _opening(self) -> list[str]:
        scene, book, asked = self._scene, self._book, self._question
        thing = next(iter(scene.truths.values()), None)
        if asked.modality == "i->t":
            said = "; ".join(f"{_n(at)} {asked.said(asked.values[name])}" for at, name in enumerate(scene.ids))
            return [self._say(book.texts, said=said), self._say(book.hidden_query)]
        hidden = [] if thing is None else [self._say(book.hidden, all=_listed(self._all()), thing=_thing(thing))]
        if asked.modality == "i->i":
            return [self._say(book.same), *hidden]
        if scene.step:
            ways = {"way": "more", "sign": "plus"} if scene.step > 0 else {"way": "fewer", "sign": "minus"}
            return [self._say(book.steps, subject=spoken(str(asked.subject)), **ways), *hidden]
        return [self._say(book.asks, wanted=asked.said(asked.wanted)), *hidden]

    def _all(self) -> list[str]:
        return [_n(at) for at in range(len(self._scene.ids))]

    def _findings(self, seen: Sequence[int | None]) -> list[str]:
        """What was shown: the query's picture first, then a verdict on each candidate, as they stand."""
        scene, book, asked = self._scene, self._book, self._question
        found = []
        if None in seen and asked.query is not None and scene.needs_query:
            found.append(self._say(book.query, value=asked.said(asked.query.value)))
            if scene.step:
                way = "more" if scene.step > 0 else "fewer"
                found.append(self._say(book.step, way=way, wanted=asked.said(asked.wanted)))
        candidates = sorted(at for at in seen if at is not None)
        if not scene.known:
            return found
        texts = asked.modality == "i->t"
        phrasings = {True: book.says_yes if texts else book.yes, False: book.says_no if texts else book.no}
        drawn = {right: (self._draw(some),) for right, some in phrasings.items()}
        for at in candidates:
            value = asked.values[scene.ids[at]]
            some = (phrasings if book.mixed else drawn)[value == asked.wanted]
            found.append(self._say(some, n=_n(at), value=asked.said(value)))
        return found

    def _rest(self) -> list[str]:
        scene, book = self._scene, self._book
        return [self._say(book.left if at == scene.match else book.unseen, n=_n(at)) for at in scene.unseen]

    def _draw(self, phrasings: tuple[str, ...]) -> str:
        return self._dice.choice(phrasings)

    def _say(self, phrasings: tuple[str, ...], **words: str) -> str:
        return self._draw(phrasings).format(**words)


def _n(at: int | None) -> str:
    return "image 0" if at is None else f"({at + 1})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _thing(known: Truth) -> str:
    words: Mapping[str, Any] = {"colour": known.colour, "object": spoken(known.object)}
    return f"{with_article('{colour} {object}'.format(**words))} on {with_article(known.surface)}"

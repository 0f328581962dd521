"""The oracle of the small-detail world: it knows what is true, looks where that can be seen, and says what it saw.

It is an ordinary policy: it reads the conversation (tools, calls left, box family, what was shown so far) and writes
the next turn. It names a candidate's detail only once a look has shown it, one verdict a candidate, and ranks when the
question is settled or no call is left; a candidate that was not looked at comes before those that were ruled out. The
truth decides what a look shows, never where it looks: candidates are taken in the order in which they stand.

What it leaves out: mistakes. It never misreads or looks beside, so its students see no recovery. Doubt it has where
`again` says so: then it looks twice at what it knows, as large teachers do, and its students learn a habit that stage
III can price.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

from vretrver.datasets import Task
from vretrver.errors import InvalidInput
from vretrver.messages import Completion, Conversation, ToolCall
from vretrver.protocol import render_answer, render_tool_call
from vretrver.tools import compare_crops, select_images
from vretrver.training.teachers.phrases import BOOKS
from vretrver.training.teachers.scene import Scene
from vretrver.training.teachers.telling import Teller
from vretrver.training.truths import World

_SELECTS = 0.2  # so often whole pictures are compared where crops could be
_CROPS = 0.5  # so often a single look is a crop_image where it could be a compare_crops
_SPLITS = 0.25  # so often what one look could show is taken in two, so that a second turn is learned too


class OracleTeacher:
    """Teaches tasks of the small-detail world.

    Args:
        style: whose words: `ledger`, `narrator`, `terse` or `nano` (`teachers.phrases`).
        looks: False answers at once, in the same words, without a look: for a control.
        splits: how often it takes two looks where one would do, 0..1.
        again: how often, the question settled by crops and a call left, it takes the same crops once more, every box
            moved by a step (a pixel, ten thousandths), 0..1: a redundant look.

    Raises:
        InvalidInput: no such style, or a share is none.
    """

    def __init__(self, style: str = "ledger", looks: bool = True, splits: float = _SPLITS, again: float = 0.0) -> None:
        if style not in BOOKS:
            raise InvalidInput(f"unknown style {style!r} of the oracle; choose from {', '.join(BOOKS)}")
        for name, share in (("splits", splits), ("again", again)):
            if not 0 <= share <= 1:
                raise InvalidInput(f"the oracle's {name} is {share:g}; it is a share, 0 to 1")
        self.style, self.looks, self.splits, self.again = style, looks, splits, again

    @property
    def name(self) -> str:
        habit = f",again={self.again:g}" if self.again else ""
        return f"{'oracle' if self.looks else 'blind'}:{self.style}{habit}"

    def policy(self, task: Task, seed: int = 0) -> OraclePolicy:
        """As `Teacher.policy`.

        Raises:
            InvalidInput: the task is not the world's.
        """
        return OraclePolicy(
            World.of(task), self.style, seed=seed, looks=self.looks, splits=self.splits, again=self.again
        )


class OraclePolicy:
    """Answers windows of one world. Its boxes are in whatever family the system prompt speaks of."""

    def __init__(
        self,
        world: World,
        style: str = "ledger",
        *,
        seed: int = 0,
        looks: bool = True,
        splits: float = _SPLITS,
        again: float = 0.0,
    ) -> None:
        self.name = f"{'oracle' if looks else 'blind'}:{style}"
        self._world, self._book, self._seed, self._looks, self._splits = world, BOOKS[style], seed, looks, splits
        self._again = again

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
        splits = 0.0 if self._book.plain else self._splits
        if 2 < len(needed) <= at_once and scene.calls_left > 1 and dice.random() < splits:
            needed = needed[: 1 if None in needed else len(needed) // 2]
        call, looked_at = _call(scene, needed, dice) if needed else (None, [])
        if call is not None and self._book.plain:
            call = _in_tens(call, scene, looked_at)
        if call is None and scene.calls_left and scene.last_call is not None and dice.random() < self._again:
            call, looked_at = _moved(scene.last_call, scene), scene.new
        think = teller.turn(call, looked_at)
        return render_answer(scene.order(), think) if call is None else render_tool_call(call, think)


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


def _in_tens(call: ToolCall, scene: Scene, looked_at: list[int | None]) -> ToolCall:
    """The same look with every box as it is, thousandths in steps of ten: what a vocabulary of few numbers can say."""
    step = 10 if scene.boxes == "0-1000" else 1
    boxes = [scene.box(at, Random(0), margin=0.0) for at in looked_at]  # noqa: S311
    exact = [[round(side / step) * step for side in box] for box in boxes]
    crops = call.arguments.get("crops")
    if crops is None:
        return ToolCall(call.name, {**call.arguments, "bbox_2d": exact[0]}) if "bbox_2d" in call.arguments else call
    return ToolCall(call.name, {"crops": [{**crop, "bbox_2d": box} for crop, box in zip(crops, exact, strict=True)]})


def _moved(call: ToolCall, scene: Scene) -> ToolCall | None:
    """The same crops one step further left, or right at the edge; None of whole pictures."""
    crops = call.arguments.get("crops", [call.arguments])
    if call.name == "select_images" or any(max(crop["bbox_2d"]) <= 1 for crop in crops):
        return None
    step = 10 if scene.boxes == "0-1000" else 1
    moved = [{**crop, "bbox_2d": _beside(crop["bbox_2d"], step)} for crop in crops]
    return ToolCall(call.name, {**call.arguments, "crops": moved} if "crops" in call.arguments else moved[0])


def _beside(box: Sequence[float], step: int) -> list[float]:
    left, top, right, bottom = box
    way = -step if left >= step else step
    return [left + way, top, right + way, bottom]


def _crop(scene: Scene, at: int | None, dice: Random) -> ToolCall:
    return ToolCall("crop_image", {"bbox_2d": scene.box(at, dice), "target_image": scene.numbers[at]})

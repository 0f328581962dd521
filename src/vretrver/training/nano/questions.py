"""Questions as rows of tokens whose pictures are slots: what the language side of the nano agent is taught on.

A `whole` row is an episode from the system prompt to the ranking, as `policies.local` writes it. A `short` one leaves
the window out: query, crops, verdicts, ranking. A third of the tokens, and no thumbnail to look at: comparing is learnt
there first. Pictures are rows of stores (`close_ups`, `thumbnails`), so the same tokens serve any drawing of the tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from vretrver.datasets.world import INSTRUCTIONS
from vretrver.messages import ImagePart, Message, Observation, TextPart
from vretrver.training.nano.composing import recomposed
from vretrver.training.nano.episodes import Shares, told, verdicts
from vretrver.training.nano.settings import TOKENS
from vretrver.training.nano.tokenizer import IMAGE
from vretrver.world import KINDS, MODALITIES, Group, Scene, group

END = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Question:
    """One sequence.

    Args:
        ids: its tokens, pictures at full length. trained: for each, whether the agent writes it.
        pictures: what stands in its picture slots, in order: ("thumbnail" | "close-up", row of the store).
        group: what is asked.
    """

    ids: tuple[int, ...]
    trained: tuple[bool, ...]
    pictures: tuple[tuple[str, int], ...]
    group: Group


class QuestionMaker:
    """Makes questions with one tokenizer. Args: `distractors`, `kinds`, `modalities`: of the stored groups."""

    def __init__(
        self,
        tokenizer: Any,
        distractors: int = 3,
        *,
        kinds: Sequence[str] = KINDS,
        modalities: Sequence[str] = MODALITIES,
    ) -> None:
        self.tokenizer = tokenizer
        self.image = int(tokenizer.convert_tokens_to_ids(IMAGE))
        self._choice = (distractors, tuple(kinds), tuple(modalities))

    def group(self, key: tuple[int, str, int]) -> Group:
        """A stored group."""
        return _group(key, *self._choice)

    def short(self, key: tuple[int, str, int], first: int, dice: Random | None, most: int = 20) -> Question:
        """A question without a window.

        Args:
            key, first: of a stored group, and at which row of the store it begins.
            dice: draws another order and another right answer; None asks what the group asks.
            most: candidates at most.
        """
        one, rows = _asked(self.group(key), dice, most)
        shown = _observed(one, len(rows))
        query = Message("user", (TextPart(f"Query: {one.text or ''}{_texts(one)}"),))
        messages = (query, shown, Message("assistant", (TextPart(verdicts(one)),)))
        return self._question(messages, [("close-up", first + row) for row in rows], one)

    def whole(
        self,
        key: tuple[int, str, int],
        first: int,
        thumbnails: Sequence[tuple[int, Shares]],
        dice: Random | None,
        most: int = 20,
    ) -> Question:
        """A whole episode.

        Args:
            thumbnails: for each picture of the group a row of the store of thumbnails, and the tag's box there.
        """
        one, rows = _asked(self.group(key), dice, most)
        seen = thumbnails[: len(rows)]
        messages = told(one, [box for _row, box in seen], [(1280, 1280)] * len(rows))
        pictures = [("thumbnail", row) for row, _box in seen] + [("close-up", first + row) for row in rows]
        return self._question(messages, pictures, one)

    def window(self, key: tuple[int, str, int], thumbnails: Sequence[tuple[int, Shares]], dice: Random) -> Question:
        """The first turn of an episode alone: where to look. Arguments as `whole`."""
        one, rows = _asked(self.group(key), dice, 20)
        seen = thumbnails[: len(rows)]
        messages = told(one, [box for _row, box in seen], [(1280, 1280)] * len(rows))[:3]
        return self._question(messages, [("thumbnail", row) for row, _box in seen], one)

    def _question(self, messages: Sequence[Message], pictures: Sequence[tuple[str, int]], one: Group) -> Question:
        ids: list[int] = []
        trained: list[bool] = []
        for message in messages:
            said = message.role == "assistant"
            content = "".join(IMAGE if isinstance(part, ImagePart) else part.text for part in message.parts)
            opening = self._ids(f"<|im_start|>{message.role}\n")
            # Cut where the agent begins to write, as a prompt is.
            body = self._ids(content + END) if said else []
            rest = self._ids("\n") if said else self._ids(content + END + "\n")
            for piece, own in ((opening, False), (body, True), (rest, False)):
                ids += piece
                trained += [own] * len(piece)
        assert ids.count(self.image) == TOKENS * len(pictures), "pictures and slots do not match"
        return Question(tuple(ids), tuple(trained), tuple(pictures), one)

    def _ids(self, text: str) -> list[int]:
        found: list[int] = []
        for number in self.tokenizer(text, add_special_tokens=False).input_ids:
            found += [number] * (TOKENS if number == self.image else 1)
        return found


@lru_cache(maxsize=200_000)
def _group(key: tuple[int, str, int], distractors: int, kinds: tuple[str, ...], modalities: tuple[str, ...]) -> Group:
    return group(*key, distractors, kinds=kinds, modalities=modalities)


def as_same(one: Group) -> Group:
    """A group that asks for a change, as one that asks for the same: its reference's twin is among the candidates."""
    if one.modality != "(i,t)->i" or one.picture is None:
        return one
    tags = [scene.tag for scene in one.candidates if isinstance(scene, Scene)]
    twins = [at for at, tag in enumerate(tags) if tag == one.picture.tag]
    return replace(one, modality="i->i", text=None, answer=twins[0]) if len(twins) == 1 else one


def _asked(one: Group, dice: Random | None, most: int) -> tuple[Group, list[int]]:
    pictures = (one.picture is not None) + (0 if isinstance(one.candidates[0], str) else len(one.candidates))
    if dice is None:
        return one, list(range(pictures))
    if one.modality == "(i,t)->i" and dice.random() < 0.5:
        one = as_same(one)
    one, rows = recomposed(one, dice)
    return _fewer(one, rows, most, dice)


def _fewer(one: Group, rows: list[int], most: int, dice: Random) -> tuple[Group, list[int]]:
    count = len(one.values)
    if most >= count:
        return one, rows
    wrong = [at for at in range(count) if at != one.answer]
    kept = sorted([one.answer, *dice.sample(wrong, most - 1)])
    if not isinstance(one.candidates[0], str):
        first = len(rows) - count
        rows = rows[:first] + [rows[first + at] for at in kept]
    candidates: Any = tuple(one.candidates[at] for at in kept)
    values = tuple(one.values[at] for at in kept)
    return replace(one, candidates=candidates, answer=kept.index(one.answer), values=values), rows


def _texts(one: Group) -> str:
    if not isinstance(one.candidates[0], str):
        return "" if one.picture is None or one.text else INSTRUCTIONS[one.modality]
    return "\n\nCandidates:\n" + "\n".join(f"({at + 1}) {text}" for at, text in enumerate(one.candidates))


def _observed(one: Group, count: int) -> Message:
    """What `compare_crops` shows of so many pictures, from their first number on."""
    from vretrver.messages import View
    from vretrver.types import ImageRef

    number = 0 if one.picture is not None else 1
    parts: list[Any] = []
    for at in range(count):
        opening = f"Here are the cropped images. (Numbered 1 to {count})" if at == 0 else ""
        parts.append(TextPart(f"{opening}\n{at + 1}. Image {number + at} (Image Size: 280x196): "))
        parts.append(ImagePart(View(ImageRef(data=b""), 280, 196), number + at))
    return Observation(tuple(parts)).message()

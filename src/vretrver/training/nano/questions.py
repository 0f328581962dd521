"""Questions as rows of tokens whose pictures are slots: what the language side of the nano agent is taught on.

    crops     crops alone, and a verdict on each: any number may be right, so no verdict tells another
    where     a window's pictures alone: the tag's box in each, as a list (pointing as a plain question)
    both      a window and its crops, without a call between: one candidate is right, then the ranking
    direct    a window alone, ranked at once: the form of an answer, nothing else
    whole     an episode with its call, as `policies.local` writes it: for a check of what SFT teaches

Pictures are rows of `features`, so the same tokens serve any drawing of the tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from vretrver.datasets.world import INSTRUCTIONS
from vretrver.training.nano.episodes import WHERE, call, opening, regions, verdict, verdicts_of
from vretrver.training.nano.features import Glances, Looks
from vretrver.training.nano.settings import TOKENS
from vretrver.training.nano.tokenizer import IMAGE
from vretrver.world import KINDS, Group, description
from vretrver.world.wording import change

END = "<|im_end|>"
Turn = tuple[str, str]
SIZES = ("252x196", "280x196", "280x168", "308x196", "252x168")
LIKELY = 0.6  # of wrong candidates, how many are look-alikes
PRINT = KINDS.index("print")


@dataclass(frozen=True, slots=True)
class Slot:
    """A picture in a question. Args: `near`: a close-up's row, or a thumbnail's. `number`: its own on the wire.
    same: whether it shows what the query's picture shows; None where that is not asked."""

    near: bool
    row: int
    number: int
    same: bool | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One sequence.

    Args:
        ids: its tokens, pictures at full length. trained: for each, whether the agent writes it. slots: its pictures.
        asked: of one that says in words what is wanted, a close-up's row that shows it.
    """

    ids: tuple[int, ...]
    trained: tuple[bool, ...]
    slots: tuple[Slot, ...]
    asked: int | None = None


class QuestionMaker:
    """Makes questions with one tokenizer from stored pictures."""

    def __init__(self, tokenizer: Any, near: Looks, far: Glances) -> None:
        self.tokenizer, self.near, self.far = tokenizer, near, far
        self.image = int(tokenizer.convert_tokens_to_ids(IMAGE))
        self._paired = {kind: near.paired(kind) for kind in near.groups}
        marks = self._paired.get(0, [])
        self._named = [row for row in marks if near.scene(row).split == "train"] or marks
        self._ids = lru_cache(maxsize=200_000)(self._tokens)

    def crops(
        self,
        kind: int,
        dice: Random,
        count: int,
        modality: str = "i->i",
        *,
        one: bool = False,
        named_well: bool = False,
    ) -> Question:
        """Crops and their verdicts: `count` candidates, each right by even chance, or exactly one.

        `named_well` asks for marks of `train`, whose names occur often enough to be learnt.
        """
        asked = dice.choice(self._named if named_well else self._paired[kind])
        right = dice.randrange(count)
        drawn = [self._candidate(asked, dice, at == right if one else dice.random() < 0.5) for at in range(count)]
        rows, flags = [row for row, _same in drawn], [same for _row, same in drawn]
        shown, query, first = self._query(asked, rows, modality, dice)
        said = self._verdicts(shown, rows, flags, modality)
        slots = [
            Slot(True, row, first + at, flags[at + first - 1] if modality != "i->t" and first + at else None)
            for at, row in enumerate(shown)
        ]
        turns = [("user", query), ("user", observed([slot.number for slot in slots], dice)), ("assistant", said)]
        named = modality in ("t->i", "(i,t)->i")
        return replace(self._question(turns, slots), asked=asked if named else None)

    def where(self, dice: Random, count: int) -> Question:
        """Where is the tag in each of so many pictures?"""
        query = dice.random() < 0.6
        rows = [dice.randrange(len(self.far.features)) for _ in range(count)]
        numbers = range(0 if query else 1, count + (0 if query else 1))
        listed = "\n\nCandidates:\n" + "\n".join(f"({at}) {IMAGE}" for at in numbers if at > 0) if count > 1 else ""
        text = f"Query: {IMAGE} {INSTRUCTIONS['i->i']}" if query else f"Query: {INSTRUCTIONS['t->i']}"
        boxes = {number: self._box(row) for number, row in zip(numbers, rows, strict=True)}
        slots = [Slot(False, row, number) for number, row in zip(numbers, rows, strict=True)]
        return self._question([("user", text + listed + WHERE), ("assistant", regions(boxes))], slots)

    def both(self, kind: int, dice: Random, modality: str = "i->i", count: int = 4) -> Question:
        """A window and its crops, without a call between."""
        _one, (system, user, _call, seen, said), slots = self._episode(kind, dice, modality, count)
        return self._question([system, user, seen, said], slots)

    def whole(self, kind: int, dice: Random, modality: str = "i->i", count: int = 4) -> Question:
        """An episode with its call."""
        _one, turns, slots = self._episode(kind, dice, modality, count)
        return self._question(turns, slots)

    def direct(self, kind: int, dice: Random, modality: str = "i->i", count: int = 4) -> Question:
        """A window ranked at once, in any order: nothing in it tells which."""
        one, _turns, slots = self._episode(kind, dice, modality, count)
        far = [slot for slot in slots if not slot.near]
        order = dice.sample(range(1, count + 1), count)
        said = f"<think>The tags are too small to be read here.</think>\n<answer>{order}</answer>"
        return self._question([*opening(one, len(far), tools=False), ("assistant", said)], far)

    def _episode(self, kind: int, dice: Random, modality: str, count: int) -> tuple[Group, list[Turn], list[Slot]]:
        asked, right = dice.choice(self._paired[kind]), dice.randrange(count)
        rows = [self._candidate(asked, dice, at == right)[0] for at in range(count)]
        scene, query = self.near.scene(asked), modality == "i->i"
        one = replace(
            self.near.group(asked),
            modality=modality,
            picture=scene if query else None,
            text=None if query else description(scene, dice.getrandbits(32)),
            candidates=tuple(self.near.scene(row) for row in rows),
            values=tuple(str(row) for row in rows),
            answer=right,
        )
        shown = [asked] * query + rows
        numbers = range(0 if query else 1, count + 1)
        far = [dice.randrange(len(self.far.features)) for _ in shown]
        boxes = {number: self._box(row) for number, row in zip(numbers, far, strict=True)}
        said = self._verdicts(shown, rows, [at == right for at in range(count)], modality)
        slots = [Slot(False, row, number) for number, row in zip(numbers, far, strict=True)]
        slots += [Slot(True, row, number) for number, row in zip(numbers, shown, strict=True)]
        turns = [("assistant", call(boxes)), ("user", observed(numbers, dice)), ("assistant", said)]
        return one, opening(one, len(shown)) + turns, slots

    def _candidate(self, asked: int, dice: Random, same: bool) -> tuple[int, bool]:
        """A row that shows the same as another, or not, and whether it does."""
        near, label = self.near, self.near.labels[asked]
        if same:
            return dice.choice([row for row in near.rows[label] if row != asked]), True
        alike = [row for row in near.siblings[asked] if near.labels[row] != label]
        if alike and dice.random() < LIKELY:
            return dice.choice(alike), False
        while True:
            row = dice.choice(dice.choice(near.groups[near.kinds[asked]]))
            if near.labels[row] != label:
                return row, False

    def _query(self, asked: int, rows: list[int], modality: str, dice: Random) -> tuple[list[int], str, int]:
        """The close-ups to show, what is asked, and the first picture's number."""
        scene, style, text = self.near.scene(asked), dice.getrandbits(32), f"Query: {INSTRUCTIONS[modality]}"
        match modality:
            case "i->i":
                return [asked, *rows], text, 0
            case "t->i":
                return rows, f"{text} {description(scene, style)}", 1
            case "(i,t)->i":
                other, _same = self._candidate(asked, dice, False)
                return [other, *rows], f"{text} {change(self.near.scene(other).tag, scene.tag, style)}", 0
        texts = "\n".join(f"({at}) {description(self.near.scene(row), style)}" for at, row in enumerate(rows, 1))
        return [asked], f"{text}\n\nCandidates:\n{texts}", 0

    def _verdicts(self, shown: list[int], rows: list[int], flags: list[bool], modality: str) -> str:
        """The last turn: prints are read out, that of the query's picture too where there is one."""
        prints = self.near.kinds[shown[0]] == PRINT
        texts = [str(self.near.labels[row][1]) if prints and modality != "i->t" else None for row in rows]
        query = str(self.near.labels[shown[0]][1]) if prints and modality != "t->i" else None
        pairs = enumerate(zip(texts, flags, strict=True), 1)
        return verdicts_of(query, [verdict(at, text, flag) for at, (text, flag) in pairs], flags)

    def _box(self, row: int) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = (float(side) for side in self.far.boxes[row])
        return x0, y0, x1, y1

    def _question(self, turns: Sequence[Turn], slots: Sequence[Slot]) -> Question:
        ids: list[int] = []
        trained: list[bool] = []
        for role, text in turns:
            said = role == "assistant"
            # Cut where the agent begins to write, as a prompt is.
            body = self._ids(text + END) if said else ()
            rest = self._ids("\n") if said else self._ids(text + END + "\n")
            for piece, own in ((self._ids(f"<|im_start|>{role}\n"), False), (body, True), (rest, False)):
                ids += piece
                trained += [own] * len(piece)
        assert ids.count(self.image) == TOKENS * len(slots), "pictures and slots do not match"
        return Question(tuple(ids), tuple(trained), tuple(slots))

    def _tokens(self, text: str) -> tuple[int, ...]:
        found: list[int] = []
        for number in self.tokenizer(text, add_special_tokens=False).input_ids:
            found += [number] * (TOKENS if number == self.image else 1)
        return tuple(found)


def observed(numbers: Sequence[int], dice: Random) -> str:
    """What `compare_crops` shows of pictures with these numbers, in words."""
    lines = [
        f"\n{at}. Image {number} (Image Size: {dice.choice(SIZES)}): {IMAGE}" for at, number in enumerate(numbers, 1)
    ]
    return f"Here are the cropped images. (Numbered 1 to {len(numbers)})" + "".join(lines)

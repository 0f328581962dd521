"""Questions as tensors, and the loss on what the agent writes.

Pictures enter as features of the frozen eye (`features`). It leaves out TRL and what `training.sft` does with it: that
trains any model on any trajectories; this is the schooling of one small model on a generated world, at many thousand
questions for each picture that is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vretrver.training.nano.close_ups import CHARACTERS
from vretrver.training.nano.episodes import box_numbers
from vretrver.training.nano.features import Glances, Looks
from vretrver.training.nano.forward import text_states
from vretrver.training.nano.questions import Question, Slot
from vretrver.training.nano.settings import HEIGHT, STRIDE, TOKENS, WIDTH

IGNORED = -100
VERDICT, NUMBER = 3.0, 2.0  # weights of the losses of verdicts and of boxes' numbers


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures of a batch, in order.

    Args:
        features: (P, cells, 1280). numbers: (P,), on the wire. near: (P,), close-ups. labels: (P,), what is on a
            close-up, equal where that is the same; -1 for thumbnails. letters: (P, 6), characters of a print, -1.
        same: (P,), 1 where it shows what the query's shows, 0 where not, -1 unasked. boxes: (P, 4), the tag's in a
            thumbnail. cells: (P,), which holds its middle.
    """

    features: Tensor
    numbers: Tensor
    near: Tensor
    labels: Tensor
    letters: Tensor
    same: Tensor
    boxes: Tensor
    cells: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions side by side, padded on the right.

    Args:
        ids, labels: (B, L). image: (B, L), where pictures are. spoken: (B, L), the number of the picture that a written
            token speaks of, or -1. about: (B, L), 1 where that is a crop, 2 where it is a tag's place, 0 elsewhere.
        goals: (B, L), the token to look at there.
        ends: (B,), where a text that says what is wanted ends, or -1; asked: (B,), that, as `Shown.labels` has it;
        spelled: (B, 6), as `Shown.letters` has it.
    """

    ids: Tensor
    labels: Tensor
    image: Tensor
    spoken: Tensor
    about: Tensor
    goals: Tensor
    ends: Tensor
    asked: Tensor
    spelled: Tensor
    pictures: Shown


class Words:
    """Tokens with a meaning here. Args: `tokenizer`: the model's."""

    def __init__(self, tokenizer: Any) -> None:
        def number(text: str) -> int:
            return int(tokenizer.convert_tokens_to_ids(text))

        self.yes, self.no, self.image, self.query = number(" yes"), number(" no"), number("<image>"), number("image 0")
        self.candidates = {number(f"({at})"): at for at in range(1, 21)}
        self.digits = {number(str(at)): at for at in range(7)}
        openings = ('[{"target_image": ', ']}, {"target_image": ')
        self.targets = {number(text) for text in openings}
        self.targets.add(number('<tool_call>{"name": "compare_crops", "arguments": {"crops": [{"target_image": '))
        self.end = number("<|im_end|>")
        self.ends = {number("</think>\n<answer>["), number("<|im_end|>")}
        self.boxes = torch.tensor([number(str(value)) for value in box_numbers()])
        self.letters = torch.tensor([number(letter) for letter in CHARACTERS])

    def speaks_of(self, question: Question) -> list[tuple[int, int]]:
        """For each token the picture's number that is spoken of, or -1; and 1 of a crop, 2 of a tag's place, 0."""
        found, now = [], (-1, 0)
        for at, (number, own) in enumerate(zip(question.ids, question.trained, strict=True)):
            if not own or number in self.ends:
                now = (-1, 0)
            elif number in self.candidates:
                now = (self.candidates[number], 1)
            elif number == self.query:
                now = (0, 1)
            elif number in self.digits and question.ids[at - 1] in self.targets:
                now = (self.digits[number], 2)
            found.append(now)
        return found


def batch_of(
    questions: Sequence[Question],
    near: Looks,
    far: Glances,
    words: Words,
    *,
    dice: Random,
    length: int = 0,
    device: torch.device | str = "cpu",
) -> Batch:
    """Questions as tensors.

    Args:
        length: tokens of a row; 0 for the longest question's. dice: draws copies of close-ups.
    """
    length = length or max(len(one.ids) for one in questions)
    columns = {name: torch.zeros(len(questions), length, dtype=torch.long) for name in ("ids", "about", "goals")}
    columns |= {"labels": torch.full((len(questions), length), IGNORED), "spoken": columns["ids"] - 1}
    known: dict[Any, int] = {}
    pictures = _shown([slot for one in questions for slot in one.slots], near, far, known, dice)
    cells, first = pictures.cells.tolist(), 0
    for at, one in enumerate(questions):
        count, row = len(one.ids), torch.tensor(one.ids)
        columns["ids"][at, :count] = row
        columns["labels"][at, :count] = torch.where(torch.tensor(one.trained), row, IGNORED)
        goals = _goals(one, cells[first : first + len(one.slots)], words)
        first += len(one.slots)
        for place, (number, about) in enumerate(words.speaks_of(one)):
            columns["spoken"][at, place] = number
            if (number, about) in goals:
                columns["about"][at, place], columns["goals"][at, place] = about, goals[number, about]
    named = [-1 if one.asked is None else known.setdefault(near.labels[one.asked], len(known)) for one in questions]
    columns["asked"] = torch.tensor(named)
    wanted = [near.labels[one.asked] if one.asked is not None else () for one in questions]
    columns["spelled"] = torch.tensor([_letters(label) for label in wanted])
    columns["ends"] = torch.tensor([-1 if one.asked is None else one.ids.index(words.end) for one in questions])
    moved = {name: column.to(device) for name, column in columns.items()}
    there = {one.name: getattr(pictures, one.name).to(device) for one in fields(Shown)}
    return Batch(**moved, image=moved["ids"] == words.image, pictures=Shown(**there))


def _goals(question: Question, cells: Sequence[int], words: Words) -> dict[tuple[int, int], int]:
    """Where to look by number and purpose: the last token of a crop, the tag's cell of a thumbnail."""
    firsts = [at for at, number in enumerate(question.ids) if number == words.image][::TOKENS]
    return {
        (slot.number, 1 if slot.near else 2): first + (TOKENS - 1 if slot.near else cell)
        for slot, first, cell in zip(question.slots, firsts, cells, strict=True)
    }


def _shown(slots: Sequence[Slot], near: Looks, far: Glances, known: dict[Any, int], dice: Random) -> Shown:
    close = iter(near.copies([slot.row for slot in slots if slot.near], dice))
    features = torch.stack([next(close) if slot.near else far.features[slot.row] for slot in slots])
    boxes = torch.stack([torch.zeros(4) if slot.near else far.boxes[slot.row] for slot in slots])
    columns, rows = WIDTH // STRIDE, HEIGHT // STRIDE
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    across, down = (middle[:, 0] * columns).long(), (middle[:, 1] * rows).long()
    labels = [known.setdefault(near.labels[slot.row], len(known)) if slot.near else -1 for slot in slots]
    return Shown(
        features,
        torch.tensor([slot.number for slot in slots]),
        torch.tensor([slot.near for slot in slots]),
        torch.tensor(labels),
        torch.tensor([_letters(near.labels[slot.row] if slot.near else ()) for slot in slots]),
        torch.tensor([-1 if slot.same is None else int(slot.same) for slot in slots]),
        boxes,
        down.clamp(0, rows - 1) * columns + across.clamp(0, columns - 1),
    )


def _letters(label: tuple[Any, ...]) -> list[int]:
    if not label or label[0] != "print":
        return [-1] * 6
    return [*(CHARACTERS.index(letter) for letter in label[1]), *[len(CHARACTERS)] * 6][:6]


def read(model: Any, batch: Batch, *, compiled: bool = False) -> tuple[list[Tensor], Tensor, Tensor]:
    """Hidden states, logits (T, vocabulary) where something is to be written, and what it is (T,)."""
    embedded = model.get_input_embeddings()(batch.ids)
    pictures = model.model.multi_modal_projector(batch.pictures.features.to(embedded.dtype))
    embedded = embedded.masked_scatter(batch.image[..., None], pictures)
    states, hidden = text_states(model.model.language_model, embedded, compiled=compiled)
    written = batch.labels[:, 1:] != IGNORED
    return states, model.lm_head(hidden[:, :-1][written]).float(), batch.labels[:, 1:][written]


def loss_of(logits: Tensor, wanted: Tensor, words: Words) -> Tensor:
    """Cross entropy in which verdicts and boxes' numbers count more."""
    each = functional.cross_entropy(logits, wanted, reduction="none")
    weight = torch.where((wanted == words.yes) | (wanted == words.no), VERDICT, 1.0)
    weight = torch.where(torch.isin(wanted, words.boxes.to(wanted.device)), NUMBER, weight)
    return (each * weight).sum() / weight.sum()


@torch.no_grad()
def exam(model: Any, batch: Batch, words: Words) -> dict[str, float]:
    """How well a batch is answered, all before it given right.

    Returns:
        `verdicts`: of those that are yes and those that are no, the mean share said right, so that no rule that looks
        at no picture is over .5 where each candidate is right by even chance (`QuestionMaker.crops`); after the one yes
        of other questions that does not hold. `letters`; `boxes`: the mean error in thousandths.
    """
    _states, logits, wanted = read(model, batch)
    found = {}
    yes = logits[:, words.yes] > logits[:, words.no]
    if (wanted == words.yes).any() and (wanted == words.no).any():
        found["verdicts"] = float(
            (yes[wanted == words.yes].float().mean() + (~yes[wanted == words.no]).float().mean()) / 2
        )
    letters = torch.isin(wanted, words.letters)
    if letters.any():
        found["letters"] = float((logits.argmax(-1) == wanted)[letters].float().mean())
    numbers = torch.isin(wanted, words.boxes)
    if numbers.any():
        values = torch.tensor(list(box_numbers()))
        said = values[logits[numbers][:, words.boxes].argmax(-1)]
        right = values[(wanted[numbers][:, None] == words.boxes).long().argmax(-1)]
        found["boxes"] = float((said - right).abs().float().mean())
    return found

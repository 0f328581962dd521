"""The two courses of the nano agent: the eye by itself, then the language side. Both go on where they were killed.

A step's questions depend on the seed and the step's number alone, and the state is written whole, so a course that was
killed and started again is the course that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vretrver.training.nano import eye, language
from vretrver.training.nano.close_ups import CloseUps
from vretrver.training.nano.language import Words
from vretrver.training.nano.questions import Question, QuestionMaker
from vretrver.training.nano.thumbnails import Thumbnails
from vretrver.training.nano.tower import freeze, own_stages

Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Course:
    """How long and how fast.

    Args:
        steps: of the whole course; the rate falls linearly to a fiftieth. batch: groups (eye) or questions (language).
        rate: the highest learning rate, after `warm` steps. every: steps between two saved states. decay: of weights,
            none where some are held.
    """

    steps: int
    batch: int
    rate: float
    warm: int = 40
    every: int = 100
    seed: int = 0
    decay: float = 0.0


def teach_eye(
    tower: Any,
    heads: eye.Heads,
    shown: CloseUps,
    maps: NDArray[np.float16],
    thumbnails: tuple[Thumbnails, NDArray[np.float16]],
    *,
    course: Course,
    state: Path,
    report: Report = lambda _step, _losses: None,
    device: torch.device | str = "cpu",
) -> None:
    """Teach the tower's own stages and the heads; both are changed.

    Args:
        maps, thumbnails: maps of the close-ups; thumbnails and theirs. state: where the course is kept.
    """
    tower.train()
    freeze(tower)
    parts = nn.ModuleList([tower, heads]).to(device)
    learner = _Learner(parts, course, state, device)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        dice = np.random.default_rng((course.seed, step))
        groups = dice.integers(0, len(shown.groups), course.batch)
        rows = np.concatenate([np.arange(*shown.firsts[at : at + 2]) for at in groups])
        seen = dice.integers(0, len(thumbnails[1]), 2 * course.batch)
        both = np.concatenate([maps[rows], thumbnails[1][seen]])
        out = own_stages(tower, _laid(both, device)).float()
        terms = eye.losses(out[: len(rows)], heads, eye.labels_of(shown, rows, device))
        terms["box"] = eye.box_loss(out[len(rows) :], heads, torch.as_tensor(thumbnails[0].boxes[seen], device=device))
        return torch.stack(list(terms.values())).sum(), {name: float(term.detach()) for name, term in terms.items()}

    learner.run(loss, report)


def teach_language(
    model: Any,
    questions: Callable[[int, Random], Sequence[Question]],
    stores: dict[str, NDArray[np.float16]],
    words: Words,
    *,
    course: Course,
    state: Path,
    report: Report = lambda _step, _losses: None,
    still: bool = True,
    device: torch.device | str = "cpu",
) -> None:
    """Teach the projector and the text model; the tower's own stages too unless `still`.

    Args:
        questions: gives a step's questions, drawing with the dice it is handed.
    """
    model.train()
    freeze(model.model.vision_tower)
    if still:
        model.model.vision_tower.requires_grad_(False).eval()
    learner = _Learner(model.to(device), course, state, device)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        asked = questions(step, Random(f"{course.seed}/{step}"))  # noqa: S311
        dice = np.random.default_rng((course.seed, step))
        batch = language.batch_of(asked, stores, words, device=device, dice=dice)
        logits, wanted, verdicts = language.logits_of(model, batch, words)
        right = (logits.argmax(-1) == wanted)[verdicts].float().mean()
        total = language.loss_of(logits, wanted, verdicts)
        return total, {"loss": float(total.detach()), "verdicts": float(right)}

    learner.run(loss, report)


def questions_of(
    maker: QuestionMaker, shown: CloseUps, numbers: Sequence[int], seen: Thumbnails | None, *, batch: int, most: int
) -> Callable[[int, Random], list[Question]]:
    """Draws a step's questions from groups of a store: short ones, or whole episodes where there are thumbnails."""

    def draw(_step: int, dice: Random) -> list[Question]:
        made = []
        for _ in range(batch):
            number = dice.choice(numbers)
            key, first = shown.groups[number], int(shown.firsts[number])
            if seen is None:
                made.append(maker.short(key, first, dice, most))
                continue
            rows = [dice.randrange(len(seen.boxes)) for _ in shown.rows(number)]
            boxes = [(row, tuple(float(value) for value in seen.boxes[row])) for row in rows]
            made.append(maker.whole(key, first, boxes, dice, most))  # type: ignore[arg-type]
        return made

    return draw


class _Learner:
    """Steps, their rate, and the state on disk."""

    def __init__(self, parts: nn.Module, course: Course, state: Path, device: torch.device | str) -> None:
        self._parts, self._course, self._state = parts, course, state
        self._kind = torch.device(device).type
        trained = [weight for weight in parts.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, lr=course.rate, weight_decay=course.decay, betas=(0.9, 0.98))
        self._trained = trained
        self._step = 0
        if state.exists():
            kept = torch.load(state, map_location=device, weights_only=True)
            parts.load_state_dict(kept["parts"])
            self._optimizer.load_state_dict(kept["optimizer"])
            self._step = int(kept["step"])

    def run(self, loss: Callable[[int], tuple[Tensor, dict[str, float]]], report: Report) -> None:
        course, began = self._course, time.monotonic()
        while self._step < course.steps:
            for group in self._optimizer.param_groups:
                left = 1 - self._step / course.steps
                group["lr"] = course.rate * min(1.0, (self._step + 1) / course.warm) * max(0.02, left)
            with torch.autocast(self._kind, dtype=torch.bfloat16):
                total, terms = loss(self._step)
            self._optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
            self._optimizer.step()
            self._step += 1
            if self._step % course.every == 0 or self._step == course.steps:
                self._keep()
                report(self._step, terms | {"seconds": time.monotonic() - began})

    def _keep(self) -> None:
        part = self._state.with_suffix(".part")
        kept = {"parts": self._parts.state_dict(), "optimizer": self._optimizer.state_dict(), "step": self._step}
        torch.save(kept, part)
        part.replace(self._state)


def _laid(maps: NDArray[np.float16], device: torch.device | str) -> Tensor:
    return (
        torch.as_tensor(maps, device=device).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
    )

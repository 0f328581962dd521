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
from vretrver.training.nano.features import FAR, NEAR, Glances, Looks, as_maps, moved
from vretrver.training.nano.language import Words
from vretrver.training.nano.probes import Probes
from vretrver.training.nano.questions import Question
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
        close, by = moved(as_maps(maps[rows]), NEAR, dice)
        far, away = moved(as_maps(thumbnails[1][seen]), FAR, dice)
        both = torch.cat([close, far]).to(device, memory_format=torch.channels_last)
        out = own_stages(tower, both).float()
        labels = eye.labels_of(shown, rows, device)
        labels["places"] = labels["places"] + by[:, None].to(device)
        boxes = torch.as_tensor(thumbnails[0].boxes[seen]) + away.repeat(1, 2)
        terms = eye.losses(out[: len(rows)], heads, labels)
        terms["box"] = eye.box_loss(out[len(rows) :], heads, boxes.to(device))
        return torch.stack(list(terms.values())).sum(), {name: float(term.detach()) for name, term in terms.items()}

    learner.run(loss, report)


def teach_language(
    model: Any,
    probes: Probes,
    questions: Callable[[int, Random], Sequence[tuple[int, Sequence[Question]]]],
    pictures: tuple[Looks, Glances],
    words: Words,
    *,
    course: Course,
    state: Path,
    report: Report = lambda _step, _losses: None,
    compiled: bool = False,
    device: torch.device | str = "cpu",
) -> None:
    """Teach the projector, the text model and the probes; the eye stays as it is.

    Args:
        questions: gives a step's questions in parts, each with the length of its rows, drawing with the dice it is
            handed. compiled: pays on a CPU, for courses of hundreds of steps.
    """
    model.model.vision_tower.requires_grad_(False)
    parts = nn.ModuleDict({"model": model, "probes": probes}).to(device)
    parts.train()
    model.model.vision_tower.eval()
    learner = _Masters(parts, course, state, device)

    def loss(step: int) -> dict[str, float]:
        dice = Random(f"{course.seed}/{step}")  # noqa: S311
        terms: dict[str, float] = {}
        for length, asked in questions(step, dice):
            batch = language.batch_of(asked, *pictures, words, dice=dice, length=length, device=device)
            states, logits, wanted = language.read(model, batch, compiled=compiled)
            found = {"written": language.loss_of(logits, wanted, words)}
            found |= probes.losses(states, model.model.language_model, batch)
            torch.stack(list(found.values())).sum().backward()  # type: ignore[no-untyped-call]
            terms |= {name: float(term.detach()) for name, term in found.items()}
        return terms

    learner.run(loss, report)


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


class _Masters:
    """Steps of a model in half precision whose masters stay in single: Muon (Jordan et al. 2024) for the layers'
    matrices, AdamW for the rest; the state on disk is the masters'."""

    def __init__(self, parts: nn.ModuleDict, course: Course, state: Path, device: torch.device | str) -> None:
        self._parts, self._course, self._state, self._step = parts, course, state, 0
        probes = list(parts["probes"].parameters())
        named = [(name, weight) for name, weight in parts["model"].named_parameters() if weight.requires_grad]
        self._shown: list[Tensor] = [weight for _name, weight in named]
        self._masters: list[Tensor] = [weight.detach().float().clone().requires_grad_() for weight in self._shown]
        for weight in self._shown:
            weight.data = weight.data.to(torch.bfloat16)
        inner = ["layers" in name and weight.ndim == 2 for name, weight in named]
        square = [master for master, yes in zip(self._masters, inner, strict=True) if yes]
        other = [master for master, yes in zip(self._masters, inner, strict=True) if not yes]
        self._all = [*self._masters, *probes]
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW([*other, *probes], lr=course.rate, betas=(0.9, 0.97), weight_decay=0.0),
            torch.optim.Muon(square, lr=2 * course.rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        ]
        self._rates = [course.rate, 2 * course.rate]
        if state.exists():
            kept = torch.load(state, map_location=device, weights_only=True)
            self._step = int(kept["step"])
            with torch.no_grad():
                for master, value in zip(self._all, kept["masters"], strict=True):
                    master.copy_(value)
                torch._foreach_copy_(self._shown, self._masters)
            for optimizer, value in zip(self._optimizers, kept["optimizers"], strict=True):
                optimizer.load_state_dict(value)

    def run(self, loss: Callable[[int], dict[str, float]], report: Report) -> None:
        """Every step to the course's end; afterwards the model has its masters' weights."""
        course, began = self._course, time.monotonic()
        while self._step < course.steps:
            terms = loss(self._step)
            for weight, master in zip(self._shown, self._masters, strict=True):
                master.grad = torch.zeros_like(master) if weight.grad is None else weight.grad.float()
                weight.grad = None
            torch.nn.utils.clip_grad_norm_(self._all, 1.0)
            share = min(1.0, (self._step + 1) / course.warm) * max(0.03, 1 - self._step / course.steps)
            for optimizer, rate in zip(self._optimizers, self._rates, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = rate * share
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                torch._foreach_copy_(self._shown, self._masters)
            self._step += 1
            if self._step % course.every == 0 or self._step == course.steps:
                self._keep()
                report(self._step, terms | {"seconds": time.monotonic() - began})
        for weight, master in zip(self._shown, self._masters, strict=True):
            weight.data = master.data.clone()

    def _keep(self) -> None:
        part = self._state.with_suffix(".part")
        optimizers = [optimizer.state_dict() for optimizer in self._optimizers]
        torch.save({"masters": self._all, "optimizers": optimizers, "step": self._step}, part)
        part.replace(self._state)

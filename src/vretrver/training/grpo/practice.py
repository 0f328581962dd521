"""Practice: the rollouts of each step, from which queries they are to what of them is trained, kept and noted.

All processes draw the same queries and take their shares, so any number of them plays the same episodes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.policies.local import LocalPolicy
from vretrver.policies.local.loading import Loaded
from vretrver.policies.local.prompts import PromptWriter
from vretrver.training.grpo import record
from vretrver.training.grpo.difficulty import Estimates
from vretrver.training.grpo.exercises import Course
from vretrver.training.grpo.figures import of_step
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Group, Player, Rollout
from vretrver.training.grpo.settings import Difficulty, Optimising, Sampling
from vretrver.training.grpo.tapes import Recorder
from vretrver.training.grpo.writers import Transformers, Vllm, Writer, at_rest
from vretrver.training.rejection import Asking
from vretrver.training.rewards import Judged, Reward
from vretrver.training.rewards.counterfactual import counterfactual as answers_without
from vretrver.training.rewards.judged import Order
from vretrver.training.rows import RowMaker
from vretrver.training.trainer import processes, whole_here
from vretrver.types import Window

TRIED = 32  # openings that are measured before the training


class Practice:
    """Makes the rollouts of each step; `trainer` is to be set before the first.

    Args:
        folder: the checkpoint's; rollouts are kept in it.
        counterfactual: ask what the model would have answered without each look (`rewards.counterfactual`).

    Raises:
        InvalidInput: no prompt is short enough for an episode.
    """

    def __init__(
        self,
        course: Course,
        loaded: Loaded,
        folder: Path,
        reward: Reward,
        *,
        sampling: Sampling,
        difficulty: Difficulty,
        train: Optimising,
        counterfactual: bool = False,
    ) -> None:
        self._sampling, self._difficulty, self._folder, self._state = sampling, difficulty, folder, processes()
        self._exercises = course.by_key
        self._habits, self._loaded = course.habits, loaded
        name = loaded.name
        self.trainer: Any = None
        self.maker = RowMaker(PromptWriter(loaded.processor, name), name)
        self.pixels = Pixels(self.maker, name)
        self.estimates = Estimates(list(self._exercises), difficulty, train.seed)
        self.longest = 0
        _refuse_mixed(course)
        recorder, limit = Recorder(self.maker, name), _limit(loaded, train.max_tokens)
        _check_openings(course, recorder, limit)
        self._writer = self._made_writer(name)
        self._player = Player(
            recorder,
            self.pixels,
            self._writer,
            reward,
            max_tokens=limit,
            shuffle=sampling.shuffle,
            seed=train.seed,
            without=self._without if counterfactual else None,
        )

    def __call__(self, step: int, count: int) -> tuple[list[Rollout], list[bool], Mapping[str, Sequence[float]]]:
        """`rollouts.Draw`."""
        started = time.perf_counter()
        self._writer.renew()
        size = self._sampling.rollouts
        first, trained, seen = self._groups(step, count // size)
        self.estimates.note(self._gathered([(group.exercise.key, group.right) for group in seen]))
        every = self._sampling.keep_every
        if every and step % every == 0:
            record.keep(self._folder, seen, trained, step, self._state.process_index)
        rollouts = [one for group in trained for one in group.rollouts]
        self.longest = max([self.longest, *(len(one.tape.ids) for one in rollouts)])
        figures = of_step(first, trained) | {"rollout_seconds": [time.perf_counter() - started]}
        return rollouts, [not group.flat for group in trained for _one in group.rollouts], figures

    def _groups(self, step: int, count: int) -> tuple[list[Group], list[Group], list[Group]]:
        """A step's groups in this process: those drawn first, those to train on, and all."""
        first = self._played([count] * self._state.num_processes, step, 0, set())
        trained, seen = list(first), list(first)
        asked = set(self._gathered([group.exercise.key for group in first]))
        for again in range(1, self._difficulty.resample + 1):
            flat = [at for at, group in enumerate(trained) if group.flat]
            needs = self._gathered([len(flat)])
            if not sum(needs):
                break
            found = self._played(needs, step, again, asked)
            asked |= set(self._gathered([group.exercise.key for group in found]))
            for at, group in zip(flat, (one for one in found if not one.flat), strict=False):
                trained[at] = group
            seen += found
        return first, trained, seen

    def _played(self, needs: Sequence[int], step: int, again: int, but: set[str]) -> list[Group]:
        """This process's groups of queries that all processes draw alike; each needs so many."""
        before = sum(needs[: self._state.process_index])
        drawn = self.estimates.draw(sum(needs), step, again, but)
        mine = drawn[before : before + needs[self._state.process_index]]
        return self._player.groups(
            [self._exercises[key] for key in mine],
            self._sampling.rollouts,
            step=step,
            turns=self._habits.max_tool_turns + 1,
            draw=again,
            before=before,
        )

    def _gathered(self, values: list[Any]) -> list[Any]:
        from accelerate.utils import gather_object

        return list(gather_object(values))

    def _made_writer(self, name: str) -> Writer:
        sampling = self._sampling
        if sampling.backend == "transformers":
            return Transformers(self._model, self.maker, sampling, name, pixels=self.pixels, autocast=self._autocast)
        return Vllm(self._model, self.maker, sampling, name, lambda: self.trainer.vllm_generation)

    def _without(self, judged: Sequence[Judged], windows: Sequence[Window]) -> list[dict[int, Order | None]]:
        """What the model would have answered without each look, at its likeliest."""
        habits, model, sampling = self._habits, self._model(), self._sampling
        asking = Asking(habits.toolbox, habits.max_tool_turns, habits.boxes, habits.window_pixels)
        with at_rest(model), self._autocast():
            policy = LocalPolicy(  # a new one at each step, for it keeps what the model made of pictures
                replace(self._loaded, model=model),
                wire=habits.wire,
                batch=sampling.batch,
                max_new_tokens=sampling.max_new_tokens,
            )
            return answers_without(policy, judged, windows, asking)

    def _autocast(self) -> Any:
        return self.trainer.accelerator.autocast()

    def _model(self) -> Any:
        return self.trainer.accelerator.unwrap_model(self.trainer.model_wrapped)


def _limit(loaded: Loaded, most: int) -> int:
    """The longest conversation, in tokens: what the settings, the model and its tokenizer allow."""
    told = [
        getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None),
        getattr(loaded.processor.tokenizer, "model_max_length", None),
    ]
    return int(min([most, *(one for one in told if one)]))


def _refuse_mixed(course: Course) -> None:
    """Where the vision tower is cut over processes, one that skips it would leave the others waiting for ever."""
    shows = [bool(one.topic.query.images) or any(c.document.image for c in one.candidates) for one in course.exercises]
    if not whole_here() and 0 < sum(shows) < len(shows):
        raise InvalidInput(
            f"{sum(shows)} of {len(shows)} queries show pictures; FSDP and ZeRO-3 need pictures in all or in none: "
            "train the others apart, or with plain data parallelism"
        )


def _check_openings(course: Course, recorder: Recorder, limit: int) -> None:
    """Refuse a limit that no opening fits; of many queries some are measured."""
    count = len(course.exercises)
    tried = [course.exercises[at * count // min(TRIED, count)] for at in range(min(TRIED, count))]
    lengths = [len(recorder.opened(one.begun(None).seats[0].episode.conversation.messages).ids) for one in tried]
    if min(lengths) >= limit:
        raise InvalidInput(
            f"every prompt has {min(lengths)} tokens or more, and an episode may have {limit}: set max_tokens higher, "
            "or show fewer candidates or smaller pictures (recipe.window, recipe.window_pixels)"
        )

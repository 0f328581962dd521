"""Groups of rollouts: the product's own episodes, all of a step advanced together, and what each earned.

The episode, the tools and the parser are those that serve (`reranking`, `episode`), so an invalid call is heard as an
error here as there, and the trace of a rollout is a trace like any other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.messages import Completion
from vretrver.reranking import Reranking
from vretrver.seats import Seat
from vretrver.trace import Ranking, StopReason, Trace
from vretrver.training.grpo.exercises import Exercise
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.tapes import Recorder, Tape
from vretrver.training.grpo.writers import Turn, Writer, seed_of
from vretrver.training.rewards import Judged, Reward, Score
from vretrver.training.rewards.judged import Order
from vretrver.types import Window
from vretrver.usage import Tokens

Without = Callable[[Sequence[Judged], Sequence[Window]], Sequence[Mapping[int, Order | None]]]
"""Says what the policy would have answered without each look (`rewards.counterfactual`)."""
SAME = 1e-6
"""Rewards nearer to each other than this are the same: their difference is rounding, and dividing by it makes noise."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One episode and what it earned."""

    ranking: Ranking
    tape: Tape
    judged: Judged
    score: Score

    @property
    def trace(self) -> Trace:
        return self.judged.trace

    @property
    def right(self) -> bool:
        """Whether it answered, and put a right candidate first."""
        return self.trace.stop is StopReason.ANSWERED and self.trace.order[0] + 1 in self.judged.relevant


@dataclass(frozen=True, slots=True)
class Group:
    """All rollouts of one query in one step.

    Args:
        draw: which time queries were drawn for this step, from 0.
    """

    exercise: Exercise
    rollouts: tuple[Rollout, ...]
    draw: int = 0

    @property
    def flat(self) -> bool:
        """Whether all earned the same, so that there is nothing to learn."""
        totals = [one.score.total for one in self.rollouts]
        return max(totals) - min(totals) < SAME

    @property
    def right(self) -> float:
        """The share that is right."""
        return sum(one.right for one in self.rollouts) / len(self.rollouts)


Draw = Callable[[int, int], tuple[Sequence[Rollout], Sequence[bool], Mapping[str, Sequence[float]]]]
"""From a step and how many rollouts a process trains: the rollouts, whether each is in the loss, and figures."""


class Player:
    """Plays exercises.

    Args:
        writer: draws the tokens.
        max_tokens: an episode whose conversation has grown to this ends there, without an answer.
        shuffle: whether candidates come in another order each time.
        seed: of orders and draws.
        without: for rewards that ask what a look was for; None where nobody says.
    """

    def __init__(
        self,
        recorder: Recorder,
        pixels: Pixels,
        writer: Writer,
        reward: Reward,
        *,
        max_tokens: int,
        shuffle: bool = False,
        seed: int = 0,
        without: Without | None = None,
    ) -> None:
        self._recorder, self._pixels, self._writer, self._reward = recorder, pixels, writer, reward
        self._max_tokens, self._shuffle, self._seed = max_tokens, shuffle, seed
        self._without = without
        self.seconds = {"writing": 0.0, "judging": 0.0}

    def groups(
        self, exercises: Sequence[Exercise], size: int, step: int, turns: int, *, draw: int = 0, before: int = 0
    ) -> list[Group]:
        """A group of `size` rollouts for each exercise.

        Args:
            step: of the training; another one draws otherwise.
            turns: how many times the writer is called, whether anybody waits or not: processes call it together.
            draw: as `Group`.
            before: how many exercises other processes play before these, so that any number of them draw alike.

        Raises:
            InvalidInput: the reward gives what is no number, or a query's pictures cannot be shown.
            And as the writer.
        """
        keys = [f"{self._seed}:{step}:{draw}:{at}:{one.key}" for at, one in enumerate(exercises, before)]
        episodes = [
            _Episode(one.begun(Random(key) if self._shuffle else None), f"{key}:{number}")  # noqa: S311  # no secret
            for one, key in zip(exercises, keys, strict=True)
            for number in range(size)
        ]
        for episode in episodes:
            episode.open(self._recorder, self._pixels)
        for turn in range(turns):
            self._advance([episode for episode in episodes if not episode.seat.episode.done], turn)
        started = time.perf_counter()
        played = self._judged([(one, exercises[at // size]) for at, one in enumerate(episodes)])
        found = [self._group(one, played[at * size : (at + 1) * size], draw) for at, one in enumerate(exercises)]
        self.seconds["judging"] += time.perf_counter() - started
        return found

    def _advance(self, live: Sequence[_Episode], turn: int) -> None:
        """One turn of every episode that waits for one."""
        for episode in live:
            if len(episode.tape.ids) >= self._max_tokens:
                episode.seat.episode.fail(f"the conversation has {len(episode.tape.ids)} tokens, max_tokens is reached")
        live = [episode for episode in live if not episode.seat.episode.done]
        started = time.perf_counter()
        written = self._writer([one.tape for one in live], [seed_of(one.key, turn) for one in live])
        seconds = time.perf_counter() - started
        self.seconds["writing"] += seconds
        for episode, said in zip(live, written, strict=True):
            episode.feed(said, self._recorder, self._pixels, seconds / len(live))

    def _judged(self, episodes: Sequence[tuple[_Episode, Exercise]]) -> list[tuple[Ranking, Tape, Judged]]:
        """What came of episodes, as a reward sees it."""
        windows = [one.seat.episode.window for one, _exercise in episodes]
        rankings = [one.ranking() for one, _exercise in episodes]
        judged = [
            exercise.judged(ranking.traces[0]) for ranking, (_one, exercise) in zip(rankings, episodes, strict=True)
        ]
        if self._without is not None:
            told = self._without(judged, windows)
            judged = [replace(one, without=orders.get) for one, orders in zip(judged, told, strict=True)]
        return [(ranking, one.tape, known) for ranking, (one, _), known in zip(rankings, episodes, judged, strict=True)]

    def _group(self, exercise: Exercise, played: Sequence[tuple[Ranking, Tape, Judged]], draw: int) -> Group:
        scores = self._reward([judged for _ranking, _tape, judged in played])
        if len(scores) != len(played) or not all(math.isfinite(score.total) for score in scores):
            raise InvalidInput(f"the reward {self._reward.name!r} must give one finite total for each rollout")
        found = (Rollout(*one, score) for one, score in zip(played, scores, strict=True))
        return Group(exercise, tuple(found), draw)


class _Episode:
    """An episode that is being played, and its tape.

    Args:
        key: names its streams of chance.
    """

    def __init__(self, job: Reranking, key: str) -> None:
        self._job, self.key = job, key
        self.tape: Tape

    @property
    def seat(self) -> Seat:
        (seat,) = self._job.seats
        return seat

    def open(self, recorder: Recorder, pixels: Pixels) -> None:
        """Begin the tape; a candidate's damaged picture is left out, as at serving."""
        for _time in range(2):
            self.tape = recorder.opened(self.seat.episode.conversation.messages)
            try:
                for view in self.tape.views:
                    pixels.of(view)
                return
            except (ImageError, MissingPath):
                if not self.seat.leave_out_damaged():
                    raise

    def feed(self, turn: Turn, recorder: Recorder, pixels: Pixels, seconds: float) -> None:
        """Give the episode what was drawn, and the tape what came of it."""
        said, tape = turn.written, self.tape
        pictures = sum(recorder.maker.tokens_of(view) for view in tape.views)
        tokens = Tokens(len(tape.ids), len(said.ids), cached=0, image=pictures)
        observation = self.seat.episode.feed(Completion(said.text, tokens=tokens), seconds)
        messages: Sequence[Any] = self.seat.episode.conversation.messages
        heard = messages[-1 if observation is None else -2].text
        if observation is None:
            heard = said.text  # the last words are read by nobody: all that was drawn is trained
        recorder.wrote(tape, said, turn.logprobs, heard)
        if observation is None:
            return
        try:
            for view in recorder.prompt(messages).views[len(tape.views) :]:
                pixels.of(view)
        except (ImageError, MissingPath) as fault:
            self.seat.episode.fail(f"{type(fault).__name__}: {fault}")
            return
        recorder.shown(tape, messages)

    def ranking(self) -> Ranking:
        """What came of it."""
        if not self.seat.episode.done:
            self.seat.episode.fail("it was not played to its end")
        self._job.advance()
        return self._job.ranking(None, 0.0)

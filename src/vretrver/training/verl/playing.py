"""One rollout for whoever generates tokens elsewhere: the product's episode and its tape. It knows nothing of verl.

    stage = Stage(asking, processor, "Qwen2.5-VL-7B")
    play = stage.begin(row)                  # a row of the released RL layout
    while not play.done:
        play.feed(generate(play.tape.ids, play.pictures()))
    play.judged                              # what a reward takes

What is read and drawn is kept as in `grpo.tapes`, so verl trains the tokens that TRL would, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from vretrver.budget import Budget
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.messages import Completion
from vretrver.policies.local.generation import Written, written_of
from vretrver.policies.local.prompts import PromptWriter
from vretrver.reranking import Reranking, Rules
from vretrver.seats import Seat
from vretrver.trace import Ranking, Trace
from vretrver.training.grpo.settings import Sampling
from vretrver.training.grpo.tapes import Recorder, Tape
from vretrver.training.grpo.writers import vllm_options
from vretrver.training.parquet import Row
from vretrver.training.parquet_reading import row_of
from vretrver.training.rewards import Judged
from vretrver.training.rows import RowMaker
from vretrver.training.truths import World
from vretrver.training.verl.settings import Asking
from vretrver.usage import Tokens
from vretrver.windows import load_planner
from vretrver.world import topics, truth


class Stage:
    """What the rollouts of one process share. Its rollouts may run in several threads.

    Args:
        processor: the model's. name: the model's, for traces and messages.
        most_tokens: of a response: what was drawn and what tools showed together.

    Raises:
        InvalidInput: the model cannot be trained on its rollouts (`RowMaker`, `Recorder`).
    """

    def __init__(self, asking: Asking, processor: Any, name: str, most_tokens: int = 12288) -> None:
        self.asking, self.name, self.most_tokens = asking, name, most_tokens
        self.maker = RowMaker(PromptWriter(processor, name), name)
        self.recorder = Recorder(self.maker, name)
        self.world = None if asking.world is None else World(topics(Path(asking.world)), truth(Path(asking.world)))
        self.options = vllm_options(self.maker, Sampling(max_new_tokens=asking.max_new_tokens))
        self.lock = Lock()  # of the prompt writer's pictures

    def begin(self, record: Mapping[str, Any]) -> Play:
        """A rollout of a row, ready for its first turn.

        Raises:
            RecordError: the row does not parse. ImageError, MissingPath: a picture of the query cannot be read.
            InvalidInput: its window is empty.
        """
        return Play(self, row_of(record, "a row of the RL data", Path(self.asking.root)))

    def written(self, ids: Sequence[int]) -> Written:
        tokenizer = self.maker.writer.tokenizer
        return written_of(ids, tokenizer, {tokenizer.eos_token_id, tokenizer.pad_token_id})


class Play:
    """A rollout that is being played.

    `tape` holds its tokens; `done` says whether it is over.
    """

    def __init__(self, stage: Stage, row: Row) -> None:
        habits, count = stage.asking.habits, len(row.window.candidates)
        if not count:
            raise InvalidInput(f"the row {row.qid!r} has no candidates; there is nothing to rank")
        planner = load_planner(f"onepass:{max(2, count)}")
        rules = Rules(planner, habits.toolbox, habits.max_tool_turns, habits.wire, stage.name, Budget())
        self.row, self._stage = row, stage
        self._job = Reranking(row.window.query, list(row.window.candidates), rules)
        self._seat: Seat
        (self._seat,) = self._job.seats
        with stage.lock:
            self.tape = self._opened()

    @property
    def done(self) -> bool:
        return self._seat.episode.done

    @property
    def room(self) -> int:
        """How many tokens the response may still take."""
        return self._stage.most_tokens - (len(self.tape.ids) - self.tape.opening)

    @property
    def options(self) -> dict[str, Any]:
        """What vLLM is told of the next turn."""
        return self._stage.options | {"max_tokens": max(1, min(self._stage.options["max_tokens"], self.room))}

    def pictures(self) -> list[Any]:
        """The pixels of every picture on the tape, in order."""
        with self._stage.lock:
            return [self._stage.maker.writer.pictures.picture(view) for view in self.tape.views]

    def feed(self, ids: Sequence[int], logprobs: Sequence[float] = (), seconds: float = 0.0) -> None:
        """Take the tokens of one turn, and let the tool answer if one was called."""
        with self._stage.lock:
            self._feed(self._stage.written(ids), list(logprobs), seconds)

    @property
    def trace(self) -> Trace:
        return self._seat.episode.trace

    @property
    def judged(self) -> Judged:
        world = self._stage.world
        question = None if world is None else world.question(self.trace.candidates)
        return Judged(self.trace, frozenset(at + 1 for at in self.row.relevant), question)

    def ranking(self) -> Ranking:
        """What came of it; not before it is done."""
        assert self.done
        self._job.advance()
        return self._job.ranking(None, 0.0)

    def _opened(self) -> Tape:
        """The tape's beginning; a candidate's damaged picture is left out, as at serving."""
        for last in (False, True):
            tape = self._stage.recorder.opened(self._seat.episode.conversation.messages)
            try:
                for view in tape.views:
                    self._stage.maker.writer.pictures.picture(view)
            except (ImageError, MissingPath):
                if last or not self._seat.leave_out_damaged():
                    raise
            else:
                break
        return tape

    def _feed(self, said: Written, logprobs: Sequence[float], seconds: float) -> None:
        tape, episode, recorder = self.tape, self._seat.episode, self._stage.recorder
        seen = sum(self._stage.maker.tokens_of(view) for view in tape.views)
        tokens = Tokens(len(tape.ids), len(said.ids), image=seen)
        observation = episode.feed(Completion(said.text, tokens=tokens), seconds)
        messages = episode.conversation.messages
        recorder.wrote(tape, said, logprobs, said.text if observation is None else messages[-2].text)
        if observation is None:
            return
        kept = len(tape.ids)
        try:
            for view in recorder.prompt(messages).views[len(tape.views) :]:
                self._stage.maker.writer.pictures.picture(view)
        except (ImageError, MissingPath) as fault:
            episode.fail(f"{type(fault).__name__}: {fault}")
            return
        pictures = len(tape.views)
        recorder.shown(tape, messages)
        if self.room < 1:  # what was shown does not fit: the rollout ends with the call
            kept = min(kept, len(tape.ids))
            del tape.ids[kept:], tape.views[pictures:]
            del tape.trained[kept - tape.opening :], tape.logprobs[kept - tape.opening :]
            episode.fail(f"the response would be longer than {self._stage.most_tokens} tokens")

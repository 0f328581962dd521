"""One window's episode as a state machine without I/O: model text in, an observation or the end out.

It neither calls a model nor opens a picture, so the same object runs under a served model, an embedded policy, a
replayed transcript and a training rollout. Who drives it completes `conversation`, gives the text to `feed`, and
stops when `done`; `trace` is what happened. `reranker` is such a driver.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from vretrver import protocol
from vretrver.messages import Completion, Conversation, ImagePart, Message, Observation, TextPart, ToolCall
from vretrver.notes import note_of
from vretrver.protocol import Parsed, Wire
from vretrver.tools import Toolbox, default_toolbox, refused
from vretrver.trace import Evidence, StopReason, Trace, Turn
from vretrver.types import ImageRef, Window

AGAIN = "You have already made this call; this is the same result again.\n"


class Episode:
    """A window being ranked.

    Args:
        window: the query and its candidates.
        sizes: width and height in pixels of every original that can be read (`images.image_size`). A candidate whose
            picture is not in it is shown without its picture, and the trace says so.
        toolbox: the tools on offer; select_images and crop_image when None.
        max_tool_turns: how many turns may hold a call; at most one more generation than this is asked for.
        wire: the model's dialect of the protocol.
        policy: the policy's name, for the trace.
    """

    def __init__(
        self,
        window: Window,
        sizes: Mapping[ImageRef, tuple[int, int]],
        toolbox: Toolbox | None = None,
        *,
        max_tool_turns: int = 2,
        wire: Wire | None = None,
        policy: str = "",
    ) -> None:
        self.window = window
        self.toolbox = default_toolbox() if toolbox is None else toolbox
        self.max_tool_turns = max_tool_turns
        wire = Wire() if wire is None else wire
        self.gallery = protocol.number_pictures(window, sizes, wire)
        self._messages = protocol.render_window(window, self.gallery, self.toolbox, max_tool_turns, wire)
        self._prompt = self._messages[1].parts
        self._prompt_hash = protocol.prompt_hash(self._messages)
        self._policy = policy
        self._turns: list[Turn] = []
        self._answered: dict[str, Observation] = {}
        self._order = tuple(range(len(window.candidates)))
        self._relevance: tuple[float, ...] | None = None
        self._stop: StopReason | None = None
        self._error: str | None = None
        self._repairs = [
            f"candidate ({position + 1}) is shown without its image, which cannot be read: {image.label}"
            for position, candidate in enumerate(window.candidates)
            if (image := candidate.document.image) is not None and image not in sizes
        ]

    @property
    def conversation(self) -> Conversation:
        """What the policy is asked to continue."""
        return Conversation(self.window, tuple(self._messages))

    @property
    def pictures(self) -> int:
        """How many pictures the opening shows."""
        return len(self.gallery.pictures)

    @property
    def done(self) -> bool:
        return self._stop is not None

    def feed(self, completion: Completion, seconds: float = 0.0) -> Observation | None:
        """Take one generation.

        Args:
            seconds: the time the policy took, for the trace.

        Returns:
            The observation that answers a tool call, already added to `conversation`; None when the episode is done.
        """
        assert not self.done, "the episode is over; start another"
        parsed = protocol.parse(completion.text, self.toolbox)
        self._repairs += parsed.repairs
        self._note_relevance(completion.relevance)
        observation = self._next(parsed)
        turn = Turn(parsed.text, parsed.call, observation, seconds, completion.tokens, completion.reused)
        self._turns.append(turn)
        self._messages.append(Message("assistant", (TextPart(parsed.text),)))
        if observation is not None:
            self._messages.append(observation.message())
        return observation

    def fail(self, error: str) -> None:
        """End because the policy failed: the incoming order stands."""
        self._give_up(StopReason.POLICY_ERROR, "the policy failed")
        self._error = error

    def exhaust(self, budget: str) -> None:
        """End because what the query may cost is spent: the incoming order stands.

        Args:
            budget: which cost, in words.
        """
        self._give_up(StopReason.BUDGET, f"the budget of {budget} was spent")

    @property
    def trace(self) -> Trace:
        """What happened so far; final once `done`."""
        return Trace(
            start=self.window.start,
            candidates=tuple(candidate.document.id for candidate in self.window.candidates),
            order=self._order,
            turns=tuple(self._turns),
            stop=self._stop or StopReason.NO_ANSWER,
            repairs=tuple(self._repairs),
            evidence=self._evidence(),
            relevance=self._relevance,
            policy=self._policy,
            prompt_hash=self._prompt_hash,
            error=self._error,
            prompt=self._prompt,
        )

    def _next(self, parsed: Parsed) -> Observation | None:
        if parsed.answer is not None:
            self._rank(parsed.answer)
        elif parsed.call is None and parsed.problem is None:
            self._give_up(StopReason.NO_ANSWER, "no answer was given")
        elif len(self._turns) >= self.max_tool_turns:
            self._give_up(StopReason.OUT_OF_TURNS, f"a tool was called after {self.max_tool_turns} tool turns")
        else:
            return self._look(parsed.call) if parsed.call else refused(parsed.problem or "")
        return None

    def _rank(self, answer: str) -> None:
        n = len(self.window.candidates)
        self._order, repairs = protocol.complete(answer, n)
        self._repairs += repairs
        self._stop = StopReason.NO_ANSWER if protocol.is_empty(answer, n) else StopReason.ANSWERED

    def _give_up(self, stop: StopReason, why: str) -> None:
        self._stop = stop
        self._repairs.append(f"{why}: the incoming order stands")

    def _look(self, call: ToolCall) -> Observation:
        key = json.dumps([call.name, dict(call.arguments)], sort_keys=True)
        if key in self._answered:
            seen = self._answered[key]
            return Observation((TextPart(AGAIN), *seen.parts), seen.valid)
        try:
            observation = self.toolbox.run(call, self.gallery)
        except Exception as fault:  # the one boundary: a faulty tool costs a turn, never the ranking
            self._error = f"tool {call.name} failed: {type(fault).__name__}: {fault}"
            observation = refused("The tool failed. Go on without it.")
        self._answered[key] = observation
        self.gallery = self.gallery.after(observation)
        return observation

    def _note_relevance(self, relevance: tuple[float, ...] | None) -> None:
        if relevance is None:
            return
        try:
            values = [float(value) for value in relevance]
        except (TypeError, ValueError, OverflowError):
            values = []
        if len(values) == len(self.window.candidates) and all(map(math.isfinite, values)):
            self._relevance = tuple(min(1.0, max(0.0, value)) for value in values)
        else:
            self._repairs.append("dropped the policy's relevance: it is not one finite number per candidate")

    def _evidence(self) -> dict[str, tuple[Evidence, ...]]:
        """Every look at a candidate's picture, with what was said of it afterwards."""
        found: dict[str, dict[object, Evidence]] = {}
        for at, turn in enumerate(self._turns):
            if turn.call is None or turn.observation is None or not turn.observation.valid:
                continue
            words = "\n".join(later.text for later in self._turns[at + 1 :])
            for part in turn.observation.parts:
                position = self.gallery.pictures[part.index].candidate if isinstance(part, ImagePart) else None
                if position is None or not isinstance(part, ImagePart):
                    continue
                note = note_of(words, position + 1, part.index)
                look = Evidence(part.view.image.label, part.view.box, turn.call.name, note)
                # A call made again adds nothing: the first look's note holds what was said after the second too.
                looks = found.setdefault(self.window.candidates[position].document.id, {})
                looks.setdefault((look.image, look.box, look.tool), look)
        return {key: tuple(looks.values()) for key, looks in found.items()}

"""Our contenders: the product's own `Reranker` over `ChatPolicy`, with one planner and one way of showing pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runs.planners.calibrate import fitted
from runs.planners.measuring import Ranked
from runs.planners.topics import K, Topic, candidates, caption, numbers, passage

from vretrver.messages import Completion, Conversation
from vretrver.policies.chat import ChatPolicy, Limits
from vretrver.protocol import Wire
from vretrver.reranker import Reranker
from vretrver.testing import Served
from vretrver.types import Document, ImageRef
from vretrver.windows import load_planner


class Watched(ChatPolicy):
    """A chat policy that notes what every batch was served, and how many batches began a window."""

    drain: Callable[[], list[Served]]
    steps: list[list[Served]]
    rounds: int
    watching: float  # CPU spent on watching, which is not the client's

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        try:
            return super().complete(conversations)
        finally:
            started = time.process_time()
            self.steps.append(self.drain())
            self.rounds += any(not _spoken(conversation) for conversation in conversations)
            self.watching += time.process_time() - started


class Ours:
    """Args:
    planner: as `windows.load_planner` takes it.
    tool_turns: how many looks a window may take; the fake model takes all.
    patches: of 28x28 pixels, at most, that a picture takes in the window.
    options: more of `Reranker`'s.
    """

    def __init__(
        self,
        url: str,
        drain: Callable[[], list[Served]],
        planner: str,
        *,
        pictures: Sequence[Path] = (),
        tool_turns: int = 0,
        patches: int = 512,
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        self.track = "image" if pictures else "text"
        shown = f"{planner}, pictures of {patches} patches, {tool_turns} tool turns" if pictures else planner
        self.name = "ours"
        self.setting = ", ".join([shown, *(f"{name}={value}" for name, value in options.items())])
        self._documents = [_document(number, pictures) for number in range(K)]
        wire = Wire(boxes="0-1000").showing(patches)
        self._policy = Watched(url, "fake", wire=wire, environment={}, limits=limits)
        self._policy.drain = drain
        self._reranker = Reranker(
            self._policy, planner=load_planner(planner), max_tool_turns=tool_turns, calibration=fitted(), **options
        )

    def rank(self, topic: Topic) -> Ranked:
        found = candidates(topic, self._documents)
        policy = self._policy
        policy.steps, policy.rounds, policy.watching = [], 0, 0.0
        started = time.process_time()
        ranking = self._reranker.rerank(topic.query, found)
        cpu = time.process_time() - started - policy.watching
        return Ranked(numbers(ranking.ids), policy.rounds, policy.steps, cpu)

    def close(self) -> None:
        self._policy.close()


def _document(number: int, pictures: Sequence[Path]) -> Document:
    if not pictures:
        return Document(str(number), passage(number))
    return Document(str(number), caption(number), ImageRef(path=str(pictures[number])))


def _spoken(conversation: Conversation) -> bool:
    return any(message.role == "assistant" for message in conversation.messages)

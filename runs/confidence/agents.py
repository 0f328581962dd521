"""Simulated agents over real candidates: `vretrver.testing`'s agent in this process, its mistakes drawn from a seed.

What it knows of a candidate is

    skill * (it answers) + taste * (the coarse score, standardised) + its own conviction ~ N(0, 1)

and what it says of it in one window adds noise drawn for that window and a bias to early places. Convictions stay from
look to look, as a model's own misjudgements do; noise does not. So two looks that agree may both be wrong.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from runs.confidence.topics import Found

from vretrver.messages import Completion, Conversation, TextPart
from vretrver.protocol import Wire
from vretrver.testing.agent import Agent
from vretrver.testing.reading import Reading


@dataclass(frozen=True)
class Traits:
    """One simulated model."""

    skill: float
    taste: float = 0.3
    noise: float = 0.5
    bias: float = 0.5
    look_share: float = 0.5

    @classmethod
    def drawn(cls, draw: random.Random) -> Traits:
        """From hardly better than chance to hardly ever wrong."""
        return cls(
            skill=draw.uniform(0.5, 6.0),
            taste=draw.choice((0.0, 0.3, 0.6)),
            noise=draw.choice((0.2, 0.6, 1.2)),
            bias=draw.choice((0.0, 0.5, 1.5)),
            look_share=draw.choice((0.0, 0.5, 1.0)),
        )


class Simulated:
    """A policy for one topic."""

    name = "simulated"
    wire = Wire(boxes="0-1000")

    def __init__(self, found: Found, traits: Traits, seed: int) -> None:
        scores = np.array([candidate.score for candidate in found.candidates])
        spread = (scores - scores.mean()) / max(float(scores.std()), 0.25) if len(scores) else scores
        liking = {one.document.id: float(z) for one, z in zip(found.candidates, spread, strict=True)}
        shown = {one.document.image.label: one.document.id for one in found.candidates if one.document.image}

        def relevance(_query: str, text: str, image: bytes | None) -> float:
            name = text or shown[(image or b"").decode()]
            conviction = _drawn(seed, found.topic, name).gauss(0, 1)
            return traits.skill * (name in found.relevant) + traits.taste * liking[name] + conviction

        self._agent = Agent(relevance, seed, traits.noise, traits.bias, traits.look_share)

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        return [Completion(self._agent.text(_reading(conversation))) for conversation in conversations]


def _reading(conversation: Conversation) -> Reading:
    """The conversation as the fake endpoint would read it off a request; a picture's bytes are its name."""
    messages: list[tuple[str, list[str | bytes]]] = [
        (
            message.role,
            [part.text if isinstance(part, TextPart) else part.view.image.label.encode() for part in message.parts],
        )
        for message in conversation.messages
    ]
    said = [{"role": message.role, "content": message.text} for message in conversation.messages]
    return Reading({"messages": said}, messages)


def _drawn(*what: object) -> random.Random:
    return random.Random(hashlib.sha256("\x1f".join(map(str, what)).encode()).digest())

"""What an agent reads and writes: messages of text and pictures, tool calls, observations.

A picture in a message is a `View`: which original, which part of it, shown at what size. Nothing is
decoded here; who needs pixels renders the view (`vretrver.images.render`). So a trace can be drawn on
the original long after, and one episode serves a model that wants base64 and one that wants arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from vretrver.types import Box, ImageRef, Window
from vretrver.usage import Tokens

Role: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class View:
    """A picture as it is shown.

    Args:
        image: the original.
        width, height: shown size in pixels.
        box: the part of the original that is shown; None for all of it.
    """

    image: ImageRef
    width: int
    height: int
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A shown picture and its number on the wire.

    `index` counts pictures, not candidates: 0 is the query image, 1..N the candidates' pictures in order;
    -1, -2, ... are the second and later pictures of a query that has several.
    """

    view: View
    index: int


Part: TypeAlias = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text parts, joined; pictures stand as `<image>`."""
        return "".join(part.text if isinstance(part, TextPart) else "<image>" for part in self.parts)

    @property
    def views(self) -> tuple[ImagePart, ...]:
        return tuple(part for part in self.parts if isinstance(part, ImagePart))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model wrote it, canonical name, arguments not yet checked by the tool."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tool call brought: text and pictures for the model's next turn.

    `valid` is False when the call was refused; the text then says why.
    """

    parts: tuple[Part, ...]
    valid: bool = True

    def message(self) -> Message:
        return Message("user", self.parts)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a policy completes: the window it ranks, and everything said so far.

    A chat model reads `messages` alone. An embedded policy may also read the window's coarse scores.

    Args:
        seconds: how long an answer is of use, for a policy that can give up; None for as long as it takes.
    """

    window: Window
    messages: Sequence[Message]
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One generation of a policy.

    Args:
        text: exactly what was generated, stop text included.
        relevance: the policy's probability, per candidate of the window in incoming order, that it answers
            the query; None when the policy does not say.
        tokens: read and written for it, where known; none of them when it was `reused`.
        reused: whether the text came from a cache of answers.
    """

    text: str
    relevance: tuple[float, ...] | None = None
    tokens: Tokens | None = None
    reused: bool = False

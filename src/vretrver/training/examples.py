"""One trajectory to learn from: a conversation as the model will meet it, with the turns that it should have written.

Built from a `Trace`, so that prompt, tool answers and pictures are those of the product's episode, to the letter. It
leaves out files (`sharegpt`, `parquet`), tokens (`rows`) and whether a trajectory is any good (`filtering`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vretrver import protocol
from vretrver.boxes import BoxFamily
from vretrver.errors import InvalidInput
from vretrver.messages import ImagePart, Message, Part, TextPart
from vretrver.policies.habits import Habits
from vretrver.protocol import Wire
from vretrver.tools import Toolbox, default_toolbox
from vretrver.trace import Trace

WINDOW_PIXELS = Wire().window_pixels
MARK = "<image>"
"""Stands for a picture in texts of the released formats."""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation whose assistant turns are trained.

    Args:
        messages: system (may be missing), user, assistant, user (what a tool showed), ..., assistant.
        facts: where it comes from, JSON values: `teacher`, `task`, `topic`, `group`, `relevant` (1-based numbers of the
            right candidates in the window), `candidates` (their ids), `prompt_hash`, `habits` (how the window was
            shown, `policies.habits.Habits`), `seed`; none is required.

    Raises:
        InvalidInput: the roles do not alternate as above.
    """

    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_roles([message.role for message in self.messages])

    @property
    def pictures(self) -> tuple[ImagePart, ...]:
        """Every picture, in the order in which its mark stands in the conversation."""
        return tuple(part for message in self.messages for part in message.views)

    @property
    def tool_turns(self) -> int:
        """Assistant turns before the last: each was answered by a tool."""
        return sum(message.role == "assistant" for message in self.messages) - 1

    @property
    def prompt_hash(self) -> str:
        """SHA-256 of the system prompt, as traces have it."""
        return protocol.prompt_hash(self.messages)


def check_roles(roles: Sequence[str]) -> None:
    """Refuse an order of turns that no episode has.

    Raises:
        InvalidInput: it is not [system,] user, assistant, user, assistant, ..., assistant.
    """
    talk = list(roles[1:] if roles[:1] == ["system"] else roles)
    wanted = ["user", "assistant"] * (len(talk) // 2)
    if not talk or talk != wanted:
        raise InvalidInput(
            f"the turns are {', '.join(roles)[:200] or 'none'}; they must be system (or none), then user and assistant "
            "in turn, the assistant's last"
        )


def example_of(
    trace: Trace,
    toolbox: Toolbox | None = None,
    *,
    max_tool_turns: int = 2,
    boxes: BoxFamily = "released",
    window_pixels: int = WINDOW_PIXELS,
    facts: Mapping[str, Any] | None = None,
) -> Example:
    """The conversation of a trace as its episode sent it.

    Args:
        toolbox, max_tool_turns, boxes: what the episode had; the system prompt is made of them.
        window_pixels: the largest area of a picture in its window.
        facts: as `Example.facts`; `prompt_hash` and `habits` are added.

    Raises:
        InvalidInput: the trace has no turn, its last turn waits for a tool's answer, or its system prompt was another
            one than these arguments make.
    """
    tools = default_toolbox() if toolbox is None else toolbox
    system = protocol.system_prompt(tools, max_tool_turns, boxes)
    opening = [Message("system", (TextPart(system),)), Message("user", trace.prompt)]
    if protocol.prompt_hash(opening) != trace.prompt_hash:
        raise InvalidInput(
            f"the trace was made with another system prompt ({trace.prompt_hash[:12] or 'unknown'}, not "
            f"{protocol.prompt_hash(opening)[:12]}); give the tools, max_tool_turns and boxes of its run"
        )
    if not trace.turns or trace.turns[-1].observation is not None:
        raise InvalidInput(f"a trace that ended by {trace.stop.value} holds no whole conversation")
    habits = Habits.of(tools, max_tool_turns, Wire(boxes=boxes, window_pixels=window_pixels)).to_record()
    return Example((*opening, *turns_of(trace)), {**(facts or {}), "prompt_hash": trace.prompt_hash, "habits": habits})


def turns_of(trace: Trace) -> list[Message]:
    """What was said after the opening: the assistant's turns and the tools' answers."""
    messages = []
    for turn in trace.turns:
        messages.append(Message("assistant", (TextPart(turn.text),)))
        if turn.observation is not None:
            messages.append(turn.observation.message())
    return messages


# -- texts with marks -------------------------------------------------------------------------------------------


def marked(message: Message) -> str:
    """A message as one text with a mark per picture. A mark that is mere text gets a look-alike of its `<`."""
    between = [""]
    for part in message.parts:
        if isinstance(part, TextPart):
            between[-1] += part.text
        else:
            between.append("")
    return MARK.join(text.replace(MARK, "\u2039image>") for text in between)


def unmarked(text: str, pictures: Sequence[ImagePart]) -> tuple[Part, ...]:
    """The parts of a text with as many marks as there are pictures; the inverse of `marked`.

    Raises:
        InvalidInput: the numbers differ.
    """
    words = text.split(MARK)
    if len(words) - 1 != len(pictures):
        raise InvalidInput(f"{len(words) - 1} {MARK} marks came with {len(pictures)} pictures; each mark needs one")
    parts: list[Part] = [TextPart(words[0])] if words[0] else []
    for picture, after in zip(pictures, words[1:], strict=True):
        parts += [picture, TextPart(after)] if after else [picture]
    return tuple(parts)

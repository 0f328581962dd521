"""What a policy would have answered without a look: `Judged.without`, for where no truth says what a look was for.

    orders = counterfactual(policy, judged, windows, asking)     # one large batch a round
    judged = [replace(one, without=found.get) for one, found in zip(judged, orders)]

The trace's conversation is said again with one look's turn taken out, and so is what was thought after it: of later
looks only the calls and their answers stay, or the evidence would come back in the agent's own words. Then the policy
is asked to go on. If it calls a tool again it hears that the tool failed, as often as it has turns for tools.

It costs one generation or more a look, each with the prompt read anew; only looks that can earn are asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vretrver import protocol
from vretrver.errors import InvalidInput
from vretrver.messages import Conversation, Message, TextPart
from vretrver.policies import Policy, checked
from vretrver.tools import refused
from vretrver.training.examples import example_of
from vretrver.training.rejection import Asking
from vretrver.training.rewards.answers import is_permutation, place, written
from vretrver.training.rewards.judged import Judged, Order
from vretrver.training.rewards.looks import looks_of
from vretrver.types import Window

FAILED = refused("The tool failed. Go on without it.").message()


@dataclass(slots=True)
class _Replay:
    rollout: int
    look: int
    conversation: Conversation
    order: Order | None = None
    open: bool = True


def counterfactual(
    policy: Policy, rollouts: Sequence[Judged], windows: Sequence[Window], asking: Asking
) -> list[dict[int, Order | None]]:
    """The orders that a policy comes to without each look of `undecided`.

    Args:
        policy: the one that made the rollouts; it should take the likeliest token each time.
        windows: of each rollout.
        asking: how the rollouts were asked.

    Returns:
        For each rollout, by the look's number: the order, candidates' numbers from 1; None where no answer came.

    Raises:
        InvalidInput: there is not one window for each rollout, or a rollout was asked in another way.
        PolicyError: the policy failed.
    """
    if len(rollouts) != len(windows):
        raise InvalidInput(f"{len(rollouts)} rollouts came with {len(windows)} windows; give each its own")
    replays = [
        _Replay(at, look, Conversation(window, _without(one, look, asking)))
        for at, (one, window) in enumerate(zip(rollouts, windows, strict=True))
        for look in undecided(one)
    ]
    for _round in range(asking.max_tool_turns + 1):
        if waiting := [replay for replay in replays if replay.open]:
            _ask(policy, waiting, asking)
    found: list[dict[int, Order | None]] = [{} for _one in rollouts]
    for replay in replays:
        found[replay.rollout][replay.look] = replay.order
    return found


def undecided(one: Judged) -> list[int]:
    """The looks of which a reward wants to know: they showed something new, the answer is right, no truth is known."""
    if one.truth is not None or not is_permutation(one.trace) or place(written(one.trace), one.relevant) != 1:
        return []
    return [look.number for look in looks_of(one.trace) if not look.redundant]


def _without(one: Judged, look: int, asking: Asking) -> tuple[Message, ...]:
    example = example_of(
        one.trace,
        asking.toolbox,
        max_tool_turns=asking.max_tool_turns,
        boxes=asking.boxes,
        window_pixels=asking.window_pixels,
    )
    opening, turns = example.messages[:2], list(zip(example.messages[2::2], example.messages[3::2], strict=False))
    kept: Iterable[tuple[Message, Message]] = [
        *turns[:look],
        *((_call_alone(said), heard) for said, heard in turns[look + 1 :]),
    ]
    return (*opening, *(message for turn in kept for message in turn))


def _call_alone(said: Message) -> Message:
    return replace(said, parts=(TextPart(said.text[max(0, said.text.rfind("<tool_call>")) :]),))


def _ask(policy: Policy, waiting: Sequence[_Replay], asking: Asking) -> None:
    conversations = [replay.conversation for replay in waiting]
    completions = checked(policy.complete(conversations), len(waiting), policy.name)
    for replay, completion in zip(waiting, completions, strict=True):
        parsed, count = protocol.parse(completion.text, asking.toolbox), len(replay.conversation.window.candidates)
        if parsed.call is None and parsed.problem is None:
            replay.open = False
            if parsed.answer is not None and not protocol.is_empty(parsed.answer, count):
                replay.order = tuple(at + 1 for at in protocol.complete(parsed.answer, count)[0])
        else:
            more = (Message("assistant", (TextPart(parsed.text),)), FAILED)
            replay.conversation = replace(replay.conversation, messages=(*replay.conversation.messages, *more))

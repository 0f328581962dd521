from __future__ import annotations

import pytest

from vretrver.errors import PolicyError
from vretrver.messages import Completion, Conversation, Message, TextPart
from vretrver.policies import Policy
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.types import Query, Window

FRESH = Conversation(Window(Query("x"), ()), (Message("system", ()), Message("user", ())))
SECOND = Conversation(FRESH.window, (*FRESH.messages, Message("assistant", (TextPart("one"),))))


def test_every_episode_gets_the_texts_in_turn() -> None:
    policy = ScriptedPolicy(["one", Completion("two", relevance=(0.5,))])
    assert isinstance(policy, Policy)
    assert policy.complete([FRESH, SECOND, FRESH]) == [
        Completion("one"),
        Completion("two", relevance=(0.5,)),
        Completion("one"),
    ]
    assert policy.seen == [FRESH, SECOND, FRESH]


def test_a_function_may_write_the_script() -> None:
    policy = ScriptedPolicy(lambda conversation: f"{len(conversation.messages)} so far")
    assert [completion.text for completion in policy.complete([FRESH, SECOND])] == ["2 so far", "3 so far"]


def test_a_script_that_runs_out_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match="holds 1 texts and a text number 2 was asked for"):
        ScriptedPolicy(["one"]).complete([SECOND])

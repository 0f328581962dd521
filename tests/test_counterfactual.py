"""A policy that tells by what it has been shown: with a look at picture 3 it ranks 3 first, else 1."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.tools import default_toolbox, load_toolbox
from vretrver.training.rejection import Asking
from vretrver.training.rewards import Judged, load_reward
from vretrver.training.rewards.counterfactual import counterfactual, undecided

sys.path.insert(0, str(Path(__file__).parents[1]))
from runs.reward_hacks import BESIDE, BEST, LOOK, WINDOW, WORST, answer, crop, played

ASKING = Asking(default_toolbox(), 2, "released")
FIRST = "[1, 2, 3, 4, 5]"


def judged(*texts: str) -> Judged:
    return Judged(played(texts), frozenset({3}))


def seen(conversation: Conversation) -> set[int]:
    """Pictures that tools showed."""
    return {part.index for message in conversation.messages[2:] for part in message.views}


def by_sight(conversation: Conversation) -> str:
    return answer(BEST if 3 in seen(conversation) else FIRST)


def test_an_order_for_every_look_that_could_earn_in_one_batch() -> None:
    policy = ScriptedPolicy(by_sight)
    rollouts = [judged(BESIDE, LOOK, answer(BEST)), judged(answer(BEST)), judged(LOOK, answer(BEST))]
    orders = counterfactual(policy, rollouts, [WINDOW] * 3, ASKING)
    assert orders == [{0: (3, 1, 2, 4, 5), 1: (1, 2, 3, 4, 5)}, {}, {0: (1, 2, 3, 4, 5)}]
    assert len(policy.seen) == 3
    scores = load_reward("ours")([replace(one, without=found.get) for one, found in zip(rollouts, orders, strict=True)])
    assert [score.terms["tool"] for score in scores] == [0.2, 0, 0.2]


def test_what_was_thought_after_the_look_goes_with_it() -> None:
    later = crop(1, 0, 0, 100, 100, think="Candidate 3 has three dots.")
    policy = ScriptedPolicy(by_sight)
    counterfactual(policy, [judged(LOOK, later, answer(BEST))], [WINDOW], ASKING)
    without_first, without_second = policy.seen
    assert [message.role for message in without_first.messages] == ["system", "user", "assistant", "user"]
    assert without_first.messages[2].text == later.partition("</think>\n")[2]
    assert without_second.messages[2].text == LOOK
    assert seen(without_first) == {1} and seen(without_second) == {3}


def test_only_new_looks_of_right_answers_without_a_truth_are_asked_about() -> None:
    assert undecided(judged(LOOK, LOOK, answer(BEST))) == [0]
    assert undecided(judged(crop(9, 0, 0, 9, 9), LOOK, answer(BEST))) == [1]
    assert undecided(judged(LOOK, answer(WORST))) == undecided(judged(LOOK, answer("[3]"))) == []
    assert undecided(judged(LOOK, BESIDE, LOOK)) == []


def test_a_policy_that_looks_again_hears_that_the_tool_failed() -> None:
    def insists(conversation: Conversation) -> str:
        return by_sight(conversation) if "The tool failed." in conversation.messages[-1].text else LOOK

    policy = ScriptedPolicy(insists)
    assert counterfactual(policy, [judged(LOOK, answer(BEST))], [WINDOW], ASKING) == [{0: (1, 2, 3, 4, 5)}]
    assert [len(conversation.messages) for conversation in policy.seen] == [2, 4]


@pytest.mark.parametrize("text", [LOOK, "<think>?</think>", "<answer>[9]</answer>", "<tool_call>x</tool_call>", ""])
def test_who_gives_no_answer_says_nothing(text: str) -> None:
    assert counterfactual(ScriptedPolicy(lambda _: text), [judged(LOOK, answer(BEST))], [WINDOW], ASKING) == [{0: None}]


def test_refusals() -> None:
    one = judged(LOOK, answer(BEST))
    with pytest.raises(InvalidInput, match="1 rollouts came with 2 windows"):
        counterfactual(ScriptedPolicy([]), [one], [WINDOW] * 2, ASKING)
    with pytest.raises(InvalidInput, match="another system prompt"):
        counterfactual(ScriptedPolicy([]), [one], [WINDOW], replace(ASKING, toolbox=load_toolbox("select")))
    with pytest.raises(PolicyError):
        counterfactual(ScriptedPolicy([]), [one], [WINDOW], ASKING)
    assert counterfactual(ScriptedPolicy([]), [], [], ASKING) == []

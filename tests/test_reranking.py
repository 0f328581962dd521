"""Second looks, fusion and the gate; the plain road is in test_reranker.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vretrver.budget import Budget
from vretrver.calibration import Calibration, Logistic
from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer
from vretrver.reranker import Reranker
from vretrver.trace import Ranking, StopReason
from vretrver.types import Candidate, Document
from vretrver.windows import load_planner


def texts(n: int) -> list[Document]:
    return [Document(f"d{at}", f"text {at}") for at in range(n)]


def found(*scores: float) -> list[Candidate]:
    """Candidates as a Retriever gives them, so that chances are known."""
    return [
        Candidate(document, score, at + 1, {"vector": score})
        for at, (document, score) in enumerate(zip(texts(len(scores)), scores, strict=True))
    ]


SCORES = Calibration({"*": Logistic({"score": 1.0})}, Logistic(), 0.0)
"""Chances that can be checked in the head: a score of 0 is one half."""


def ids(conversation: Conversation) -> list[str]:
    return [candidate.document.id for candidate in conversation.window.candidates]


def as_shown(conversation: Conversation) -> str:
    """An agent that only sees places: the first is the best."""
    return render_answer(range(len(ids(conversation))))


def by_name(conversation: Conversation) -> str:
    """An agent that knows: the highest number is the best, wherever it stands."""
    names = ids(conversation)
    return render_answer(sorted(range(len(names)), key=lambda at: -int(names[at][1:])))


def test_a_second_look_shows_the_head_in_reverse() -> None:
    policy = ScriptedPolicy(by_name)
    ranking = Reranker(policy, second_look="reverse").rerank("q", texts(4))
    assert [ids(conversation) for conversation in policy.seen] == [
        ["d0", "d1", "d2", "d3"],
        ["d0", "d1", "d2", "d3"],
    ]  # its own order was d3 first
    assert ranking.ids == ("d3", "d2", "d1", "d0")
    assert ranking.agreement == 1
    assert [(trace.look, trace.start) for trace in ranking.traces] == [(None, 0), ("reverse", 0)]
    assert (ranking.usage.windows, ranking.usage.rounds, ranking.usage.policy_calls) == (2, 2, 2)


def test_who_is_first_only_by_place_is_found_out() -> None:
    ranking = Reranker(ScriptedPolicy(as_shown), second_look="reverse").rerank("q", texts(4))
    assert ranking.agreement == 0
    assert ranking.ids == ("d0", "d1", "d2", "d3")  # all tied: the incoming order


def test_a_shuffled_second_look_is_the_same_each_time() -> None:
    policy = ScriptedPolicy(by_name)
    for _time in range(2):
        assert Reranker(policy, second_look="shuffle").rerank("q", texts(9)).agreement == 1
    assert ids(policy.seen[1]) == ids(policy.seen[3])
    assert sorted(ids(policy.seen[1])) == [f"d{at}" for at in range(9)]
    assert ids(policy.seen[1]) not in ([f"d{at}" for at in range(9)], [f"d{at}" for at in range(8, -1, -1)])


def test_a_shuffled_look_does_not_depend_on_the_order_or_on_tidy_names() -> None:
    documents = [Document(f"d{at}\udcff", f"text {at}") for at in range(9)]
    policy = ScriptedPolicy(as_shown)
    for given_order in (documents, documents[::-1]):
        Reranker(policy, second_look="shuffle").rerank("q", given_order)
    assert ids(policy.seen[1]) == ids(policy.seen[3])


@pytest.mark.parametrize(("planner", "head"), [("sliding:4,2", 4), ("merge:4,2", 4), ("onepass:3", 3)])
def test_the_head_is_as_long_as_the_last_window(planner: str, head: int) -> None:
    policy = ScriptedPolicy(by_name)
    ranking = Reranker(policy, planner=load_planner(planner), second_look="reverse").rerank("q", texts(6))
    assert sorted(ids(policy.seen[-1])) == sorted(ranking.ids[:head])
    plain = Reranker(ScriptedPolicy(by_name), planner=load_planner(planner)).rerank("q", texts(6))
    assert ranking.ids == plain.ids


def test_the_tail_stays_as_the_plan_left_it() -> None:
    ranking = Reranker(ScriptedPolicy(as_shown), planner=load_planner("onepass:3"), second_look="reverse").rerank(
        "q", texts(5)
    )
    assert ranking.ids == ("d0", "d1", "d2", "d3", "d4")


@pytest.mark.parametrize("k", [0, 1])
def test_nothing_to_look_at_twice(k: int) -> None:
    ranking = Reranker(ScriptedPolicy(by_name), second_look="reverse").rerank("q", texts(k))
    assert len(ranking.traces) == k and ranking.agreement is None


class Fails:
    """Answers the first window and fails on the next ones."""

    name = "fails"

    def __init__(self, good: int) -> None:
        self.good = good

    def complete(self, conversations: Any) -> list[Completion]:
        self.good -= 1
        if self.good < 0:
            raise PolicyError("gone")
        return [Completion(by_name(conversation)) for conversation in conversations]


def test_a_second_look_that_fails_changes_nothing() -> None:
    ranking = Reranker(Fails(1), second_look="reverse").rerank("q", texts(3))
    assert ranking.ids == ("d2", "d1", "d0")
    assert ranking.traces[1].stop is StopReason.POLICY_ERROR
    assert ranking.agreement is None and not ranking.partial


def test_where_the_first_look_failed_there_is_no_second() -> None:
    ranking = Reranker(Fails(0), second_look="reverse").rerank("q", texts(3))
    assert ranking.ids == ("d0", "d1", "d2") and len(ranking.traces) == 1


def test_a_budget_pays_for_the_plan_first() -> None:
    reranker = Reranker(
        ScriptedPolicy(by_name), planner=load_planner("merge:4,2"), second_look="reverse", budget=Budget(calls=2)
    )
    ranking = reranker.rerank("q", texts(6))
    assert [trace.look for trace in ranking.traces] == [None, None]
    assert ranking.ids[:2] == ("d5", "d4")
    assert not ranking.partial and ranking.repairs == ()


def test_no_query_waits_for_the_second_look_of_another() -> None:
    policy = ScriptedPolicy(by_name)
    Reranker(policy, planner=load_planner("merge:4,2"), second_look="reverse").rerank_many(
        ["short", "long"], [texts(3), texts(6)]
    )
    asked = [(conversation.window.query.text, len(ids(conversation))) for conversation in policy.seen]
    assert asked == [("short", 3), ("long", 4), ("long", 4), ("short", 3), ("long", 4)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=3, max_size=3), st.integers(0, 25), st.floats(0, 1))
def test_whatever_is_written_a_ranking_stays_a_permutation(script: list[str], k: int, fusion: float) -> None:
    reranker = Reranker(ScriptedPolicy(script), second_look="shuffle", fusion=fusion)
    ranking = reranker.rerank("q", texts(k))
    assert sorted(ranking.ids) == sorted(f"d{at}" for at in range(k))
    assert Ranking.from_record(json.loads(json.dumps(ranking.to_record()))) == ranking


def test_fusion_weighs_the_coarse_order() -> None:
    orders = [
        Reranker(ScriptedPolicy(by_name), fusion=weight).rerank("q", texts(3)).ids for weight in (0.0, 0.49, 0.51, 1.0)
    ]
    assert orders[0] == ("d2", "d1", "d0") and orders[3] == ("d0", "d1", "d2")
    assert orders[1][0] == "d2" and orders[2][0] == "d0"


def test_fusion_weighs_chances_where_they_are_known() -> None:
    """d0 is the agent's last, which costs 2 log 3 = 2.2 log-odds; only where the coarse stage is that sure it leads."""

    def agent(conversation: Conversation) -> str:
        return render_answer([ids(conversation).index(name) for name in ("d2", "d1", "d0")])

    reranker = Reranker(ScriptedPolicy(agent), calibration=SCORES, fusion=0.5)
    assert reranker.rerank("q", found(0.1, 0.0, 0.0)).ids == ("d2", "d1", "d0")
    assert reranker.rerank("q", found(5.0, 0.0, 0.0)).ids == ("d0", "d2", "d1")


def test_a_gate_skips_what_is_certain() -> None:
    policy = ScriptedPolicy(by_name)
    sure, unsure = Reranker(policy, gate=0.9, calibration=SCORES, fusion=0.01).rerank_many(
        ["q", "q"], [found(20.0, 0.1, 0.0), found(0.2, 0.1, 0.0)]
    )
    assert sure.ids == ("d0", "d1", "d2") and sure.traces == () and sure.usage.windows == 0
    assert sure.skipped is not None and "the gate is 0.9" in sure.skipped
    assert unsure.ids == ("d2", "d1", "d0") and unsure.skipped is None
    assert len(policy.seen) == 1


def test_a_gate_needs_to_know() -> None:
    ranking = Reranker(ScriptedPolicy(by_name), gate=0.0).rerank("q", texts(3))
    assert ranking.skipped is None and len(ranking.traces) == 1


def test_adaptive_reads_the_coarse_chances() -> None:
    policy = ScriptedPolicy(by_name)
    candidates = found(20.0, *(-5.0 - at for at in range(39)))
    ranking = Reranker(policy, planner=load_planner("adaptive:0.5"), calibration=SCORES).rerank("q", candidates)
    assert [len(trace.candidates) for trace in ranking.traces] == [20]
    assert ranking.ids[20:] == tuple(f"d{at}" for at in range(20, 40))


def test_what_is_none_of_these_is_refused() -> None:
    wrong: Any = "backwards"
    with pytest.raises(InvalidInput, match="a second look is reverse or shuffle; got 'backwards'"):
        Reranker(ScriptedPolicy(by_name), second_look=wrong)
    with pytest.raises(InvalidInput, match="fusion is 2; it must be between 0 and 1"):
        Reranker(ScriptedPolicy(by_name), fusion=2)
    with pytest.raises(InvalidInput, match="gate is -1; it must be between 0 and 1"):
        Reranker(ScriptedPolicy(by_name), gate=-1)

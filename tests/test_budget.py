"""Budgets: when one ends, what was ranked stays ranked, the rest keeps its order, and the ranking says so."""

from __future__ import annotations

import time

import pytest

from conftest import Paint
from vretrver.budget import Budget
from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.reranker import Reranker
from vretrver.trace import Ranking, StopReason
from vretrver.types import Document, ImageRef
from vretrver.usage import Prices, Tokens, Usage

NAMES = [f"d{at}" for at in range(40)]


def backwards(conversation: Conversation) -> str:
    n = len(conversation.window.candidates)
    return f"<answer>{list(range(n, 0, -1))}</answer>"


def ranked(budget: Budget | None, script: object = backwards, **more: object) -> Ranking:
    documents = [Document(name, text=name) for name in NAMES]
    return Reranker(ScriptedPolicy(script), budget=budget, **more).rerank("query", documents)  # type: ignore[arg-type]


def stops(ranking: Ranking) -> list[StopReason]:
    return [trace.stop for trace in ranking.traces]


def test_without_a_budget_every_window_is_ranked() -> None:
    ranking = ranked(None)
    assert stops(ranking) == [StopReason.ANSWERED] * 3
    assert not ranking.partial


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_calls(calls: int) -> None:
    ranking = ranked(Budget(calls=calls))
    assert stops(ranking) == [StopReason.ANSWERED] * calls + [StopReason.BUDGET] * (3 - calls)
    assert ranking.usage.policy_calls == calls
    assert ranking.partial == (calls < 3)
    assert sorted(ranking.ids) == sorted(NAMES)
    if calls == 1:  # the back window was turned round, the rest stands
        assert ranking.ids == (*NAMES[:20], *NAMES[:19:-1])
    if calls < 3:
        assert any(f"the budget of {calls} calls was spent" in repair for repair in ranking.repairs)


def test_tokens() -> None:
    ranking = ranked(
        Budget(tokens=150), lambda conversation: Completion(backwards(conversation), tokens=Tokens(90, 10))
    )
    assert (ranking.usage.policy_calls, ranking.usage.tokens) == (2, Tokens(180, 20))  # the second call began at 100
    assert ranking.partial


def test_seconds() -> None:
    def slow(conversation: Conversation) -> str:
        time.sleep(0.05)
        return backwards(conversation)

    ranking = ranked(Budget(seconds=0.06), slow)
    assert 1 <= ranking.usage.policy_calls <= 2
    assert ranking.partial
    assert ranked(Budget(seconds=0.0)).ids == tuple(NAMES)


def test_a_policy_hears_how_long_its_answer_is_of_use_and_may_give_up() -> None:
    left: list[float | None] = []

    def impatient(conversation: Conversation) -> str:
        left.append(conversation.seconds)
        if len(left) == 2:
            time.sleep(conversation.seconds or 0.0)
            raise PolicyError("no answer in time")
        return backwards(conversation)

    ranking = ranked(Budget(seconds=0.5), impatient)
    assert stops(ranking)[:2] == [StopReason.ANSWERED, StopReason.BUDGET] and len(left) == 2
    assert ranking.partial and ranking.traces[1].error is None
    assert left[0] is not None and left[1] is not None and 0 < left[1] < left[0] <= 0.5
    left.clear()
    ranked(Budget(calls=1), impatient)
    assert left == [None]


def test_images_are_counted_before_they_are_shown(paint: Paint) -> None:
    documents = [Document(name, image=ImageRef(path=paint(f"{name}.png"))) for name in NAMES]
    ranking = Reranker(ScriptedPolicy(backwards), budget=Budget(images=45)).rerank("query", documents)
    assert stops(ranking) == [StopReason.ANSWERED, StopReason.ANSWERED, StopReason.BUDGET]
    assert ranking.usage.images == 40


def test_windows_side_by_side_share_the_budget() -> None:
    from vretrver.windows import load_planner

    ranking = ranked(Budget(calls=1), planner=load_planner("merge:15,5"))
    assert stops(ranking).count(StopReason.ANSWERED) == 1
    assert sorted(ranking.ids) == sorted(NAMES)


def test_a_partial_ranking_survives_its_record() -> None:
    ranking = ranked(Budget(calls=1))
    assert Ranking.from_record(ranking.to_record()) == ranking
    assert ranking.to_json()["partial"] is True


def test_parsed_from_text() -> None:
    assert Budget.parse("seconds=5, tokens=20000,calls=4") == Budget(seconds=5, tokens=20000, calls=4)


@pytest.mark.parametrize(
    "text", ["", "5", "patience=3", "calls=", "calls=1.5", "calls=1,calls=2", "seconds=nan", "seconds=-1", "calls=two"]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="budget"):
        Budget.parse(text)


def test_money() -> None:
    def script(conversation: Conversation) -> Completion:
        return Completion(backwards(conversation), tokens=Tokens(1000, 100, cached=400))

    prices = Prices(prompt=1, completion=10, cached=0.5)  # 600 + 200 + 1000 millionths a call
    assert prices.of(Tokens(1000, 100, cached=400)) == pytest.approx(0.0018)
    ranking = ranked(Budget(money=0.003), script, prices=prices)
    assert ranking.usage.policy_calls == 2 and ranking.partial  # the second call began at 0.0018
    assert ranking.usage.money == pytest.approx(0.0036)
    assert ranked(None, script).usage.money is None
    with pytest.raises(InvalidInput, match="money=1 needs prices"):
        ranked(Budget(money=1))


def test_what_ended_is_named() -> None:
    spent = Usage(policy_calls=3, images=20, tokens=Tokens(450, 50))
    assert Budget(calls=4, tokens=600, images=30, seconds=9).ended(spent, 8.9, coming=10) is None
    assert Budget(images=29).ended(spent, 0, coming=10) == "29 images"
    assert Budget(seconds=1.5).ended(spent, 1.5) == "1.5 seconds"

"""The stages as jobs: how a plan is followed, what a budget is within another, what runs in one batch."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import MeanColour
from served import cards, shares_words
from vretrver.budget import Budget
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.server.collection import Collection
from vretrver.server.faults import Refused
from vretrver.server.metrics import Metrics
from vretrver.server.progress import Progress, followed
from vretrver.server.searching import Searching, within
from vretrver.server.settings import Settings
from vretrver.types import Document, Query
from vretrver.windows import Order, Plan, merge, sliding


def driven(plan: Plan, rank: random.Random) -> Order:
    """A plan's order where every window is shuffled."""
    ranked = None
    try:
        while True:
            spans = next(plan) if ranked is None else plan.send(ranked)
            ranked = [tuple(rank.sample(span.items, len(span.items))) for span in spans]
    except StopIteration as end:
        return tuple(end.value)


def test_progress_tells_what_is_looked_at_and_how_the_order_moves() -> None:
    told: list[Progress] = []
    plan = followed(partial(sliding, window=2, stride=1), ["a", "b", "c"], told.append)([0.5] * 3)
    assert next(plan)[0].items == (1, 2)
    assert plan.send([(2, 1)])[0].items == (0, 2)  # c went up, and meets a
    with pytest.raises(StopIteration):
        plan.send([(2, 0)])
    assert told == [
        Progress(0, 1, ("a", "b", "c"), (("b", "c"),)),
        Progress(1, 2, ("a", "c", "b"), (("a", "c"),)),
        Progress(2, 2, ("c", "a", "b"), ()),
    ]


@given(st.integers(0, 60), st.integers(0, 9))
def test_following_a_plan_changes_nothing_of_it(k: int, seed: int) -> None:
    ids = [str(at) for at in range(k)]
    for planner in (sliding, merge):
        told: list[Progress] = []
        order = driven(followed(planner, ids, told.append)([0.5] * k), random.Random(seed))
        assert order == driven(planner([0.5] * k), random.Random(seed))
        assert told[-1].order == tuple(ids[item] for item in order)
        assert all(sorted(one.order) == sorted(ids) for one in told)


def test_the_lesser_of_two_budgets_counts_bound_by_bound() -> None:
    most = Budget(seconds=30, calls=5)
    assert within(Budget(), most) == most
    assert within(Budget(seconds=60, calls=2, tokens=9), most) == Budget(seconds=30, calls=2, tokens=9)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection(cards(tmp_path), MeanColour())


@pytest.fixture
def held(collection: Collection) -> Iterator[tuple[Searching, ScriptedPolicy, threading.Event]]:
    may_go = threading.Event()

    def answer(conversation: Conversation) -> Completion:
        assert may_go.wait(10)
        return shares_words(conversation)

    policy = ScriptedPolicy(answer)
    searching = Searching(collection, Settings(policy=policy, workers=1, batch=3), Metrics())
    yield searching, policy, may_go
    may_go.set()
    searching.close()


def test_reranks_of_one_budget_advance_together(
    held: tuple[Searching, ScriptedPolicy, threading.Event],
) -> None:
    searching, policy, may_go = held
    documents = [Document("0", "red"), Document("1", "blue")]

    async def all_of_them() -> list[tuple[str, ...]]:
        budgets = [Budget(), Budget(), Budget(calls=3), Budget()]
        first = asyncio.ensure_future(searching.rank(Query("red"), documents, Budget(calls=9)))
        while not policy.seen:  # it is at work now; the others wait
            await asyncio.sleep(0.01)
        waiting = [asyncio.ensure_future(searching.rank(Query("blue"), documents, budget)) for budget in budgets]
        while searching.waiting < 4:
            await asyncio.sleep(0.01)
        may_go.set()
        return [ranking.ids for ranking in await asyncio.gather(first, *waiting)]

    assert asyncio.run(all_of_them()) == [("0", "1"), *[("1", "0")] * 4]
    # One window each: the first alone, then the three of one budget, though another came between, then that one.
    assert len(policy.seen) == 5


def test_who_leaves_is_not_served(held: tuple[Searching, ScriptedPolicy, threading.Event]) -> None:
    searching, policy, may_go = held
    documents = [Document("0", "red"), Document("1", "blue")]

    async def leaving() -> None:
        first = asyncio.ensure_future(searching.rank(Query("red"), documents, Budget()))
        while not policy.seen:
            await asyncio.sleep(0.01)
        left = asyncio.ensure_future(searching.rank(Query("blue"), documents, Budget()))
        while not searching.waiting:
            await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.sleep(0.01)
        may_go.set()
        await first
        searching.close()

    asyncio.run(leaving())
    assert [conversation.window.query.text for conversation in policy.seen] == ["red"]


def test_a_closed_stage_refuses(collection: Collection) -> None:
    searching = Searching(collection, Settings(policy="none"), Metrics())
    assert asyncio.run(searching.find(Query("card"), 2, None))[0].rank == 1
    searching.close()
    with pytest.raises(Refused, match="stopping"):
        asyncio.run(searching.find(Query("card"), 2, None))

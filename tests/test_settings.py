"""Settings: what is refused, which topics a shard asks, and what a run's hash depends on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.evaluation.settings import Settings, differences, hashed


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"coarse": "dense"}, "hybrid, vector, bm25 or run:FILE; got 'dense'"),
        ({"coarse": "run:"}, "run:FILE"),
        ({"k": 0}, "k is 0"),
        ({"shard": "3/2"}, "a shard is i/n"),
        ({"shard": "0/2"}, "a shard is i/n"),
        ({"shard": "half"}, "a shard is i/n"),
        ({"limit": 0}, "limit is 0"),
        ({"planner": "magic"}, "unknown planner 'magic'"),
        ({"tools": "rotate"}, "unknown tool 'rotate'"),
        ({"degrade_on": "all"}, "queries, pool or both"),
        ({"shuffles": -1}, "shuffles is -1"),
        ({"window_tokens": 3}, "takes 4 to 5120 tokens; got 3"),
        ({"budget": "calls=few"}, "'calls=few' has no number"),
        ({"prices": "prompt=1"}, "lack completion"),
    ],
)
def test_what_is_no_setting_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Settings(**wrong)


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 9), st.none() | st.integers(1, 250))
def test_shards_ask_every_topic_once_in_the_batches_of_the_whole_run(
    count: int, batch: int, of: int, limit: int | None
) -> None:
    whole = Settings(batch=batch, limit=limit).chosen(count)
    parts = [Settings(batch=batch, limit=limit, shard=f"{i + 1}/{of}").chosen(count) for i in range(of)]
    assert sorted(b for part in parts for b in part) == sorted(whole)
    asked = [at for b in whole for at in b]
    assert len(asked) == len(set(asked)) == min(count, limit or count)
    assert asked == sorted(asked)


def test_a_limit_is_spread_evenly() -> None:
    assert Settings(limit=4).chosen(100) == [[0, 25, 50, 75]]


def test_the_hash_names_what_decides_and_nothing_else() -> None:
    config = {"task": "t", "k": 50, "shard": "1/2", "versions": {"numpy": "2"}}
    assert hashed(config) == hashed({**config, "shard": "2/2", "versions": {}, "hash": "x"})
    assert hashed(config) != hashed({**config, "k": 20})
    assert differences(config, {**config, "k": 20, "shard": None}) == ["k is 50, not 20"]

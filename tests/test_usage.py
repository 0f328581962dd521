"""What a ranking cost: unknown counts stay unknown, prices are per million tokens, records survive JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.usage import Prices, Tokens, Usage

count = st.integers(0, 10**6)
known = st.none() | count
tokens = st.builds(Tokens, count, count, known, known)
usage = st.builds(Usage, count, count, count, count, count, count, st.none() | tokens, st.none() | st.just(0.5))


def test_tokens_add_up_and_unknown_ones_stay_unknown() -> None:
    assert Tokens(10, 2) + Tokens(5, 1) == Tokens(15, 3)
    assert Tokens(10, 2, cached=4) + Tokens(5, 1) == Tokens(15, 3, cached=4)
    assert Tokens(10, 2, cached=4, image=6) + Tokens(5, 1, cached=0, image=1) == Tokens(15, 3, cached=4, image=7)
    assert (Tokens(10, 2, cached=4).uncached, Tokens(10, 2).uncached, Tokens(10, 2).total) == (6, 10, 12)


def test_usage_adds_up() -> None:
    one = Usage(windows=1, rounds=1, policy_calls=3, tool_calls=2, images=25, tokens=Tokens(10, 2), seconds=0.5)
    assert one + Usage(cache_hits=1, money=0.25, seconds=0.25) == Usage(
        1, 1, 3, 2, 25, cache_hits=1, tokens=Tokens(10, 2), money=0.25, seconds=0.75
    )
    assert Usage() + Usage() == Usage()


@given(usage)
def test_a_usage_survives_its_record_and_json(value: Usage) -> None:
    assert Usage.from_record(json.loads(json.dumps(value.to_record()))) == value


def test_prices_are_per_million_tokens() -> None:
    assert Prices(prompt=2, completion=8).of(Tokens(1_000_000, 500_000, cached=250_000)) == 6
    assert Prices(prompt=2, completion=8, cached=0.4).of(Tokens(1_000_000, 500_000, cached=250_000)) == 5.6
    assert Prices(prompt=2, completion=8, cached=0.4).of(Tokens(1_000_000, 0)) == 2
    assert Prices.parse("prompt=2, completion=8,cached=0.4") == Prices(2, 8, 0.4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a price is NAME=PRICE of prompt, completion, cached"),
        ("prompt=1,prompt=2", "each once"),
        ("prompt=1", "lack completion"),
        ("prompt=cheap,completion=1", "'prompt=cheap' has no number"),
        ("prompt=-1,completion=1", "price prompt=-1"),
        ("prompt=nan,completion=1", "price prompt=nan"),
    ],
)
def test_prices_that_are_none_say_so(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Prices.parse(text)

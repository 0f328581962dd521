from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver import metrics
from vretrver.errors import RecordError
from vretrver.evaluation.outcome import Outcome, spending
from vretrver.usage import Tokens, Usage

IDS = st.text(min_size=1, max_size=6)
NAMES = st.lists(st.text(max_size=8), max_size=3).map(tuple)
SHARES = st.floats(0, 1)
COUNTS = st.integers(0, 10**9)
TOKENS = st.builds(Tokens, COUNTS, COUNTS, st.none() | COUNTS, st.none() | COUNTS)


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """Any outcome: an order of the candidates, with grades for some of them and for others."""
    coarse = draw(st.lists(IDS, max_size=6, unique=True))
    return Outcome(
        topic=draw(IDS),
        group=draw(st.text(max_size=4)),
        modality=draw(st.sampled_from(["text", "image", "image,text"])),
        query=draw(st.none() | st.text(max_size=10)),
        images=draw(NAMES),
        relevant=draw(st.dictionaries(st.sampled_from(coarse) if coarse else IDS, st.integers(0, 3), max_size=3)),
        coarse=tuple(coarse),
        scores=tuple(sorted(draw(st.lists(st.floats(-1e6, 1e6), min_size=len(coarse), max_size=len(coarse))))[::-1]),
        order=tuple(draw(st.permutations(coarse))),
        confidence=tuple(draw(st.lists(SHARES, min_size=len(coarse), max_size=len(coarse)))),
        no_match=draw(st.booleans()),
        usage=draw(
            st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.none() | TOKENS, st.none() | SHARES)
        ),
        tools=draw(NAMES),
        repairs=draw(COUNTS),
        stops=draw(NAMES),
        shuffled=tuple(tuple(draw(st.permutations(coarse))) for _ in range(draw(st.integers(0, 2)))),
        error=draw(st.none() | st.text(max_size=10)),
        seconds=draw(st.floats(0, 1e6)),
        policy_seconds=draw(st.floats(0, 1e6)),
    )


@given(outcomes())
def test_an_outcome_survives_its_record_and_json(one: Outcome) -> None:
    assert Outcome.from_record(one.to_record()) == one
    written = json.dumps(one.to_record(), allow_nan=False)
    read = Outcome.from_record(json.loads(written))
    assert read == one
    assert json.dumps(read.to_record()) == written


@given(outcomes(), st.data())
def test_a_record_that_lacks_a_field_is_refused(one: Outcome, data: st.DataObject) -> None:
    record = one.to_record()
    del record[data.draw(st.sampled_from(list(record)))]
    with pytest.raises(RecordError, match=r"does not parse: it has no '.*'; another version of vretrver wrote it"):
        Outcome.from_record(record)


@pytest.mark.parametrize("strange", [{"coarse": 5}, {"shuffled": [1]}, {"scores": None}, {"stops": 1.5}, {"usage": 3}])
def test_a_record_with_a_strange_field_is_refused(strange: dict[str, Any]) -> None:
    record = Outcome("q", "", "text", None, (), {}, (), (), (), ()).to_record()
    with pytest.raises(RecordError, match="does not parse"):
        Outcome.from_record(record | strange)


@given(outcomes())
def test_first_places_agree_with_the_metrics(one: Outcome) -> None:
    for first, order in ((one.first_before, one.coarse), (one.first_after, one.order)):
        assert (1 / first if first else 0) == metrics.reciprocal_rank(order, one.relevant)
    assert (one.first_before == 0) == (one.first_after == 0)  # the same ids, reordered


@given(outcomes())
def test_looking_back_turns_wins_into_losses(one: Outcome) -> None:
    back = replace(one, coarse=one.order, order=one.coarse)
    assert back.change == {"won": "lost", "lost": "won", "tied": "tied"}[one.change]


def test_change_is_about_rank_one() -> None:
    one = Outcome("q", "", "text", None, (), {"b": 1}, ("a", "b", "c"), (3.0, 2.0, 1.0), ("b", "a", "c"), (1.0,) * 3)
    assert (one.first_before, one.first_after, one.change) == (2, 1, "won")
    assert replace(one, coarse=("b", "a", "c"), order=("a", "b", "c")).change == "lost"
    assert replace(one, order=("a", "c", "b")).change == "tied"  # worse, but it was not right before either
    assert replace(one, relevant={}).change == "tied"


def test_spending_is_per_topic_and_unknown_where_nobody_tells() -> None:
    def topic(usage: Usage) -> Outcome:
        return Outcome("q", "", "text", None, (), {}, (), (), (), (), usage=usage)

    told = topic(Usage(1, 1, 2, 1, 5, tokens=Tokens(100, 10, cached=40), money=0.25))
    asked, idle = topic(Usage(1, 1, 2)), topic(Usage())
    found = spending([told, asked, idle])
    assert found["policy_calls"] == {"total": 4, "mean": 4 / 3}
    assert found["prompt_tokens"] == {"total": 100, "mean": 50}  # one did not tell, one was not asked
    assert found["cached_tokens"] == {"total": 40, "mean": 20}
    assert found["image_tokens"] == {"total": None, "mean": None}
    assert found["money"] == {"total": 0.25, "mean": 0.125}
    assert spending([asked])["prompt_tokens"] == {"total": None, "mean": None}
    assert spending([idle])["prompt_tokens"] == {"total": 0, "mean": 0}
    assert spending([])["rounds"] == {"total": 0, "mean": None}

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vretrver.errors import InvalidInput
from vretrver.evaluation.outcome import Outcome
from vretrver.evaluation.summary import summarise, timing
from vretrver.usage import Tokens, Usage


def outcome(topic: str, coarse: str, order: str, relevant: str, **more: Any) -> Outcome:
    """A topic whose documents are letters."""
    base = Outcome(
        topic=topic,
        group="",
        modality="text",
        query=topic,
        images=(),
        relevant=dict.fromkeys(relevant, 1),
        coarse=tuple(coarse),
        scores=tuple(float(-at) for at in range(len(coarse))),
        order=tuple(order),
        confidence=tuple(0.9 - 0.1 * at for at in range(len(order))),
    )
    return replace(base, **more)


LOOKED = Usage(windows=1, rounds=1, policy_calls=2, tool_calls=1)
FOUR = [
    outcome("won", "abcd", "badc", "b", usage=LOOKED, tools=("crop_image",), stops=("answered",), agreement=0.5),
    outcome("lost", "abcd", "bacd", "a", usage=LOOKED, tools=("crop_image",), stops=("answered",), agreement=1.0),
    outcome("tied", "abcd", "abdc", "a", stops=("answered",), skipped="certain",
            usage=Usage(1, 1, 1, images=4, tokens=Tokens(90, 10, 60, 30), money=0.1)),
    outcome("absent", "abcd", "abcd", "x", stops=("no_answer",), repairs=3,
            usage=Usage(1, 1, 1, cache_hits=1, tokens=Tokens(300, 0), money=2e-7)),
]  # fmt: skip


def summed(outcomes: list[Outcome], measures: tuple[str, ...] = ("hit@5", "map@2"), k: int = 4) -> dict[str, Any]:
    return summarise(outcomes, "own/x", "test", "X", measures, k, {"task": "own/x", "k": k})


def test_four_topics_by_hand() -> None:
    found = summed(FOUR)
    assert {name: found[name] for name in ("task", "split", "title", "n", "k", "headline", "judged", "n_judged")} == {
        "task": "own/x", "split": "test", "title": "X", "n": 4, "k": 4, "headline": "hit@5", "judged": True,
        "n_judged": 4,
    }  # fmt: skip
    assert found["coarse"] == {
        "hit@1": 0.5, "hit@5": 0.75, "hit@10": 0.75, "map@2": (0.5 + 1 + 1 + 0) / 4, "recall@4": 0.75,
    }  # fmt: skip
    assert found["reranked"]["hit@1"] == 0.5 and found["reranked"]["map@2"] == (1 + 0.5 + 1 + 0) / 4
    assert found["ceiling"] == 0.75
    assert (found["wins"], found["ties"], found["losses"], found["sign_p"]) == (1, 2, 1, 1.0)
    assert (found["won"], found["lost"]) == (["won"], ["lost"])
    assert found["config"] == {"task": "own/x", "k": 4}
    assert "groups" not in found and found["stability"] is None and found["errors"] == []


def test_what_looking_did() -> None:
    assert summed(FOUR)["looking"] == {
        "looked": 0.5,
        "by_calls": {
            "0": {"n": 2, "hit@1 before": 0.5, "hit@1 after": 0.5},
            "1": {"n": 2, "hit@1 before": 0.5, "hit@1 after": 0.5},
        },
        "tools": {"crop_image": 2},
        "skipped": 0.25,
        "agreement": 0.75,
        "repairs": 3,
        "stops": {"answered": 3, "no_answer": 1},
    }


def test_usage_counts_tokens_only_where_they_are_told() -> None:
    assert summed(FOUR)["usage"] == {
        "windows": {"total": 4, "mean": 1.0},
        "rounds": {"total": 4, "mean": 1.0},
        "policy_calls": {"total": 6, "mean": 1.5},
        "tool_calls": {"total": 2, "mean": 0.5},
        "images": {"total": 4, "mean": 1.0},
        "cache_hits": {"total": 1, "mean": 0.25},
        "prompt_tokens": {"total": 390, "mean": 195.0},
        "cached_tokens": {"total": 60, "mean": 60.0},
        "image_tokens": {"total": 30, "mean": 30.0},
        "completion_tokens": {"total": 10, "mean": 5.0},
        "money": {"total": 0.1, "mean": 0.0500001},
    }
    assert summed(FOUR[3:])["usage"]["money"] == {"total": 2e-7, "mean": 2e-7}
    assert summed(FOUR[:2])["usage"]["prompt_tokens"] == {"total": None, "mean": None}


def test_intervals_hold_their_means() -> None:
    interval = summed(FOUR * 5)["interval"]
    assert (interval["level"], interval["resamples"], interval["seed"]) == (0.95, 10_000, 0)
    assert list(interval["coarse"]) == list(interval["difference"]) == ["hit@1", "hit@5"]
    assert interval["coarse"]["hit@1"][0] < 0.5 < interval["coarse"]["hit@1"][1]
    assert interval["difference"]["hit@1"][0] < 0 < interval["difference"]["hit@1"][1]
    assert interval["difference"]["hit@5"] == [0.0, 0.0]  # the same topics hit before and after
    assert "ndcg@10" in summed(FOUR, ("ndcg@10",))["interval"]["reranked"]  # the headline


def test_a_sure_result_has_a_small_p_that_is_not_zero() -> None:
    assert 0 < summed(FOUR[:1] * 40)["sign_p"] < 1e-11


def test_calibration_is_of_rank_one() -> None:
    found = summed(FOUR)["calibration"]
    assert found["ece"] == 0.4  # four times .9 sure, twice right
    assert found["bins"][9] == {"low": 0.9, "high": 1.0, "n": 4, "confidence": 0.9, "right": 0.5}
    assert sum(one["n"] for one in found["bins"]) == 4


def test_a_topic_that_could_not_be_asked_is_a_miss_and_is_named() -> None:
    failed = outcome("failed", "", "", "a", error="q.jpg is not an image", shuffled=())
    found = summed([*FOUR, failed])
    assert found["errors"] == [["failed", "q.jpg is not an image"]]
    assert found["n"] == 5 and found["coarse"]["hit@1"] == found["reranked"]["hit@1"] == 0.4
    assert found["ceiling"] == 0.6 and found["ties"] == 3
    assert sum(one["n"] for one in found["calibration"]["bins"]) == 4
    only = summed([failed])
    assert only["calibration"] is None and only["coarse"]["hit@1"] == 0


def test_groups_only_where_there_are_parts() -> None:
    found = summed([replace(FOUR[0], group="colour"), replace(FOUR[1], group="count"), replace(FOUR[2], group="count")])
    assert list(found["groups"]) == ["colour", "count"]
    assert found["groups"]["colour"]["n"] == 1 and found["groups"]["colour"]["reranked"]["hit@1"] == 1
    assert found["groups"]["count"]["coarse"]["hit@1"] == 1 and found["groups"]["count"]["reranked"]["hit@1"] == 0.5


def test_stability_under_shuffles() -> None:
    one = replace(FOUR[0], shuffled=(tuple("badc"), tuple("cdab")))
    two = replace(FOUR[2], shuffled=(tuple("abdc"), tuple("abdc")))
    # cdab is badc from the back, so its tau is -1; the other three orders are as they were
    assert summed([one, two])["stability"] == {
        "shuffles": 2,
        "kendall_tau": (1 - 1 + 1 + 1) / 4,
        "top1": 0.75,
        "hit@1": [1.0, 0.5],
    }


def test_without_answers_only_the_looking_is_told() -> None:
    hidden = [replace(one, relevant={}) for one in FOUR]
    found = summed(hidden)
    assert found["judged"] is False and found["n"] == 4 and found["n_judged"] == 0
    for name in ("coarse", "reranked", "ceiling", "wins", "ties", "losses", "sign_p", "won", "lost", "interval"):
        assert found[name] is None
    assert found["calibration"] is None
    assert found["looking"]["by_calls"]["0"] == {"n": 2, "hit@1 before": None, "hit@1 after": None}
    assert found["usage"]["policy_calls"]["total"] == 6


def test_topics_without_answers_are_left_out_of_the_means() -> None:
    found = summed([FOUR[2], replace(FOUR[3], relevant={}, group="hidden")])
    assert (found["n"], found["n_judged"], found["coarse"]["hit@1"]) == (2, 1, 1.0)
    assert found["groups"]["hidden"] == {"n": 1, "coarse": None, "reranked": None}


def test_the_same_outcomes_give_the_same_bytes_whatever_the_clock_said() -> None:
    later = [replace(one, seconds=9.0, policy_seconds=3.0) for one in FOUR]
    again = [Outcome.from_record(json.loads(json.dumps(one.to_record()))) for one in later]
    assert json.dumps(summed(FOUR)) == json.dumps(summed(again))
    assert json.loads(json.dumps(summed(FOUR), allow_nan=False)) == summed(FOUR)


def test_no_topics_and_no_measures() -> None:
    assert summed([])["judged"] is False and summed([])["n"] == 0
    with pytest.raises(InvalidInput, match="names no measure"):
        summed(FOUR, ())
    with pytest.raises(InvalidInput, match="unknown measure 'hits@1'"):
        summed(FOUR, ("hits@1",))


def test_timing() -> None:
    slow = [replace(FOUR[0], seconds=float(n), policy_seconds=1.0) for n in range(101)]
    assert timing(slow)["seconds"] == {"total": 5050.0, "mean": 50.0, "p50": 50.0, "p95": 95.0}
    assert timing(slow)["policy_seconds"]["p95"] == 1.0
    assert timing([])["seconds"] == {"total": 0.0, "mean": None, "p50": None, "p95": None}

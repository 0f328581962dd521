from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.metrics import (
    average_precision,
    hit_rate,
    mean_of,
    measure,
    measure_named,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)

RANKED = ["a", "b", "c", "d"]
TWO = {"b": 1, "d": 1}


def test_hits_and_recall_count_different_things() -> None:
    assert [hit_rate(RANKED, TWO, k) for k in (1, 2, 4)] == [0, 1, 1]
    assert [recall(RANKED, TWO, k) for k in (1, 2, 4)] == [0, 0.5, 1]
    assert [precision(RANKED, TWO, k) for k in (1, 2, 4, 8)] == [0, 0.5, 0.5, 0.25]


def test_average_precision_is_normalised_as_circo_does() -> None:
    assert average_precision(RANKED, TWO) == (1 / 2 + 2 / 4) / 2
    assert average_precision(RANKED, TWO, 2) == 1 / 2 / 2
    assert average_precision(["b", "d"], {"b": 1, "d": 1, "x": 1}, 2) == 1  # trec_eval's map_cut.2 would say 2/3
    assert average_precision(["b", "d"], {"b": 1, "d": 1, "x": 1, "y": 1}) == 0.5  # what is not ranked counts


def test_reciprocal_rank() -> None:
    assert reciprocal_rank(RANKED, TWO) == 0.5
    assert reciprocal_rank(RANKED, TWO, 1) == 0
    assert reciprocal_rank(RANKED, {"x": 1}) == 0


def test_ndcg_has_linear_gain_and_an_ideal_of_everything_relevant() -> None:
    assert ndcg(["a", "b"], {"a": 3, "b": 1}, 2) == 1
    # rank 1 and 3 have discounts 1 and 1/2
    assert ndcg(["a", "x", "b"], {"b": 2}, 3) == 0.5
    assert ndcg(["a"], {"a": 1, "b": 3}, 1) == pytest.approx(1 / 3)  # with gain 2^g - 1 it would be 1/7


@pytest.mark.parametrize("name", ["hit@1", "recall@1", "precision@1", "map@1", "map", "ndcg@1", "mrr@1", "mrr"])
def test_nothing_ranked_or_nothing_relevant_is_nothing_found(name: str) -> None:
    assert measure(name, [], {"a": 1}) == 0
    assert measure(name, ["a"], {}) == 0
    assert measure(name, ["a"], {"a": 0}) == 0  # a grade of 0 in qrels says: judged, and not relevant
    assert measure(name, ["a"], {"a": 1}) == 1


def test_the_mean_over_topics() -> None:
    assert mean_of("hit@1", [(["a"], {"a": 1}), (["a"], {"b": 1})]) == 0.5
    with pytest.raises(InvalidInput, match="no topic"):
        mean_of("hit@1", [])


@pytest.mark.parametrize(
    "name", ["", "hit", "hits@5", "hit@0", "hit@-1", "hit@x", "ndcg@", "mAP@5", "recall", "hit@ 5"]
)
def test_an_unknown_measure_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"unknown measure .* choose from hit@K, recall@K"):
        measure_named(name)


def test_ids_ranked_twice_and_cuts_below_one_are_errors() -> None:
    for one in (hit_rate, recall, precision, average_precision, reciprocal_rank, ndcg):
        with pytest.raises(InvalidInput, match="'b' is ranked more than once"):
            one(["a", "b", "c", "b", "a"], {"a": 1}, 1)
        with pytest.raises(InvalidInput, match="k is 0"):
            one(["a"], {"a": 1}, 0)


@given(st.permutations([str(n) for n in range(8)]), st.dictionaries(st.sampled_from("0123456789"), st.integers(1, 3)))
def test_every_measure_is_a_share_and_best_with_the_best_first(order: list[str], relevant: dict[str, int]) -> None:
    best = sorted(relevant, key=lambda name: -relevant[name])
    for name in ("hit@3", "recall@3", "precision@3", "map@3", "ndcg@3", "mrr@3", "map", "mrr"):
        value = measure(name, order, relevant)
        assert 0 <= value <= 1
        assert value <= measure(name, best, relevant) + 1e-12


@pytest.mark.parametrize("seed", range(40))
def test_agrees_with_ir_measures(seed: int) -> None:
    theirs: Any = pytest.importorskip("ir_measures")
    draw = random.Random(seed)
    pool = [f"d{n}" for n in range(60)]
    qrels, run, ranked = {}, {}, {}
    for topic in ("q1", "q2", "q3"):
        ranked[topic] = draw.sample(pool, draw.randint(1, 40))
        qrels[topic] = {name: draw.randint(0, 3) for name in draw.sample(pool, 12)} | {draw.choice(pool): 1}
        run[topic] = {name: 1000.0 - rank for rank, name in enumerate(ranked[topic])}
    names = {f"{ours}@{k}": f"{name}@{k}" for k in (1, 5, 10, 50) for ours, name in
             (("hit", "Success"), ("recall", "R"), ("precision", "P"), ("ndcg", "nDCG"), ("mrr", "RR"))}  # fmt: skip
    names |= {"map": "AP", "mrr": "RR"}
    wanted = {ours: theirs.parse_measure(name) for ours, name in names.items()}
    found = {(one.query_id, str(one.measure)): one.value for one in theirs.iter_calc(wanted.values(), qrels, run)}
    for ours, one in wanted.items():
        for topic, order in ranked.items():
            assert measure(ours, order, qrels[topic]) == pytest.approx(found[topic, str(one)], abs=1e-9), (ours, topic)

"""How good one ranked list is: hit rate, recall, precision, AP, reciprocal rank, nDCG.

Every function takes document ids, best first, and the relevant ones with their grades (1 or more; what is graded 0 or
less is not relevant). r_i is 1 where the i-th document is relevant, R the number of relevant documents, ranked or not.
Every value lies in 0..1 and is 0 where nothing is relevant. Means over topics are the mean of these values. It leaves
out files (`vretrver.evaluation.trec`) and uncertainty (`vretrver.evaluation.statistics`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TypeAlias

from vretrver.errors import InvalidInput

Relevant: TypeAlias = Mapping[str, int]
Measure: TypeAlias = Callable[[Sequence[str], Relevant], float]


def hit_rate(ranked: Sequence[str], relevant: Relevant, k: int) -> float:
    """1 if any of the first k is relevant: max(r_1..r_k).

    M-BEIR's tables (UniIR, Wei et al., ECCV 2024) call it "Recall@k"; trec_eval calls it success.

    Raises:
        InvalidInput: here as in every function below: k is less than 1, or an id is ranked twice.
    """
    return float(any(_hits(ranked, relevant, k)))


def recall(ranked: Sequence[str], relevant: Relevant, k: int) -> float:
    """Share of the relevant that are among the first k: (r_1 + .. + r_k) / R. With R = 1 it equals `hit_rate`."""
    return _share(sum(_hits(ranked, relevant, k)), _count(relevant))


def precision(ranked: Sequence[str], relevant: Relevant, k: int) -> float:
    """Share of k places that hold a relevant document: (r_1 + .. + r_k) / k, also where fewer than k are ranked."""
    return sum(_hits(ranked, relevant, k)) / k


def average_precision(ranked: Sequence[str], relevant: Relevant, k: int | None = None) -> float:
    """AP@k = sum over i <= k of r_i * precision@i, divided by min(k, R); over the whole list and by R when k is None.

    This is CIRCO's mAP@k (Baldrati et al., ICCV 2023): a list of k relevant documents scores 1. trec_eval's
    `map_cut.k` divides by R, so it stays below 1 where R > k; without k the two agree.
    """
    hits = _hits(ranked, relevant, k)
    found, total = 0, 0.0
    for rank, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            total += found / rank
    most = _count(relevant)
    return _share(total, most if k is None else min(k, most))


def reciprocal_rank(ranked: Sequence[str], relevant: Relevant, k: int | None = None) -> float:
    """1 / rank of the first relevant document; 0 when there is none among the first k (in the whole list: k None)."""
    return next((1 / rank for rank, hit in enumerate(_hits(ranked, relevant, k), start=1) if hit), 0.0)


def ndcg(ranked: Sequence[str], relevant: Relevant, k: int) -> float:
    """DCG@k / ideal DCG@k, with DCG@k = sum over i <= k of g_i / log2(i + 1) and g_i the grade itself.

    The gain is linear as in trec_eval's `ndcg_cut` (Järvelin and Kekäläinen, TOIS 2002), not 2^g - 1; with grades of 1
    the two are the same. The ideal list holds every relevant document, ranked or not, by falling grade.
    """
    _hits(ranked, relevant, k)
    grades = [max(0, relevant.get(name, 0)) for name in ranked[:k]]
    ideal = sorted((grade for grade in relevant.values() if grade > 0), reverse=True)[:k]
    return _share(_dcg(grades), _dcg(ideal))


def measure(name: str, ranked: Sequence[str], relevant: Relevant) -> float:
    """A measure by name: `hit@5`, `recall@10`, `precision@5`, `map@5`, `ndcg@10`, `mrr@10`; `map` and `mrr` uncut.

    Raises:
        InvalidInput: no such measure; says which there are.
    """
    return measure_named(name)(ranked, relevant)


@lru_cache(maxsize=256)
def measure_named(name: str) -> Measure:
    """The function of (ranked, relevant) that a name stands for, so that a run can check its names before it starts.

    Raises:
        InvalidInput: no such measure; says which there are.
    """
    parts = re.fullmatch(r"([a-z]+)(?:@([1-9][0-9]{0,8}))?", name)
    kind, cut = parts.groups() if parts else (name, None)
    if kind in _CUT and cut is not None:
        return partial(_CUT[kind], k=int(cut))
    if kind in ("map", "mrr") and cut is None:
        return average_precision if kind == "map" else reciprocal_rank
    raise InvalidInput(f"unknown measure {name!r}; choose from {', '.join(f'{one}@K' for one in _CUT)}, map, mrr")


def mean_of(name: str, runs: Iterable[tuple[Sequence[str], Relevant]]) -> float:
    """The mean of a measure over (ranked, relevant) pairs, one per topic.

    Raises:
        InvalidInput: no such measure, or there is no topic.
    """
    one = measure_named(name)
    values = [one(ranked, relevant) for ranked, relevant in runs]
    if not values:
        raise InvalidInput(f"there is no topic to take the mean of {name} over")
    return math.fsum(values) / len(values)


_CUT: dict[str, Callable[..., float]] = {
    "hit": hit_rate,
    "recall": recall,
    "precision": precision,
    "map": average_precision,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
}


def _hits(ranked: Sequence[str], relevant: Relevant, k: int | None) -> list[bool]:
    """r_1..r_k, once the arguments are known to be sound."""
    if k is not None and k < 1:
        raise InvalidInput(f"k is {k}; a list is cut after 1 or more places")
    if len(set(ranked)) != len(ranked):
        seen: set[str] = set()
        twice = next(name for name in ranked if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidInput(f"document {twice!r} is ranked more than once; a ranked list names each document once")
    return [relevant.get(name, 0) > 0 for name in ranked[:k]]


def _count(relevant: Relevant) -> int:
    return sum(grade > 0 for grade in relevant.values())


def _dcg(grades: Sequence[int]) -> float:
    return math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

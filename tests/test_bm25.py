from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.indexes.words import tokens
from vretrver.types import Candidate, Document, ImageRef, Query

pytest.importorskip("bm25s", reason="the extra [eval] is not installed")

from vretrver.evaluation.bm25 import Bm25

PICTURE = ImageRef("nowhere.jpg")
POOL = [
    Document("c", "red kite"),
    Document("a", "red red boat on water"),
    Document("b", "a green kite over green water"),
    Document("d", image=PICTURE),
]


def ids(found: list[Candidate]) -> list[str]:
    return [candidate.document.id for candidate in found]


def test_a_score_worked_out_by_hand() -> None:
    """Lengths 2, 4 and 5 without `on` and `a`: three documents with words, mean 11 / 3; `kite` is in two of them."""
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))  # log 1.6 = .4700
    short = idf * 1 / (1 + 1.2 * (0.25 + 0.75 * 2 / (11 / 3)))  # .4700 / 1.7909 = .2624
    long = idf * 1 / (1 + 1.2 * (0.25 + 0.75 * 5 / (11 / 3)))  # .4700 / 2.5273 = .1860
    (found,) = Bm25(POOL).search([Query("Kites!")], 4)
    assert ids(found) == ["c", "b", "a", "d"]
    assert [candidate.score for candidate in found] == pytest.approx([short, long, 0, 0])
    assert [round(short, 4), round(long, 4)] == [0.2624, 0.186]
    assert [candidate.rank for candidate in found] == [1, 2, 3, 4]
    assert found[0].signals == {"bm25": found[0].score}


WORDS = st.lists(st.sampled_from(["kite", "boat", "red", "sea", "1,5%", "milk"]), max_size=6).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=8), asked=WORDS)
def test_every_score_follows_the_formula(texts: list[str], asked: str) -> None:
    pool = [Document(f"{at}", text or None, PICTURE) for at, text in enumerate(texts)]
    held = [Counter(tokens(text)) for text in texts]
    worded = [counts for counts in held if counts]
    if not worded or not asked:
        return
    mean = sum(counts.total() for counts in worded) / len(worded)
    want = {}
    for document, counts in zip(pool, held, strict=True):
        want[document.id] = 0.0
        for token in tokens(asked):
            df = sum(token in other for other in worded)
            rarity = math.log(1 + (len(worded) - df + 0.5) / (df + 0.5))
            length = 1.2 * (0.25 + 0.75 * counts.total() / mean)
            want[document.id] += rarity * counts[token] / (counts[token] + length)
    (found,) = Bm25(pool).search([Query(asked)], len(pool))
    assert {candidate.document.id: candidate.score for candidate in found} == pytest.approx(want, abs=1e-5)
    assert [(-candidate.score, candidate.document.id) for candidate in found] == sorted(
        (-candidate.score, candidate.document.id) for candidate in found
    )


def test_ties_come_in_order_of_id_whatever_the_order_of_the_pool() -> None:
    pool = [Document(name, "a kite", PICTURE) for name in "hbgdacfe"]
    assert [ids(found) for found in Bm25(pool).search([Query("kite"), Query("boat"), Query("the")], 3)] == [
        ["a", "b", "c"]
    ] * 3


def test_among_holds_a_search_to_given_ids() -> None:
    queries = [Query("red kite"), Query("red kite"), Query("water")]
    found = Bm25(POOL).search(queries, 3, [["d", "b"], None, {"c"}])
    assert [ids(one) for one in found] == [["b", "d"], ["c", "a", "b"], ["c"]]
    assert ids(found[0])[0] == "b" and found[0][0].score == found[1][2].score


def test_what_cannot_be_searched() -> None:
    with pytest.raises(InvalidInput, match=r"query 2 of 2 is a picture; use an embedder .* \(--coarse vector\)"):
        Bm25(POOL).search([Query("kite"), Query(images=(PICTURE,))], 3)
    with pytest.raises(InvalidInput, match="none of the 1 documents has words; use an embedder"):
        Bm25([POOL[3]])
    with pytest.raises(InvalidInput, match="share an id"):
        Bm25([POOL[0], POOL[0]])
    with pytest.raises(InvalidInput, match=r"not in the pool, such as \['z'\]"):
        Bm25(POOL).search([Query("kite")], 3, [["z"]])
    with pytest.raises(InvalidInput, match="1 queries came with 2"):
        Bm25(POOL).search([Query("kite")], 3, [None, None])
    with pytest.raises(InvalidInput, match="k is 0"):
        Bm25(POOL).search([Query("kite")], 0)

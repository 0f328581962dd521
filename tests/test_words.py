from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.indexes.words import MAX_TOKENS, WordIndex, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mellanmjölk 1,5 %", ["mellanmjolk", "1.5", "1.5%"]),
        ("1.5% fat", ["1.5", "1.5%", "fat"]),
        ("INV20391", ["inv20391", "inv", "20391"]),
        ("INV-20391", ["inv", "20391"]),
        ("2024/05/01", ["2024-05-01", "2024", "05", "01"]),
        ("Total1234.50", ["total", "1234.50"]),
        ("1,250.00 EUR", ["1250.00", "1250", "eur"]),
        ("1.250,50", ["1250.50"]),
        ("1250.00", ["1250.00", "1250"]),
        ("1,250", ["1.250", "1250"]),
        ("1,234,567", ["1234567"]),
        ("192.168.1.1", ["192-168-1-1", "192", "168"]),
        ("1.5liter 500ml 15%", ["1.5", "liter", "500ml", "500", "ml", "15", "15%"]),
        ("the kites of a city", ["kite", "city"]),
        ("two cities", ["two", "city"]),
        ("glass bus", ["glass", "bus"]),
        ("vitamin C, 3 x B12", ["vitamin", "3", "b12", "12"]),
        ("東京都", ["東京", "京都"]),
        ("  \n ,;%", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_a_rare_word_counts_more_than_a_common_one_and_no_word_nothing() -> None:
    index = WordIndex.build(["milk fat", "milk 20391", "milk", None])
    scores = index.scores(tokens("milk 20391"))
    assert scores.argmax() == 1
    assert scores[3] == 0
    assert scores[1] - scores[2] > scores[2] > 0


def test_both_spellings_of_a_figure_meet() -> None:
    index = WordIndex.build(["fett 1,5%", "fett 0,5%", "fett 15"])
    assert index.scores(tokens("1.5 %")).argmax() == 0
    assert index.scores(tokens("1.5 %"))[1:].max() == 0


@pytest.mark.parametrize("asked", ["1250", "1,250.00", "1.250,00", "1250.00"])
def test_an_amount_is_found_however_its_thousands_are_set(asked: str) -> None:
    index = WordIndex.build(["total 1,350.00", "total 1,250.00", "total 125"])
    assert index.scores(tokens(asked)).argmax() == 1


def test_a_long_word_is_found_inside_a_glued_one_at_half_its_worth() -> None:
    index = WordIndex.build(["arlamellanmjolk", "kaffe", "mellanmjolk"])
    alone = WordIndex.build(["arlamellanmjolk", "kaffe", "te"])
    assert alone.scores(tokens("mellanmjölk")).argmax() == 0
    assert index.scores(tokens("mellanmjölk")).argmax() == 2, "an exact word makes partial ones unnecessary"
    assert alone.scores(tokens("kaf")).max() == 0, "short pieces are not looked for"


def test_an_empty_index_scores_nothing() -> None:
    assert WordIndex.build([]).scores(["a"]).shape == (0,)
    assert WordIndex.build([None, ""]).scores(["word"]).tolist() == [0.0, 0.0]


@given(st.text(), st.lists(st.text(), max_size=5))
def test_any_text_is_a_query(query: str, texts: list[str]) -> None:
    scores = WordIndex.build(texts).scores(tokens(query))
    assert scores.shape == (len(texts),)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()


@given(st.text(min_size=1))
def test_a_text_finds_itself_whenever_it_has_tokens(text: str) -> None:
    scores = WordIndex.build(["something else", text]).scores(tokens(text))
    assert bool(tokens(text)) == bool(scores[1] > 0)


def test_a_text_without_end_is_cut() -> None:
    assert len(tokens("word " * 100_000)) == MAX_TOKENS

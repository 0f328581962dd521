"""Words and figures as OCR garbles them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.policies.evidence.words import figures, fold, overlap, words


def test_accents_and_case_fold() -> None:
    assert fold("MELLANMJÖLK") == "mellanmjolk"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,5 % fat, 3 dl", ("1.5", "3")),
        ("1.50 kr", ("1.5",)),
        ("no figure", ()),
        ("10 and 10", ("10",)),
        ("0,0", ("0",)),
        ("1,250.00 or 1.250,00", ("1250",)),
    ],
)
def test_figures(text: str, expected: tuple[str, ...]) -> None:
    assert figures(text) == expected


def test_words_leave_out_what_only_joins() -> None:
    assert words("The same item in a blue JACKET") == ("blue", "jacket")


@pytest.mark.parametrize(
    ("claim", "shown"),
    [
        ("mellanmjolk", "BLANUOLKMELLANMJOLK"),  # glued
        ("oatly", "0ATLY"),  # a figure for a letter
        ("vanilla", "VANILJA vanllla"),  # one letter off
        ("1.5", "FETT 1,5%"),  # decimal comma
    ],
)
def test_claims_are_met_in_spite_of_ocr(claim: str, shown: str) -> None:
    found = overlap([claim], [shown, "nothing here"])
    assert found.scores[0] > 0.6
    assert found.scores[1] == 0
    assert found.met == ((claim,), ())


def test_a_figure_is_met_exactly_or_not_at_all() -> None:
    assert overlap(["1.5"], ["15 %", "1,55", "0.5"]).scores.tolist() == [0, 0, 0]


def test_what_all_show_separates_nothing() -> None:
    found = overlap(["milk", "3"], ["milk 3", "milk 4", "milk 5"])
    assert found.scores.argmax() == 0
    assert found.met == (("3",), (), ())


@given(st.lists(st.text(max_size=30), max_size=4), st.lists(st.text(max_size=200), max_size=5))
def test_scores_stay_in_range(claims: list[str], shown: list[str]) -> None:
    asked = [word for claim in claims for word in (*words(claim), *figures(claim))]
    found = overlap(asked, shown)
    assert found.scores.shape == (len(shown),)
    assert np.all((found.scores >= 0) & (found.scores <= 1 + 1e-9))

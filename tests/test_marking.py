"""Marks by each benchmark's rule, held against values worked out by hand from the published rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.datasets import Expected
from vretrver.evaluation.marking import MAX_ANSWER, evqa, infoseek, mark, vqa
from vretrver.evaluation.marking.contains import PART, WHOLE, bearing
from vretrver.evaluation.marking.contractions import CONTRACTIONS
from vretrver.types import Document


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        # number words, and `none`, become digits; beyond ten they stay
        ("Two", "2"),
        ("ten dogs", "10 dogs"),
        ("none", "0"),
        ("eleven", "eleven"),
        # articles go, wherever they stand, as words of their own only
        ("the dog", "dog"),
        ("a cat and an owl", "cat and owl"),
        ("theatre", "theatre"),
        # a mark of punctuation becomes a blank between letters, and vanishes beside a blank
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("x-ray", "x ray"),
        ("yes, it is", "yes it is"),
        ("hello!", "hello"),
        ("(left) side", "left side"),
        ("t_shirt", "t shirt"),
        # beside a blank anywhere is enough for every one of its kind: both hyphens vanish
        ("well-known -ish", "wellknown ish"),
        # a comma between digits makes every mark vanish
        ("1,000", "1000"),
        ("1,000 (or so)", "1000 or so"),
        ("1,000-2,000", "10002000"),
        # a period goes unless a digit follows it
        ("3.5", "3.5"),
        ("st. louis", "st louis"),
        ("u.s.a.", "usa"),
        ("5.", "5"),
        # colons and apostrophes stay
        ("10:30", "10:30"),
        ("dog's", "dog's"),
        # contractions get their apostrophes back
        ("dont know", "don't know"),
        ("Isnt", "isn't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("oclock", "o'clock"),
        ("yall", "y'all"),
        # gaps of the official table
        ("shes", "shes"),
        ("wed", "wed"),
        ("couldntve", "couldntve"),
        ("somebody'd", "somebodyd"),
        ("", ""),
    ],
)
def test_vqa_s_normalisation(written: str, normal: str) -> None:
    assert vqa.normalised(written) == normal


def test_vqa_s_script_drops_no_more_than_32_periods() -> None:
    assert vqa.normalised("." * 40) == "." * 8


@given(st.text(max_size=200))
def test_normalisations_take_any_text(text: str) -> None:
    for normalised in (vqa.normalised, infoseek.normalised, evqa.normalised):
        assert "  " not in normalised(text).strip()


@pytest.mark.parametrize(
    ("same", "right"),
    [
        (0, 0.0),
        (1, 9 * (1 / 3) / 10),  # nine annotators see one other who agrees, the one sees none
        (2, (8 * (2 / 3) + 2 * (1 / 3)) / 10),
        (3, (7 * 1 + 3 * (2 / 3)) / 10),
        (4, 1.0),
        (10, 1.0),
    ],
)
def test_vqa_s_accuracy_leaves_each_annotator_out(same: int, right: float) -> None:
    annotators = ["race"] * same + [f"other {at}" for at in range(10 - same)]
    assert vqa.accuracy("race", annotators) == pytest.approx(right)


def test_by_hand_these_are_3_6_and_9_tenths() -> None:
    others = [f"other {at}" for at in range(9)]
    assert [round(vqa.accuracy("race", ["race"] * n + others[: 10 - n]), 6) for n in (1, 2, 3)] == [0.3, 0.6, 0.9]


def test_answers_are_normalised_only_where_the_annotators_differ() -> None:
    assert vqa.accuracy("The Harbour.", ["harbour"] * 8 + ["port"] * 2) == 1.0
    assert vqa.accuracy("2", ["two"] * 5 + ["three"] * 5) == 1.0
    assert vqa.accuracy("The Harbour.", ["harbour"] * 10) == 0.0  # as the official script has it
    assert vqa.accuracy(" harbour\n", ["harbour"] * 10) == 1.0


@pytest.mark.parametrize(
    ("written", "right"),
    [("crow", 1), ("The Crow!", 1), ("carrion  crow", 1), ("a raven", 0), ("crow or raven", 0), ("crows", 0)],
)
def test_infoseek_s_strings_match_exactly(written: str, right: int) -> None:
    assert infoseek.text_accuracy(written, ("carrion crow", "crow")) == right


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("1280", 1),  # a number in the range, ends included
        ("1,280.16 m", 1),
        ("1152.144", 1),
        ("1408.176 metres", 1),
        ("1152", 0),
        ("about 1.28e3", 1),
        ("1200-1300", 1),  # a range inside
        ("1200 to 1300 metres", 1),
        ("1100-1408.176", 1),  # overlap 256.032, union 308.176: 0.83
        ("1000-1400", 1),  # overlap 247.856, union 408.176: 0.61
        ("500-1400", 0),  # overlap 247.856, union 908.176: 0.27
        ("1300 or 1200", 1),  # falling: the first counts alone
        ("2000 or 1300", 0),
        ("1300, 1 and 5", 1),  # 1300 then 1: falling
        ("no idea", 0),
        ("-1280", 0),
        ("1" * 900, 0),
        ("1e999 to 2e999", 0),
    ],
)
def test_infoseek_s_numbers(written: str, right: int) -> None:
    assert infoseek.number_accuracy(written, (1152.144, 1408.176)) == right


def test_quirks_of_infoseek_s_script_are_kept() -> None:
    assert infoseek.number_accuracy("no number", (-1.0, 1.0)) == 1.0  # read as the range from 0 to 0
    assert infoseek.number_accuracy(".5", (4.0, 6.0)) == 1.0  # its leading point is dropped
    assert infoseek.number_accuracy("5", (5.0, 5.0)) == 1.0


def test_the_harmonic_mean() -> None:
    assert infoseek.harmonic_mean(0.5, 0.25) == pytest.approx(1 / 3)
    assert infoseek.harmonic_mean(0.0, 1.0) == pytest.approx(0.0, abs=1e-9)
    assert infoseek.harmonic_mean(0.0889, 0.0738) == pytest.approx(0.0806, abs=1e-4)  # the repository's own example


@pytest.mark.parametrize(
    ("written", "accepted", "right"),
    [
        ("worms", ("worms", "earthworms"), 1),
        ("The answer is earthworms.", ("worms", "earthworms"), 1),
        ("<extra_id_0> worms", ("worms",), 1),
        ("two", ("2",), 1),
        ("True", ("yes",), 1),
        ("O'Hara's", ("oharas",), 1),
        ("worms and mice", ("worms",), 0),
        ("", ("the",), 0),  # nothing is left of the right answer: nothing can match it
    ],
)
def test_encyclopedic_vqa_s_answers(written: str, accepted: tuple[str, ...], right: int) -> None:
    assert evqa.accuracy(written, accepted, listed=False) == right


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("red, white and pink", 1),
        ("pink & white", 1),  # two of three
        ("red, white, blue, black", 0),  # two of five
        ("red, white, pink, blue, black, green", 1),  # three of six: exactly half
        ("red", 0),
        (", ,", 0),
    ],
)
def test_encyclopedic_vqa_s_lists(written: str, right: int) -> None:
    assert evqa.accuracy(written, ("red&&white&&pink",), listed=True) == right


def test_an_answer_is_handed_in_as_annotators_answers_are_stored() -> None:
    assert mark("Leek.", Expected("vqa", ("leek",) * 10)) == 1.0
    assert [vqa.submitted(one) for one in ("Leek.\n", "St. Louis", "3.5")] == ["leek", "st. louis", "3.5"]


def test_mark_chooses_the_rule() -> None:
    assert mark("race", Expected("vqa", ("race",) * 4 + ("ride",) * 6)) == 1.0
    assert mark("1300", Expected("infoseek", (), kind="Numerical", span=(1152.1, 1408.1))) == 1.0
    assert mark("crow", Expected("infoseek", ("crow",), kind="String")) == 1.0
    assert mark("red and white", Expected("evqa", ("red&&white&&pink",), kind="multi_answer")) == 1.0
    assert mark("red and white", Expected("evqa", ("red&&white&&pink",), kind="templated")) == 0.0
    assert mark(" ", Expected("vqa", ("race",) * 10)) == 0.0
    assert mark("crow", Expected("infoseek", ())) is None
    assert mark("x" * MAX_ANSWER + "crow", Expected("infoseek", ("x" * MAX_ANSWER,))) == 1.0  # no more is read


@pytest.mark.parametrize(
    ("text", "sought", "found"),
    [
        ("The carrion CROW flies.", ("Carrion crow",), WHOLE),
        ("Start early.", ("art",), PART),
        ("Start with art.", ("art",), WHOLE),
        ("It is 1280.16 metres.", ("1280.16",), WHOLE),
        ("C++ and C.", ("c++",), WHOLE),
        ("Nothing here.", ("crow", ""), 0),
        ("Nothing here.", (), 0),
    ],
)
def test_a_passage_contains_an_answer(text: str, sought: tuple[str, ...], found: int) -> None:
    assert bearing(Document("d", text), sought) == found


def test_words_printed_on_a_picture_count() -> None:
    assert bearing(Document("d", "a bus", printed="HARBOUR 4"), ("harbour",)) == WHOLE


def test_contractions_are_mended_to_forms_that_need_no_mending() -> None:
    assert len(CONTRACTIONS) == 114
    assert all(form not in CONTRACTIONS for form in CONTRACTIONS.values())

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.notes import MAX_NOTE, note_of

WORDS = (
    "<think>The carton of (2) says 1.5 % fat. Candidates 3 and 5 say 3 %.\nImage 4 is blurred; nothing else.</think>"
    "<answer>[2, 3, 5]</answer>"
)


@pytest.mark.parametrize(
    ("candidate", "image", "note"),
    [
        (2, 9, "The carton of (2) says 1.5 % fat."),
        (3, 9, "Candidates 3 and 5 say 3 %."),
        (5, 9, "Candidates 3 and 5 say 3 %."),
        (7, 4, "Image 4 is blurred;"),
        (8, 8, "The carton of (2) says 1.5 % fat. Candidates 3 and 5 say 3 %. Image 4 is blurred; nothing else."),
    ],
)
def test_a_note_is_what_was_said_of_the_candidate_else_everything(candidate: int, image: int, note: str) -> None:
    assert note_of(WORDS, candidate, image) == note


def test_calls_and_answers_are_not_words_about_a_candidate() -> None:
    assert note_of('ok <tool_call>{"x": "(1)"}</tool_call><answer>[1]', 1, 1) == "ok"


@given(st.text(max_size=2000))
def test_any_text_gives_one_short_line(words: str) -> None:
    note = note_of(words, 1, 1)
    assert len(note) <= MAX_NOTE and "\n" not in note


@pytest.mark.parametrize("hostile", ["candidate " * 20_000, "<answer>" * 25_000, "(1" * 100_000, " " * 200_000])
def test_hostile_text_takes_no_time(hostile: str) -> None:
    started = time.process_time()
    note_of(hostile, 1, 1)
    assert time.process_time() - started < 1


def test_what_is_said_twice_is_noted_once() -> None:
    assert (
        note_of("(1): reads 5. So (1) leads.</think>\n<think>(1): reads 5. Done.", 1, 1)
        == "(1): reads 5. So (1) leads."
    )

from __future__ import annotations

import itertools
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vretrver import metrics
from vretrver.errors import InvalidInput, MissingPath, RecordError, StorageError
from vretrver.evaluation.trec import (
    MAX_LINE,
    by_place,
    falling,
    from_one_word,
    one_word,
    read_qrels,
    read_run,
    write_qrels,
    write_run,
)

IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name.split() == [name]
)
SCORES = st.floats(-(2.0**127), 2.0**127, width=32) | st.floats(-10, 10) | st.sampled_from([0.0, -0.0, 1.0, 1e-46])
RANKINGS = st.dictionaries(
    IDS, st.lists(st.tuples(IDS, SCORES), min_size=1, max_size=8, unique_by=lambda pair: pair[0]), max_size=4
)


def test_a_run_as_it_is_written(tmp_path: Path) -> None:
    write_run(tmp_path / "run.trec", {"q1": [("d:2", 0.5), ("d:1", 0.25)], "q2": [("x", -1.0)]}, tag="mine")
    text = "q1 Q0 d:2 1 0.5 mine\nq1 Q0 d:1 2 0.25 mine\nq2 Q0 x 1 -1.0 mine\n"
    assert (tmp_path / "run.trec").read_text() == text
    assert read_run(tmp_path / "run.trec") == {"q1": [("d:2", 0.5), ("d:1", 0.25)], "q2": [("x", -1.0)]}
    write_run(tmp_path / "seven.txt", iter([("8:1", by_place(["8:5", "8:4"]))]), tag="mine", task_id=7)
    assert (tmp_path / "seven.txt").read_text() == "8:1 Q0 8:5 1 2.0 mine 7\n8:1 Q0 8:4 2 1.0 mine 7\n"
    assert read_run(tmp_path / "seven.txt") == {"8:1": [("8:5", 2.0), ("8:4", 1.0)]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.trec", "seven.txt"]  # nothing is left aside


def test_a_run_is_read_by_score_and_ties_as_trec_eval_breaks_them(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("q Q0 a 1 2 t\nq Q0 b 2 3 t\n\nq Q0 c 3 2 t\n")
    assert read_run(tmp_path / "run") == {"q": [("b", 3.0), ("c", 2.0), ("a", 2.0)]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(RANKINGS)
def test_the_order_survives_the_file(tmp_path: Path, rankings: dict[str, list[tuple[str, float]]]) -> None:
    write_run(tmp_path / "run", rankings)
    found = read_run(tmp_path / "run")
    assert list(found) == list(rankings)
    for topic, ranking in rankings.items():
        assert [name for name, _ in found[topic]] == [name for name, _ in ranking]
        assert [score for _, score in found[topic]] == falling([score for _, score in ranking])


@given(st.lists(SCORES, max_size=30))
def test_scores_fall_in_single_precision_and_sound_ones_are_kept(scores: list[float]) -> None:
    fallen = falling(scores)
    singles = [struct.unpack("<f", struct.pack("<f", score))[0] for score in fallen]
    assert all(a > b for a, b in itertools.pairwise(singles))
    assert falling(fallen) == fallen
    assert fallen[:1] == scores[:1]


def test_scores_are_lowered_by_one_step() -> None:
    assert falling([0.3, 0.2, 0.1]) == [0.3, 0.2, 0.1]
    assert falling([1, 1, 1]) == [1.0, 0.99999994, 0.999999881]  # 1 - 2**-24, 1 - 2**-23
    assert falling([1.0, 1.0 - 1e-12]) == [1.0, 0.99999994]  # single precision cannot tell the two apart
    assert falling([0.0, 5.0]) == [0.0, pytest.approx(-(2.0**-149))]
    for bad in (math.nan, math.inf, 1e39):
        with pytest.raises(InvalidInput, match="cannot be written"):
            falling([bad])
    with pytest.raises(InvalidInput, match="cannot be written"):
        falling([-3.4028235e38, 0])  # nothing is smaller


@pytest.mark.parametrize("name", ["", " ", "a b", "a\tb", "a\n", "\x0b", "a\xa0b", "\x1f", "\ud800"])
def test_names_that_are_not_one_word_are_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    for topic, document, tag in (("q", name, "t"), (name, "d", "t"), ("q", "d", name)):
        with pytest.raises(InvalidInput, match="is empty or holds a blank"):
            write_run(tmp_path / "x", {"first": [("d", 1.0)], topic: [(document, 1.0)]}, tag)
    with pytest.raises(InvalidInput, match="is empty or holds a blank"):
        write_qrels(tmp_path / "x", {"q": {"d": 1, name: 1}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("photos/kite.jpg", "photos/kite.jpg"),
        ("my kite.jpg", "my%20kite.jpg"),
        ("50% off", "50%%20off"),
        ("my%20kite.jpg", "my%2520kite.jpg"),
        ("100%", "100%"),
        ("a\u2003b", "a%E2%80%83b"),
    ],
)
def test_names_with_blanks_can_be_made_one_word(name: str, word: str) -> None:
    assert one_word(name) == word and from_one_word(word) == name


@given(st.text(min_size=1) | st.text("%aF2 \n\u2003\ud800", min_size=1))
def test_any_name_can_be_a_word_and_come_back(name: str) -> None:
    word = one_word(name)
    assert word.split() == [word] and from_one_word(word) == name
    word.encode()


def test_words_of_others_are_left_alone() -> None:
    assert from_one_word("%FF") == "%FF"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_qrels(tmp_path / "x", {"q": {"d": 1}})
    with pytest.raises(InvalidInput):
        write_qrels(tmp_path / "x", {"q": {"e": 1}, "": {"d": 1}})
    assert (tmp_path / "x").read_text() == "q 0 d 1\n"
    with pytest.raises(StorageError, match="cannot write"):
        write_qrels(tmp_path / "none" / "x", {"q": {"d": 1}})


def test_what_fails_while_rankings_are_made_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    def rankings() -> Iterator[tuple[str, list[tuple[str, float]]]]:
        yield "q", [("d", 1.0)]
        raise MissingPath("no such picture")

    with pytest.raises(MissingPath, match="no such picture"):
        write_run(tmp_path / "x", rankings())
    assert not list(tmp_path.iterdir())


def test_qrels_of_four_and_five_columns(tmp_path: Path) -> None:
    (tmp_path / "five").write_text("8:1 0 8:7 1 7\n8:1 0 8:7 1 7\n8:2 0 8:9 2 7\n8:2 0 8:8 0 7\n")
    found = read_qrels(tmp_path / "five")
    assert found == {"8:1": {"8:7": 1}, "8:2": {"8:9": 2, "8:8": 0}}
    write_qrels(tmp_path / "four", found)
    assert (tmp_path / "four").read_text() == "8:1 0 8:7 1\n8:2 0 8:9 2\n8:2 0 8:8 0\n"
    assert read_qrels(tmp_path / "four") == found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(IDS, st.dictionaries(IDS, st.integers(-2, 9), min_size=1), max_size=4))
def test_qrels_round_trip(tmp_path: Path, qrels: dict[str, dict[str, int]]) -> None:
    write_qrels(tmp_path / "qrels", qrels)
    assert read_qrels(tmp_path / "qrels") == qrels


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"q Q0 a 1 2\n", ":1 has 5 columns; a run has: topic Q0 document rank score tag"),
        (b"q Q0 a 1 2 t\nq Q0 b 1 2 t 7\n", ":2 has 7 columns where the first has 6"),
        (b"q Q0 a 1 2 t\nq Q0 a 2 1 t\n", ":2 ranks document 'a' for topic 'q' again"),
        (b"q Q0 a 1 x t\n", ":1 has the score 'x'"),
        (b"q Q0 a 1 nan t\n", ":1 has the score 'nan'"),
        (b"q Q0 \xff 1 1 t\n", ":1 is not UTF-8"),
        (b"q " * MAX_LINE, f":1 is longer than {MAX_LINE} bytes"),
    ],
)
def test_a_run_that_does_not_parse_names_file_and_line(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "bad.run").write_bytes(text)
    with pytest.raises(RecordError) as caught:
        read_run(tmp_path / "bad.run")
    assert f"{tmp_path / 'bad.run'}{says}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("q 0 a\n", ":1 has 3 columns"),
        ("q 0 a 1.5\n", ":1 has the grade '1.5'"),
        ("q 0 a 9999999999\n", ":1 has the grade"),
        ("q 0 a 1--\n", ":1 has the grade"),
        ("q 0 a 1\nq 0 a 2\n", ":2 grades document 'a' of topic 'q' 2; before it was 1"),
    ],
)
def test_qrels_that_do_not_parse_name_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(RecordError, match=says):
        read_qrels(tmp_path / "bad.txt")
    with pytest.raises(MissingPath, match="no such file"):
        read_qrels(tmp_path / "none")


@pytest.mark.parametrize("seed", range(5))
def test_another_evaluator_measures_the_same_in_our_files(tmp_path: Path, seed: int) -> None:
    theirs: Any = pytest.importorskip("ir_measures")
    draw = random.Random(seed)
    pool = [f"d{n}" for n in range(30)]
    # scores with ties and differences that single precision does not see: the order given must still be measured
    rankings = {
        f"q{n}": [(name, draw.choice([1.0, 1.0 - 1e-10, 0.5])) for name in draw.sample(pool, 15)] for n in range(20)
    }
    qrels = {topic: {draw.choice(pool): 1, draw.choice(pool): 2} for topic in rankings}
    write_run(tmp_path / "run", rankings)
    write_qrels(tmp_path / "qrels", qrels)
    wanted = {theirs.parse_measure(f"{name}@{k}"): f"{ours}@{k}" for k in (1, 5) for name, ours in
              (("Success", "hit"), ("nDCG", "ndcg"))}  # fmt: skip
    found = theirs.iter_calc(
        list(wanted),
        theirs.read_trec_qrels(str(tmp_path / "qrels")),
        theirs.read_trec_run(str(tmp_path / "run")),
    )
    for one in found:
        order = [name for name, _score in rankings[one.query_id]]
        assert one.value == pytest.approx(metrics.measure(wanted[one.measure], order, qrels[one.query_id]))

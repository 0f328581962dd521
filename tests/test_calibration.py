"""Calibration: what is read from a ranking, the fit, the file, and what a Reranker makes of it."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vretrver.calibration import Calibration, Logistic, load_calibration, packaged
from vretrver.calibration.logistic import fit
from vretrver.calibration.signals import COARSE, RESULT, of_ranking, of_scores
from vretrver.errors import InvalidInput, MissingPath
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer
from vretrver.reranker import Reranker
from vretrver.trace import Ranking
from vretrver.types import Candidate, Document, Query
from vretrver.windows import load_planner


def found(*scores: float, signal: str = "vector") -> list[Candidate]:
    return [
        Candidate(Document(f"d{at}", f"text {at}"), score, at + 1, {signal: score}) for at, score in enumerate(scores)
    ]


def ids(conversation: Conversation) -> list[str]:
    return [candidate.document.id for candidate in conversation.window.candidates]


def as_shown(conversation: Conversation) -> str:
    return render_answer(range(len(ids(conversation))))


def by_name(conversation: Conversation) -> str:
    names = ids(conversation)
    return render_answer(sorted(range(len(names)), key=lambda at: -int(names[at][1:])))


# -- the model --------------------------------------------------------------------------------------------------


def test_a_logistic_by_hand() -> None:
    model = Logistic({"a": 2.0}, offset=-1.0)
    chances = model.chances({"a": np.array([0.5, 1.0]), "b": np.array([9.0, 9.0])})
    assert chances == pytest.approx([0.5, 1 / (1 + math.exp(-1))])


def test_a_fit_finds_the_odds() -> None:
    """Three of four right where the signal is 1, one of four where it is 0: log-odds of 3 and of 1/3."""
    signal = np.array([1.0] * 4 + [0.0] * 4)
    right = [1, 1, 1, 0, 1, 0, 0, 0]
    model = fit({"s": signal, "flat": np.ones(8)}, right, ridge=1e-9)
    assert model.weights == {"s": pytest.approx(2 * math.log(3), abs=1e-3)}
    assert model.offset == pytest.approx(-math.log(3), abs=1e-3)
    doubled = fit({"s": signal}, right, counts_N=[2.0] * 8, ridge=1e-9)
    assert doubled == Logistic({"s": model.weights["s"]}, model.offset)


def test_counts_are_as_good_as_repetition() -> None:
    draw = np.random.default_rng(0)
    signal, right = draw.normal(size=30), draw.random(30) < 0.5
    counts = draw.integers(1, 4, 30)
    one = fit({"s": signal}, right, counts)
    other = fit({"s": np.repeat(signal, counts)}, np.repeat(right, counts))
    assert one.weights["s"] == pytest.approx(other.weights["s"], abs=1e-4)


def test_what_can_be_told_apart_gets_no_boundless_weight() -> None:
    model = fit({"s": np.array([0.0, 0.0, 1.0, 1.0])}, [0, 0, 1, 1])
    assert 0 < model.weights["s"] < 100


@pytest.mark.parametrize("right", [[], [True, True], [False]])
def test_a_fit_needs_both_right_and_wrong(right: list[bool]) -> None:
    with pytest.raises(InvalidInput, match="needs both right and wrong"):
        fit({"s": np.zeros(len(right))}, right)


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
def test_the_fit_is_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(3)
    rows = draw.normal(size=(200, 3))
    rows = (rows - rows.mean(0)) / rows.std(0)
    right = draw.random(200) < 1 / (1 + np.exp(-rows @ [1.0, -2.0, 0.5] - 0.3))
    ours = fit({str(at): rows[:, at] for at in range(3)}, right, ridge=0.01)
    theirs = LogisticRegression(C=1 / (0.01 * 200), tol=1e-10, max_iter=1000).fit(rows, right)
    assert list(ours.weights.values()) == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert ours.offset == pytest.approx(theirs.intercept_[0], abs=1e-4)


# -- signals ----------------------------------------------------------------------------------------------------


def test_signals_of_scores_by_hand() -> None:
    signals = of_scores(np.array([3.0, 1.0, 0.5]))
    assert list(signals) == list(COARSE)
    assert signals["lead"].tolist() == [2.0, -2.0, -2.5]
    assert signals["first"].tolist() == [1.0, 0.0, 0.0]
    assert signals["place"] == pytest.approx([0, math.log(2), math.log(3)])
    assert of_scores(np.array([7.0]))["lead"].tolist() == [0.0]
    assert all(len(values) == 0 for values in of_scores(np.array([])).values())


def signals_of(ranking: Ranking, chances: list[float] | None = None) -> dict[str, list[float]]:
    assert set(of_ranking(ranking, chances)) == set(RESULT)
    return {name: values.tolist() for name, values in of_ranking(ranking, chances).items()}


def test_signals_of_a_plain_ranking() -> None:
    ranking = Reranker(ScriptedPolicy(by_name)).rerank("q", found(2, 1))
    assert ranking.ids == ("d1", "d0")
    signals = signals_of(ranking, [0.2, 0.5])
    assert signals["first"] == [1, 0] and signals["alone"] == pytest.approx([math.log(2)] * 2)
    assert signals["coarse"] == pytest.approx([math.log(0.25), 0]) and signals["coarse_first"][1] == 0
    assert signals["lead"] == pytest.approx([math.log(0.25), math.log(4)])
    for name in ("unknown", "came", "twice_first", "steady_first", "kept", "overlap_first", "seen", "unranked"):
        assert signals[name] == [0, 0], name
    unknown = signals_of(ranking)
    assert unknown["unknown"] == [1, 1] and unknown["coarse"] == [0, 0]
    assert unknown["came"] == pytest.approx([math.log(2), 0])


def test_signals_of_a_second_look() -> None:
    steady = signals_of(Reranker(ScriptedPolicy(by_name), second_look="reverse").rerank("q", found(3, 2, 1)))
    assert steady["twice_first"] == [1, 0, 0] and steady["steady_first"] == [1, 0, 0] and steady["kept"] == [1, 0, 0]
    swayed = signals_of(Reranker(ScriptedPolicy(as_shown), second_look="reverse").rerank("q", found(3, 2, 1)))
    assert swayed["twice_first"] == [1, 0, 0] and swayed["steady_first"] == [-1, 0, 0] and swayed["kept"] == [0, 0, 0]
    assert swayed["steady_place"] == pytest.approx([0, -math.log(2), -math.log(3)])


def test_signals_of_windows_that_overlap() -> None:
    """Sliding by one over three: d2 meets d1, then the better of both meets d0; the pair of both windows is no pair."""
    planner = load_planner("sliding:3,1")
    agree = signals_of(Reranker(ScriptedPolicy(by_name), planner=planner).rerank("q", found(4, 3, 2, 1)))
    assert agree["overlap_first"] == [1, 0, 0, 0] and agree["overlap_agree"] == [1, 0, 0, 0]
    single = signals_of(Reranker(ScriptedPolicy(by_name)).rerank("q", found(4, 3, 2, 1)))
    assert single["overlap_first"] == [0] * 4


def test_what_no_window_answered_is_told() -> None:
    ranking = Reranker(ScriptedPolicy(["nothing of use"])).rerank("q", found(2, 1))
    assert signals_of(ranking)["unranked"] == [1, 1]
    short = Reranker(ScriptedPolicy(by_name), planner=load_planner("onepass:1")).rerank("q", found(2, 1))
    assert signals_of(short)["unranked"] == [0, 1]


def test_signals_come_from_the_record_alone() -> None:
    ranking = Reranker(ScriptedPolicy(by_name), planner=load_planner("sliding:3,1"), second_look="shuffle").rerank(
        "q", found(4, 3, 2, 1)
    )
    again = Ranking.from_record(json.loads(json.dumps(ranking.to_record())))
    assert signals_of(again) == signals_of(ranking)


def test_a_ranking_without_results_or_cut_short_has_signals() -> None:
    assert all(len(values) == 0 for values in of_ranking(Reranker(ScriptedPolicy([])).rerank("q", []), None).values())
    ranking = Reranker(ScriptedPolicy(by_name), second_look="reverse").rerank("q", found(3, 2, 1), top_k=1)
    assert signals_of(ranking)["kept"] == [1]


# -- calibrations -----------------------------------------------------------------------------------------------


def small(**changes: Any) -> Calibration:
    given: dict[str, Any] = {"coarse": {"*": Logistic({"score": 1.0})}, "result": Logistic({"first": 2.0}, -1.0)}
    return Calibration(**{**given, "no_match_below": 0.2, **changes})


def test_chances_are_by_kind_and_by_score() -> None:
    calibration = small(coarse={"text>*": Logistic({"score": 1.0}), "text>text": Logistic({"place": -1.0})})
    candidates = found(0.0, 2.0)
    assert calibration.chances(Query("q"), candidates) == pytest.approx([1 / 3, 0.5])  # place 2 and place 1
    assert small().chances(Query("q"), found(0.0)) == [0.5]
    assert small(coarse={"image>*": Logistic()}).chances(Query("q"), candidates) is None
    assert small(least=3).chances(Query("q"), candidates) is None
    assert small().chances(Query("q"), found(1.0, float("nan"))) is None


def test_chances_are_of_the_stage_that_was_fitted() -> None:
    elsewhere = found(1.0, 0.5, signal="another stage's")
    assert small().chances(Query("q"), elsewhere) is None
    assert small(fused=False).chances(Query("q"), elsewhere) is not None


def test_a_reranker_goes_by_its_calibration() -> None:
    ranking = Reranker(ScriptedPolicy(by_name), calibration=small()).rerank("q", found(2, 1))
    assert [result.confidence for result in ranking.results] == pytest.approx(
        [1 / (1 + math.exp(-1)), 1 / (1 + math.e)]
    )
    assert not ranking.no_match
    unsure = small(result=Logistic({}, -3.0))
    assert Reranker(ScriptedPolicy(by_name), calibration=unsure).rerank("q", found(2, 1)).no_match
    assert not Reranker(ScriptedPolicy(by_name), calibration=unsure, no_match_below=0.01).rerank("q", found(2)).no_match


def test_an_order_of_one_says_nothing() -> None:
    alone = Reranker(ScriptedPolicy(by_name), calibration=small())
    assert [result.confidence for result in alone.rerank("q", found(2)).results] == pytest.approx(
        [1 / (1 + math.exp(-2))]
    )
    assert [result.confidence for result in alone.rerank("q", found(2, signal="theirs")).results] == [0.5]


def test_what_the_policy_says_itself_is_not_calibrated() -> None:
    def sure(conversation: Conversation) -> Completion:
        return Completion(by_name(conversation), relevance=(0.3, 0.6))

    ranking = Reranker(ScriptedPolicy(sure), calibration=small()).rerank("q", found(2, 1))
    assert [result.confidence for result in ranking.results] == [0.6, 0.3]


def test_where_nobody_looked_the_coarse_chance_is_the_confidence() -> None:
    ranking = Reranker(ScriptedPolicy(by_name), calibration=small(), gate=0.8).rerank("q", found(2, 0))
    assert ranking.skipped is not None
    assert [result.confidence for result in ranking.results] == pytest.approx([1 / (1 + math.exp(-2)), 0.5])


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(small(about={"run": "mine"}).to_record()))
    assert load_calibration(path) == small(about={"run": "mine"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 9}, "has version 9"),
        ({"coarse": {"smell": {"weights": {}, "offset": 0}}}, "got 'smell'"),
        ({"coarse": {"*": {"weights": {"first": 1, "luck": 1}, "offset": 0}}}, "unknown signal 'luck'"),
        ({"result": {"weights": {"first": float("nan")}, "offset": 0}}, "the weight of first is nan"),
        ({"result": {"weights": {}}}, "KeyError: 'offset'"),
        ({"result": 3}, "does not parse"),
        ({"coarse": None}, "does not parse"),
        ({"no_match_below": 2}, "no_match_below is 2.0"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(small().to_record() | change))
    with pytest.raises(InvalidInput, match=says):
        load_calibration(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="vretrver calibrate RUN -o FILE"):
        load_calibration(tmp_path / "none.json")
    (tmp_path / "text").write_text("no json")
    with pytest.raises(InvalidInput, match="is not JSON"):
        load_calibration(tmp_path / "text")
    (tmp_path / "deep").write_text("[" * 100_000)
    with pytest.raises(InvalidInput, match="is not JSON"):
        load_calibration(tmp_path / "deep")
    (tmp_path / "list").write_text("[]")
    with pytest.raises(InvalidInput, match="has version None"):
        load_calibration(tmp_path / "list")


def test_the_packaged_calibration_behaves() -> None:
    """A first place kept by both looks is surer than one that was swayed, and more than lower places."""
    calibration = packaged()
    assert calibration.fused and 0 < calibration.no_match_below < 0.5
    candidates = found(6.0, *(2.0 - at / 10 for at in range(11)))
    steady, swayed = (
        Reranker(ScriptedPolicy(agent), second_look="reverse").rerank("q", candidates)
        for agent in (as_knowing, as_shown)
    )
    assert steady.ids[0] == swayed.ids[0] == "d0"
    assert steady.results[0].confidence > swayed.results[0].confidence
    sure = [result.confidence for result in steady.results]
    assert sure == sorted(sure, reverse=True) and 0 < sure[-1] < sure[0] < 1
    chances = calibration.chances(Query("q"), candidates)
    assert chances is not None and all(0 < chance < 1 for chance in chances)


def as_knowing(conversation: Conversation) -> str:
    """The lowest number is the best, wherever it stands."""
    names = ids(conversation)
    return render_answer(sorted(range(len(names)), key=lambda at: int(names[at][1:])))

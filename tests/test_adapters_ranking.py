"""What all faces share: every document comes back once, whatever it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import MeanColour
from reddest import COLOURS, ORDER, Reddest, encoded, reddest
from vretrver.adapters.pictures import UnreadPicture
from vretrver.adapters.ranking import AgentFailed, Given, Ranker
from vretrver.errors import InvalidInput, MissingPath
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.reranker import Reranker
from vretrver.types import ImageRef, Query

Paint = Callable[..., str]
PICTURES = [Given(image=encoded(colour)) for colour in COLOURS]


class Watched(Reddest):
    """Keeps the windows it was shown."""

    def __init__(self) -> None:
        self.windows: list[object] = []

    def complete(self, conversations):  # type: ignore[no-untyped-def]
        self.windows += [one.window for one in conversations if len(one.messages) == 2]
        return super().complete(conversations)


def test_the_order_the_scores_and_what_was_said() -> None:
    placed = Ranker(reddest()).rank("red", PICTURES)
    assert tuple(one.at for one in placed) == ORDER
    assert [one.rank for one in placed] == [1, 2, 3, 4]
    assert [one.score for one in placed] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert [round(one.confidence, 2) for one in placed] == [1.0, 0.25, 0.0, 0.0]
    (look,) = next(one for one in placed if one.at == 0).evidence
    assert (look.tool, look.note) == ("select_images", "(2) is the reddest.")


def test_metadata_is_json_and_evidence_comes_only_with_a_look() -> None:
    first, *_others, last = Ranker(reddest()).rank("red", PICTURES)
    assert json.loads(json.dumps(first.metadata())) == {"relevance_score": 1.0, "confidence": 1.0}
    assert last.metadata()["evidence"] == [{"tool": "select_images", "box": None, "note": "(2) is the reddest."}]


@given(st.permutations(["picture", "text", "both", "nothing", "refused", "damaged", "gone"]), st.booleans())
def test_every_document_comes_back_once_the_empty_ones_last(kinds: list[str], twins: bool) -> None:
    made = {
        "picture": Given(image=encoded("red"), id="p"),
        "text": Given("red", id="p" if twins else "t"),
        "both": Given("blue", encoded("blue"), id="b"),
        "nothing": Given(" ", "", id="n"),
        "refused": Given(image="https://example.org/a.png", id="r"),
        "damaged": Given(image=b"GIF89a", id="d"),
        "gone": Given(image=Path("/nowhere/a.png"), id="g"),
    }
    with pytest.warns(UnreadPicture):
        placed = Ranker(reddest()).rank("red", [made[kind] for kind in kinds])
    order = [kinds[one.at] for one in placed]
    assert sorted(order) == sorted(kinds)
    assert order[:3] == ["picture", "both", "text"]  # a text is not red at all
    assert order[3:] == [kind for kind in kinds if kind in ("nothing", "refused", "damaged", "gone")]
    assert [one.score for one in placed] == [1 / rank for rank in range(1, 8)]


def test_a_refused_picture_is_said_and_the_text_still_counts() -> None:
    with pytest.warns(UnreadPicture, match=r"document 'mine': 'a.png' is a path; name the folder"):
        placed = Ranker(reddest()).rank("red", [Given("a kite", "a.png", "mine"), Given("a boat")])
    assert [one.at for one in placed] == [0, 1]


def test_own_ids_are_the_candidates_where_they_are_unique() -> None:
    for names, expected in (["x", "y"], ["x", "y"]), (["x", "x"], ["1", "2"]), (["x", None], ["1", "2"]):
        watched = Watched()
        Ranker(Reranker(watched)).rank("red", [Given("text", id=name) for name in names])
        (window,) = watched.windows
        assert [candidate.document.id for candidate in window.candidates] == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("scores", "seen"), [([0.5, 2.0], [0.5, 2.0]), ([0.5, None], [0.0, 0.0]), ([0.5, float("nan")], [0.0, 0.0])]
)
def test_scores_count_where_every_document_has_one(scores: list[float | None], seen: list[float]) -> None:
    watched = Watched()
    Ranker(Reranker(watched)).rank("red", [Given("text", score=score) for score in scores])
    (window,) = watched.windows
    assert [candidate.score for candidate in window.candidates] == seen  # type: ignore[attr-defined]
    assert [candidate.rank for candidate in window.candidates] == [1, 2]  # type: ignore[attr-defined]


def test_a_policy_alone_is_enough_and_odd_things_are_no_pictures() -> None:
    odd = Given("text", np.zeros((2, 2, 3), np.uint8))
    with pytest.warns(UnreadPicture, match="cannot take a ndarray"):
        placed = Ranker(Reddest()).rank("red", [odd, *PICTURES])
    assert [one.at for one in placed] == [2, 3, 4, 1, 0]


def test_an_embedder_orders_first(embedder: MeanColour) -> None:
    no_answer = Reranker(ScriptedPolicy(["I cannot say."]))
    query = Query(images=(ImageRef(data=encoded("red")),))
    assert [one.at for one in Ranker(no_answer, embedder).rank(query, PICTURES)] == [1, 2, 3, 0]
    assert [one.at for one in Ranker(Reranker(ScriptedPolicy(["I cannot say."]))).rank(query, PICTURES)] == [0, 1, 2, 3]


def test_top_k_and_nothing_to_rank() -> None:
    ranker = Ranker(reddest())
    assert [one.at for one in ranker.rank("red", PICTURES, 2)] == [1, 2]
    assert ranker.rank("red", []) == []
    with pytest.raises(InvalidInput, match="top_k is 0"):
        ranker.rank("red", PICTURES, 0)


def test_the_query_must_be_sound(paint: Paint, tmp_path: Path) -> None:
    ranker = Ranker(reddest(), root=tmp_path)
    with pytest.raises(InvalidInput, match="query is empty"):
        ranker.rank(" ", PICTURES)
    with pytest.raises(InvalidInput, match="leads out of"):
        ranker.query("red", "/etc/passwd")
    with pytest.raises(MissingPath):
        ranker.rank(ranker.query("red", "gone.png"), PICTURES)
    paint("red.png")
    assert ranker.rank(ranker.query(None, "red.png"), PICTURES)[0].at == 1


def test_a_failing_agent_is_said_and_the_order_stands() -> None:
    class Broken(Reddest):
        def complete(self, conversations):  # type: ignore[no-untyped-def]
            raise RuntimeError("out of memory")

    with pytest.warns(AgentFailed, match="1 of 1 windows keep .*: RuntimeError: out of memory"):
        placed = Ranker(Reranker(Broken())).rank("red", PICTURES)
    assert [one.at for one in placed] == [0, 1, 2, 3]


def test_names_are_loaded_late_and_unknown_ones_refused() -> None:
    ranker = Ranker("no such policy")
    with pytest.raises(InvalidInput, match="unknown policy"):
        ranker.load()
    with pytest.raises(InvalidInput, match="unknown embedder"):
        Ranker("evidence", "no such embedder").rank("red", PICTURES)

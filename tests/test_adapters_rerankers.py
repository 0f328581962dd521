"""The `rerankers` library itself: its documents in, its results out."""

from __future__ import annotations

import asyncio
import base64
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rerankers", reason="the extra [rerankers] is not installed")

from rerankers.documents import Document
from rerankers.models.ranker import BaseRanker
from rerankers.results import RankedResults

from reddest import COLOURS, ORDER, encoded, reddest
from vretrver.adapters.pictures import UnreadPicture
from vretrver.adapters.rerankers import VretrverRanker
from vretrver.errors import InvalidInput
from vretrver.types import ImageRef, Query

Paint = Callable[..., str]
IMAGE: Any = "image"


def shown(colour: str, **more: Any) -> Document:
    return Document(document_type=IMAGE, base64=base64.b64encode(encoded(colour)).decode(), **more)


def ranker(root: Path | None = None) -> VretrverRanker:
    return VretrverRanker(reddest(), embedder=None, root=root)


def test_image_documents_come_back_in_order_with_their_pictures() -> None:
    given = [shown(colour, doc_id=colour, metadata={"page": at}) for at, colour in enumerate(COLOURS)]
    found = ranker().rank("red", given)
    assert isinstance(found, RankedResults) and isinstance(ranker(), BaseRanker)
    assert [one.doc_id for one in found.results] == [COLOURS[at] for at in ORDER]
    assert [(one.rank, one.score) for one in found.results] == [(1, 1), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]
    assert [one.document.base64 for one in found.results] == [given[at].base64 for at in ORDER]
    assert found.results[0].document.document_type == "image"
    assert found.results[0].page == 1 and found.results[0].confidence == 1.0
    assert found.results[3].evidence[0]["tool"] == "select_images"
    assert [one.doc_id for one in found.top_k(2)] == ["red", "purple"]
    assert found.get_score_by_docid("white") == 1 / 3
    assert given[0].metadata == {"page": 0}


def test_paths_below_the_root_and_pairs_with_text(paint: Paint, tmp_path: Path) -> None:
    for colour in COLOURS:
        paint(f"{colour}.png", colour)
    given = [Document("a square", document_type=IMAGE, image_path=f"{colour}.png") for colour in COLOURS]
    found = ranker(tmp_path).rank("red", given)
    assert [one.doc_id for one in found.results] == list(ORDER)
    assert found.results[0].document.image_path == "red.png"
    with pytest.warns(UnreadPicture, match="root="):
        assert [one.doc_id for one in ranker().rank("red", given).results] == [0, 1, 2, 3]


def test_texts_with_ids_and_metadata() -> None:
    found = ranker().rank("red", ["a boat", "a kite"], ["b", "k"], [{"n": 1}, {"n": 2}])
    assert [(one.doc_id, one.text, one.n) for one in found.results] == [("b", "a boat", 1), ("k", "a kite", 2)]
    assert [one.doc_id for one in ranker().rank("red", "a boat").results] == [0]
    assert ranker().rank("red", []).results == []


def test_given_ids_count_more_than_the_documents_own() -> None:
    given = [shown("blue", doc_id="x"), shown("red", doc_id="y")]
    assert [one.doc_id for one in ranker().rank("red", given, ["b", "r"]).results] == ["r", "b"]
    assert given[0].doc_id == "x"


@pytest.mark.parametrize("wrong", [{"doc_ids": ["a"]}, {"metadata": [{}, {}, {}]}])
def test_one_for_each_or_none(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="give one for each"):
        ranker().rank("red", ["a boat", "a kite"], **wrong)


def test_queries_with_pictures_and_the_score_of_one() -> None:
    query = Query("the same", (ImageRef(data=encoded("red")),))
    found = ranker().rank(query, [shown(colour) for colour in COLOURS])
    assert found.query == "the same" and found.results[0].doc_id == 1
    assert ranker().score(query, shown("red")) == 1.0
    assert ranker().score("red", shown("blue")) == 0.0


def test_it_is_called_as_the_librarys_own_rankers_are() -> None:
    from rerankers.models.transformer_ranker import TransformerRanker

    theirs = list(inspect.signature(TransformerRanker.rank).parameters)
    assert list(inspect.signature(VretrverRanker.rank).parameters)[:5] == [
        name for name in theirs if name != "batch_size"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library asks for the loop in an old way
        found = asyncio.run(ranker().rank_async("red", [shown(colour) for colour in COLOURS]))
    assert [one.doc_id for one in found.results] == list(ORDER)

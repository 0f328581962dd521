"""LanceDB itself: vector, full-text and hybrid searches, reranked with the pictures of a column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest
from lancedb.index import FTS

from reddest import COLOURS, ORDER, encoded, reddest
from vretrver.adapters.lancedb import VretrverReranker
from vretrver.errors import InvalidInput

Paint = Callable[..., str]
RED_FIRST = [COLOURS[at] for at in ORDER]


def table(folder: Path, image: Callable[[str], Any], kind: pa.DataType) -> Any:
    rows = {
        "id": pa.array(COLOURS),
        "text": pa.array(["a square"] * 4),
        "image": pa.array([image(colour) for colour in COLOURS], kind),
        "vector": pa.array([[1.0, at / 10] for at in range(4)], pa.list_(pa.float32(), 2)),
    }
    made = lancedb.connect(folder / "db").create_table("squares", pa.table(rows))
    made.create_index("text", config=FTS())
    return made


@pytest.fixture
def squares(tmp_path: Path) -> Any:
    return table(tmp_path, encoded, pa.binary())


def found(query: Any) -> pa.Table:
    return query.limit(10).to_arrow()


def test_vector_search(squares: Any) -> None:
    rows = found(squares.search([1.0, 0.0]).rerank(VretrverReranker(reddest()), query_string="red"))
    assert rows["id"].to_pylist() == RED_FIRST
    assert rows["image"].to_pylist() == [encoded(colour) for colour in RED_FIRST]
    assert rows["_relevance_score"].to_pylist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert "_distance" not in rows.column_names


def test_full_text_search(squares: Any) -> None:
    rows = found(squares.search("square", query_type="fts").rerank(VretrverReranker(reddest())))
    assert rows["id"].to_pylist() == RED_FIRST and "_score" not in rows.column_names


@pytest.mark.parametrize(("kept", "expected"), [("relevance", False), ("all", True)])
def test_hybrid_search(squares: Any, kept: str, expected: bool) -> None:
    query = squares.search(query_type="hybrid").vector([1.0, 0.0]).text("square")
    rows = found(query.rerank(VretrverReranker(reddest(), return_score=kept)))
    assert rows["id"].to_pylist() == RED_FIRST
    assert ("_distance" in rows.column_names and "_score" in rows.column_names) == expected


def test_paths_below_the_root(paint: Paint, tmp_path: Path) -> None:
    for colour in COLOURS:
        paint(f"photos/{colour}.png", colour)
    squares = table(tmp_path, lambda colour: f"{colour}.png", pa.string())
    reranker = VretrverReranker(reddest(), root=tmp_path / "photos")
    rows = found(squares.search([1.0, 0.0]).rerank(reranker, query_string="red"))
    assert rows["id"].to_pylist() == RED_FIRST


def test_texts_alone_and_other_names_of_columns(squares: Any) -> None:
    query = squares.search([1.0, 0.0]).select(["id", "text"])
    rows = found(query.rerank(VretrverReranker(reddest()), query_string="red"))
    assert rows["id"].to_pylist() == list(COLOURS)
    renamed = found(squares.search([1.0, 0.0])).rename_columns(["id", "words", "photo", "vector", "_distance"])
    reranker = VretrverReranker(reddest(), column="words", image_column="photo")
    assert reranker.rerank_vector("red", renamed)["id"].to_pylist() == RED_FIRST
    with pytest.raises(InvalidInput, match="neither a column 'text' nor 'image'; they have id, words, photo"):
        VretrverReranker(reddest()).rerank_vector("red", renamed)


def test_a_search_that_finds_nothing(squares: Any) -> None:
    reranker = VretrverReranker(reddest())
    rows = found(squares.search([1.0, 0.0]).where("id = 'none'").rerank(reranker, query_string="red"))
    assert len(rows) == 0 and "_relevance_score" in rows.column_names
    rows = found(squares.search("nowhere", query_type="fts").rerank(reranker))
    assert len(rows) == 0

"""Haystack itself: the component in a pipeline, saved and loaded."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
pytest.importorskip("haystack", reason="the extra [haystack] is not installed")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ByteStream
from haystack.document_stores.in_memory import InMemoryDocumentStore

from reddest import COLOURS, ORDER, encoded, reddest
from vretrver.adapters.haystack import VretrverRanker
from vretrver.adapters.pictures import UnreadPicture
from vretrver.errors import InvalidInput

Paint = Callable[..., str]


def blob(colour: str) -> Document:
    return Document(id=colour, content="a square", blob=ByteStream(encoded(colour), mime_type="image/png"))


FORMS: dict[str, Callable[[str], Document]] = {
    "blob": blob,
    "blob without a type": lambda colour: Document(id=colour, blob=ByteStream(encoded(colour))),
    "data URL": lambda colour: Document(
        id=colour, meta={"image": "data:image/png;base64," + base64.b64encode(encoded(colour)).decode()}
    ),
    "path": lambda colour: Document(id=colour, content="a square", meta={"image": f"{colour}.png"}),
    "file_path": lambda colour: Document(id=colour, content="a square", meta={"file_path": f"{colour}.png"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_documents_come_back_in_order_with_their_pictures(form: str, paint: Paint, tmp_path: Path) -> None:
    for colour in COLOURS:
        paint(f"{colour}.png", colour)
    given = [FORMS[form](colour) for colour in COLOURS]
    found = VretrverRanker(reddest(), root=tmp_path).run("red", given)["documents"]
    assert [one.id for one in found] == [COLOURS[at] for at in ORDER]
    assert [one.score for one in found] == [1, 1 / 2, 1 / 3, 1 / 4]
    for one, at in zip(found, ORDER, strict=True):
        assert one.blob == given[at].blob and one.content == given[at].content
        assert one.meta.items() >= given[at].meta.items()
        assert given[at].score is None and "confidence" not in given[at].meta
    assert found[0].meta["confidence"] == 1.0


def test_blobs_and_files_that_are_no_pictures_are_left_alone(recwarn: pytest.WarningsRecorder) -> None:
    given = [
        Document(content="about red", meta={"file_path": "about.pdf"}),
        Document(content="a page", blob=ByteStream(b"%PDF", mime_type="application/pdf")),
    ]
    assert VretrverRanker(reddest()).run("red", given)["documents"][0].content == "about red"
    assert not [one for one in recwarn if issubclass(one.category, UnreadPicture)]


def test_top_k_of_the_call_counts_more() -> None:
    ranker = VretrverRanker(reddest(), top_k=3)
    given = [blob(colour) for colour in COLOURS]
    assert len(ranker.run("red", given)["documents"]) == 3
    assert [one.id for one in ranker.run("red", given, top_k=1)["documents"]] == ["red"]
    with pytest.raises(InvalidInput, match="top_k is 0"):
        ranker.run("red", given, top_k=0)


def test_it_ranks_what_a_retriever_found_in_a_pipeline() -> None:
    store = InMemoryDocumentStore()
    store.write_documents([blob(colour) for colour in COLOURS])
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store))
    pipeline.add_component("ranker", VretrverRanker(reddest(), top_k=2))
    pipeline.connect("retriever.documents", "ranker.documents")
    found: Any = pipeline.run({"retriever": {"query": "square"}, "ranker": {"query": "red"}})
    assert [one.id for one in found["ranker"]["documents"]] == ["red", "purple"]
    assert found["ranker"]["documents"][0].blob.data == encoded("red")


def test_a_pipeline_of_names_is_saved_and_loaded(tmp_path: Path) -> None:
    pipeline = Pipeline()
    pipeline.add_component("ranker", VretrverRanker("evidence", embedder="lite", root=tmp_path, top_k=2))
    again: Any = Pipeline.loads(pipeline.dumps(), allowed_modules=[VretrverRanker.__module__]).get_component("ranker")
    assert (again.reranker, again.embedder, again.root, again.top_k) == ("evidence", "lite", str(tmp_path), 2)
    with pytest.raises(InvalidInput, match="cannot be saved"):
        VretrverRanker(reddest()).to_dict()


def test_warming_up_loads_what_is_named() -> None:
    with pytest.raises(InvalidInput, match="unknown policy"):
        VretrverRanker("nobody").warm_up()

"""LangChain itself: the compressor and the retriever in its own chains."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["LANGSMITH_TRACING"] = "false"
pytest.importorskip("langchain_core", reason="the extra [langchain] is not installed")

from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from conftest import MeanColour
from reddest import COLOURS, ORDER, encoded, reddest
from vretrver.adapters.langchain import VretrverCompressor, VretrverRetriever
from vretrver.adapters.pictures import UnreadPicture, data_url
from vretrver.ingest import build_index
from vretrver.pipeline import Pipeline
from vretrver.retriever import Retriever
from vretrver.types import Candidate, ImageRef
from vretrver.types import Document as Ours

Paint = Callable[..., str]


def documents(images: list[Any]) -> list[Document]:
    return [
        Document(id=f"d{at}", page_content="a square", metadata={"image": image, "page": at})
        for at, image in enumerate(images)
    ]


def as_data_url(colour: str) -> str:
    return "data:image/png;base64," + base64.b64encode(encoded(colour)).decode()


@pytest.mark.parametrize("form", [encoded, as_data_url])
def test_documents_come_back_in_order_with_their_pictures(form: Callable[[str], Any]) -> None:
    given = documents([form(colour) for colour in COLOURS])
    found = VretrverCompressor(reranker=reddest()).compress_documents(given, "red")
    assert [one.id for one in found] == [f"d{at}" for at in ORDER]
    assert [one.metadata["image"] for one in found] == [form(COLOURS[at]) for at in ORDER]
    assert [one.metadata["page"] for one in found] == list(ORDER)
    assert [one.metadata["relevance_score"] for one in found] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert found[0].metadata["confidence"] == 1.0
    assert found[-1].metadata["evidence"][0]["tool"] == "select_images"
    assert all("relevance_score" not in one.metadata for one in given)


def test_paths_in_metadata_are_followed_below_the_root_only(paint: Paint, tmp_path: Path) -> None:
    for colour in COLOURS:
        paint(f"photos/{colour}.png", colour)
    given = documents([f"{colour}.png" for colour in COLOURS])
    root = tmp_path / "photos"
    found = VretrverCompressor(reranker=reddest(), root=root, top_k=2).compress_documents(given, "red")
    assert [one.id for one in found] == ["d1", "d2"]
    with pytest.warns(UnreadPicture, match="root="):
        found = VretrverCompressor(reranker=reddest()).compress_documents(given, "red")
    assert [one.id for one in found] == ["d0", "d1", "d2", "d3"]  # texts alike: they stay as they came


def test_it_is_a_compressor_in_a_chain_and_awaitable() -> None:
    compressor = VretrverCompressor(reranker=reddest(), image_key="picture")
    assert isinstance(compressor, BaseDocumentCompressor)
    given = [Document(page_content="", metadata={"picture": encoded(colour)}) for colour in COLOURS]
    chain: RunnableLambda[str, Any] = RunnableLambda(lambda text: compressor.compress_documents(given, text))
    awaited = asyncio.run(compressor.acompress_documents(given, "red"))
    assert [one.metadata for one in chain.invoke("red")] == [one.metadata for one in awaited]
    assert awaited[0].metadata["picture"] == encoded("red")


def test_an_index_as_a_retriever_whose_documents_the_compressor_takes(
    paint: Paint, tmp_path: Path, embedder: MeanColour
) -> None:
    for colour in COLOURS:
        path = paint(f"photos/{colour}.png", colour)
        Path(path).with_suffix(".txt").write_text(f"a {colour} square")
    build_index(tmp_path / "photos", tmp_path / "photos.vr", embedder=embedder, ocr=False)
    pipeline = Pipeline(Retriever.open(tmp_path / "photos.vr", embedder), reddest())
    retriever = VretrverRetriever(pipeline=pipeline, k=3)
    assert isinstance(retriever, BaseRetriever)
    found = retriever.invoke("a red square")
    assert [one.id for one in found] == ["red.png", "purple.png", "white.png"]
    assert found[0].page_content == "a red square"
    assert found[0].metadata["image"] == str(tmp_path / "photos" / "red.png")
    assert found[0].metadata["relevance_score"] == 1.0
    compressor = VretrverCompressor(reranker=reddest(), root=tmp_path / "photos")
    again = compressor.compress_documents(list(reversed(found)), "a red square")
    assert [one.id for one in again] == [one.id for one in found]
    assert asyncio.run(retriever.ainvoke("a red square")) == found


def test_pictures_without_a_file_leave_as_data_urls() -> None:
    class One:
        def search(self, queries: Any, k: int, where: Any = None) -> list[list[Candidate]]:
            assert (k, where) == (50, {"year": 2026})
            image = ImageRef(data=encoded("red"))
            return [[Candidate(Ours("a", None, image, metadata={"year": 2026}), 1.0, 1)] for _query in queries]

    (found,) = VretrverRetriever(pipeline=Pipeline(One()), where={"year": 2026}).invoke("red")
    assert found.page_content == ""
    assert found.metadata["year"] == 2026
    assert found.metadata["image"] == data_url(ImageRef(data=encoded("red")))

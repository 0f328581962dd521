"""LlamaIndex itself: image nodes through its query machinery."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the extra [llamaindex] is not installed")

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MediaResource, Node, NodeWithScore, QueryBundle, TextNode

from reddest import COLOURS, ORDER, encoded, reddest
from vretrver.adapters.llama_index import VretrverPostprocessor
from vretrver.adapters.pictures import UnreadPicture
from vretrver.errors import InvalidInput

Paint = Callable[..., str]


def base64_of(colour: str) -> str:
    return base64.b64encode(encoded(colour)).decode()


def nodes(make: Callable[[str], Any]) -> list[NodeWithScore]:
    return [NodeWithScore(node=make(colour), score=0.5) for colour in COLOURS]


FORMS: dict[str, Callable[[str], Any]] = {
    "image": lambda colour: ImageNode(id_=colour, text="a square", image=base64_of(colour)),
    "image as a data URL": lambda colour: ImageNode(id_=colour, image="data:image/png;base64," + base64_of(colour)),
    "image_url": lambda colour: ImageNode(id_=colour, image_url="data:image/png;base64," + base64_of(colour)),
    "image_path": lambda colour: ImageNode(id_=colour, image_path=f"{colour}.png"),
    "resource data": lambda colour: Node(id_=colour, image_resource=MediaResource(data=encoded(colour))),
    "resource path": lambda colour: Node(id_=colour, image_resource=MediaResource(path=Path(f"{colour}.png"))),
    "metadata": lambda colour: TextNode(id_=colour, text="a square", metadata={"image": f"{colour}.png"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_nodes_come_back_in_order_with_their_pictures(form: str, paint: Paint, tmp_path: Path) -> None:
    for colour in COLOURS:
        paint(f"{colour}.png", colour)
    given = nodes(FORMS[form])
    found = VretrverPostprocessor(reranker=reddest(), root=tmp_path).postprocess_nodes(given, query_str="red")
    assert [one.node_id for one in found] == [COLOURS[at] for at in ORDER]
    assert [one.score for one in found] == [1, 1 / 2, 1 / 3, 1 / 4]
    for one, at in zip(found, ORDER, strict=True):
        before = given[at].node
        assert type(one.node) is type(before)
        for field in ("image", "image_path", "image_url", "image_resource"):
            assert getattr(one.node, field, None) == getattr(before, field, None)
        assert one.node.hash == before.hash or form in ("resource data", "resource path", "metadata")
        assert "confidence" not in before.metadata
    assert found[0].node.metadata["confidence"] == 1.0


def test_paths_out_of_a_store_are_not_followed_without_a_root(paint: Paint) -> None:
    path = paint("red.png")
    stored = Node(image_resource=MediaResource(path=Path(path))).to_json()
    given = [NodeWithScore(node=TextNode(text="a square")), NodeWithScore(node=Node.from_json(stored))]
    with pytest.warns(UnreadPicture, match="root="):
        found = VretrverPostprocessor(reranker=reddest()).postprocess_nodes(given, query_str="red")
    assert [one.node for one in found][1].node_id == given[1].node_id


def test_damaged_base64_and_urls_are_said() -> None:
    given = [
        NodeWithScore(node=ImageNode(image="%%%")),
        NodeWithScore(node=ImageNode(image_url="https://example.org/a.png")),
        NodeWithScore(node=ImageNode(image=base64_of("red"))),
    ]
    with pytest.warns(UnreadPicture) as said:
        found = VretrverPostprocessor(reranker=reddest()).postprocess_nodes(given, query_str="red")
    assert found[0].node_id == given[2].node_id
    assert "does not decode" in str(said[0].message) and "URLs are not fetched" in str(said[1].message)


def test_what_is_added_is_not_read_by_a_language_model() -> None:
    found = VretrverPostprocessor(reranker=reddest()).postprocess_nodes(nodes(FORMS["image"]), query_str="red")
    assert "evidence" in found[-1].node.metadata
    for one in found:
        assert one.node.get_content(metadata_mode="llm") == "a square"  # type: ignore[arg-type]


def test_a_query_may_have_a_picture(paint: Paint, tmp_path: Path) -> None:
    paint("red.png")
    postprocessor = VretrverPostprocessor(reranker=reddest(), root=tmp_path, top_n=1)
    (best,) = postprocessor.postprocess_nodes(nodes(FORMS["image"]), QueryBundle("the same", image_path="red.png"))
    assert best.node_id == "red"
    with pytest.raises(InvalidInput, match="leads out of"):
        postprocessor.postprocess_nodes(nodes(FORMS["image"]), QueryBundle("the same", image_path="/etc/passwd"))
    with pytest.raises(InvalidInput, match="without a query"):
        postprocessor.postprocess_nodes(nodes(FORMS["image"]))


class Kept(BaseRetriever):
    """Retrieves what it was given."""

    def __init__(self, found: list[NodeWithScore]) -> None:
        super().__init__()
        self.found = found

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self.found


def test_it_works_in_a_query_engine() -> None:
    engine = RetrieverQueryEngine.from_args(
        Kept(nodes(FORMS["image"])), llm=MockLLM(), node_postprocessors=[VretrverPostprocessor(reranker=reddest())]
    )
    answered = asyncio.run(engine.aquery("red"))
    assert [one.node_id for one in answered.source_nodes] == [COLOURS[at] for at in ORDER]
    assert all(isinstance(one.node, ImageNode) and one.node.image for one in answered.source_nodes)


def test_its_settings_are_written_without_the_objects() -> None:
    written = VretrverPostprocessor(reranker=reddest(), top_n=3).to_dict()
    assert written["class_name"] == "VretrverPostprocessor" and written["top_n"] == 3
    assert "reranker" not in written

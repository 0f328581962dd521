"""POST /v1/rerank as the clients that people have call it: Cohere's SDK, and the shapes of Jina and vLLM."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import MeanColour
from served import Served, agent, cards, data_url, png
from vretrver.server import Settings, app
from vretrver.server.answers import relevance_scores

DOCUMENTS = ["the blue boat", "a red kite", "the red kite strings"]  # share 0, 3 and 2 words with the query
QUERY = "a red kite"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cards(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(index: Path) -> Iterator[Served]:
    with Served(app(index, Settings(policy=agent(), documents=100), embedder=MeanColour())) as running:
        yield running


def rerank(server: Served, path: str = "/v1/rerank", **body: Any) -> dict[str, Any]:
    answer = server.post(path, body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def order(found: dict[str, Any]) -> list[int]:
    scores = [result["relevance_score"] for result in found["results"]]
    assert all(0 <= score <= 1 for score in scores)
    assert all(better > worse for better, worse in itertools.pairwise(scores))
    return [result["index"] for result in found["results"]]


def test_the_cohere_sdk(server: Served) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's own, about pydantic
        import cohere

        line = httpx.Client(trust_env=False)
        first = cohere.Client(api_key="any", base_url=server.url, httpx_client=line)
        second = cohere.ClientV2(api_key="any", base_url=server.url, httpx_client=line)
        for client in (first, second):
            answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS, top_n=2)
            assert [result.index for result in answer.results] == [1, 2]
            assert answer.results[0].relevance_score > answer.results[1].relevance_score > 0
            assert answer.id and answer.meta is not None
        documents = [{"text": text} for text in DOCUMENTS]
        echoed = first.rerank(model="any", query=QUERY, documents=documents, return_documents=True)
        assert [result.document and result.document.text for result in echoed.results] == [
            DOCUMENTS[at] for at in (1, 2, 0)
        ]
        line.close()


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_jinas_shape(server: Served, path: str) -> None:
    documents = [{"text": "a blue boat"}, {"image": data_url(png("red"))}, "a red kite"]
    found = rerank(server, path, model="jina-reranker-m0", query=QUERY, documents=documents, top_n=3, truncate=True)
    assert found["model"] == "jina-reranker-m0"
    assert order(found)[0] == 2 and sorted(order(found)) == [0, 1, 2]
    assert set(found["usage"]) >= {"total_tokens"}
    picture = rerank(server, query={"image": data_url(png("red"))}, documents=["a red kite", "a boat"])
    assert sorted(order(picture)) == [0, 1]


def test_vllms_shapes(server: Served) -> None:
    def image(colour: str) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": data_url(png(colour))}}

    def text(words: str) -> dict[str, Any]:
        return {"type": "text", "text": words}

    query = {"content": [text("a red"), text("kite"), image("red")]}
    pairs = [{"content": [text("a boat"), image("blue")]}, {"content": [text("a red kite"), image("green")]}]
    found = rerank(server, model="m", query=query, documents=pairs, return_documents=True)
    assert order(found) == [1, 0]
    assert found["results"][0]["document"] == pairs[1]
    older = rerank(
        server, model="m", query=QUERY, documents={"content": [text("a boat"), text("a red kite"), image("red")]}
    )
    assert order(older)[0] == 1 and sorted(order(older)) == [0, 1, 2]


def test_the_order_of_pictures_alone_is_the_embedders(server: Served) -> None:
    documents = [{"image": data_url(png(colour))} for colour in ("blue", "red", "green")]
    assert order(rerank(server, query={"image": data_url(png("red"))}, documents=documents))[0] == 1


def test_a_rerank_can_be_looked_at_by_its_id(server: Served) -> None:
    found = rerank(server, query=QUERY, documents=DOCUMENTS)
    record = server.get(f"/v1/traces/{found['id']}").json()
    assert [result["id"] for result in record["results"]] == [str(at) for at in order(found)]


def test_only_the_head_of_a_long_list_is_looked_at(index: Path) -> None:
    settings = Settings(policy=agent(), top_k=3)
    with Served(app(index, settings, embedder=MeanColour())) as server:
        found = rerank(server, query=QUERY, documents=[f"text {at}" for at in range(10)])
        assert sorted(order(found)) == list(range(10))
        record = server.get(f"/v1/traces/{found['id']}").json()
        assert [len(trace["candidates"]) for trace in record["traces"]] == [3]


def test_nothing_one_and_blank_documents_have_their_places(server: Served) -> None:
    assert order(rerank(server, query=QUERY, documents=[])) == []
    assert order(rerank(server, query=QUERY, documents=["a"])) == [0]
    assert order(rerank(server, query=QUERY, documents=["", "a red kite", " "]))[0] == 1
    assert order(rerank(server, query=QUERY, documents=["same", "same"], top_n=99)) == [0, 1]


def test_a_text_is_never_taken_for_a_path(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    file.write_bytes(png())
    found = rerank(server, query=str(file), documents=[str(file), "red.png"])
    record = server.get(f"/v1/traces/{found['id']}").json()
    assert [result["image"] for result in record["results"]] == [None, None]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"query": QUERY}, 422, "documents"),
        ({"query": QUERY, "documents": "text"}, 422, "documents"),
        ({"query": " ", "documents": ["a"]}, 422, "query: there is no word in it"),
        ({"query": QUERY, "documents": ["a"], "top_n": 0}, 422, "top_n"),
        ({"query": QUERY, "documents": [{"image": "/etc/passwd"}]}, 422, "documents.0"),
        ({"query": QUERY, "documents": ["a", {"image": "bm8gcGljdHVyZSE="}]}, 422, "documents.1: "),
        ({"query": QUERY, "documents": ["a"] * 101}, 413, "at most 100"),
        ({"query": QUERY, "documents": [{"image": data_url(png())}] * 65}, 413, "at most 64"),
        ({"query": QUERY, "documents": [{"content": []}]}, 422, "documents"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(server: Served, body: Any, status: int, says: str) -> None:
    answer = server.post("/v1/rerank", body)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_scores_stay_near_the_confidences_and_fall() -> None:
    assert relevance_scores([]) == []
    assert relevance_scores([0.9, 0.5, 0.1]) == pytest.approx([0.9, 0.5, 0.1], abs=1e-5)
    # 0.2, 0.6 contradict their order: both become their mean.
    assert relevance_scores([0.9, 0.2, 0.6]) == pytest.approx([0.9, 0.4, 0.4], abs=1e-5)
    for level in (0.0, 0.5, 1.0):
        scores = relevance_scores([level] * 5)
        assert all(better > worse for better, worse in itertools.pairwise(scores)) and 0 <= scores[-1] <= scores[0] <= 1

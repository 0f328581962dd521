"""The server as its clients meet it: searching, streaming, documents, traces, pictures, metrics, pages."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import MeanColour
from served import COLOURS, Served, agent, cards, data_url, events, png
from vretrver.budget import Budget
from vretrver.server import Settings, app
from vretrver.trace import Ranking

RED = "a plain red card"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cards(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(index: Path) -> Iterator[Served]:
    settings = Settings(policy=agent(), budget=Budget(seconds=20, calls=50))
    with Served(app(index, settings, embedder=MeanColour())) as running:
        yield running


def search(server: Served, **body: Any) -> dict[str, Any]:
    answer = server.post("/v1/search", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def fault(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"] and list(body["error"]) == ["code", "message", "param"]
    error: dict[str, Any] = body["error"]
    return error


def test_a_text_finds_its_card_and_says_how(server: Served, index: Path) -> None:
    found = search(server, text=RED, k=3)
    assert [result["rank"] for result in found["results"]] == [1, 2, 3]
    best = found["results"][0]
    assert (best["id"], best["path"], best["text"]) == ("sub/red.png", "sub/red.png", RED)
    assert best["metadata"] == {"place": 0, "kind": "light"}
    assert best["confidence"] == pytest.approx(4 / 5)
    assert found["usage"]["windows"] == 1 and found["usage"]["tool_calls"] == 1
    looked = [evidence for result in search(server, text=RED)["results"] for evidence in result["evidence"]]
    assert [evidence["tool"] for evidence in looked] == ["select_images"]
    assert str(index.parent) not in json.dumps(found)  # nobody learns where the pictures lie


@pytest.mark.parametrize("form", ["data-url", "base64", "upload"])
def test_a_picture_finds_itself_however_it_comes(server: Served, form: str) -> None:
    blue = png("blue")
    if form == "upload":
        files = [("images", ("any.png", blue, "image/png"))]
        answer = server.post("/v1/search", data={"k": "1", "policy": "false"}, files=files)
        assert answer.status_code == 200
        found = answer.json()
    else:
        given = data_url(blue) if form == "data-url" else base64.b64encode(blue).decode()
        found = search(server, images=[given], k=1, policy=False)
    assert [result["id"] for result in found["results"]] == ["blue.png"]
    assert found["query"]["images"][0]["bytes"].startswith("bytes:")


def test_both_text_and_picture(server: Served) -> None:
    found = search(server, text="green", images=[data_url(png("blue"))], k=2, policy=True)
    assert found["results"][0]["id"] == "green.png"  # the agent goes by words
    assert found["query"]["text"] == "green" and len(found["query"]["images"]) == 1


def test_without_the_agent_the_coarse_order_stands_and_nothing_is_traced(server: Served) -> None:
    found = search(server, text=RED, policy=False)
    assert found["trace"] is None and found["usage"]["policy_calls"] == 0
    assert [result["coarse_rank"] for result in found["results"]] == [1, 2, 3, 4, 5, 6]


def test_filters_keep_what_they_say(server: Served) -> None:
    assert {r["id"] for r in search(server, text="card", where={"kind": "dark"})["results"]} == {
        "black.png",
        "blue.png",
    }
    assert [r["id"] for r in search(server, text="card", where={"place": {">=": 5}})["results"]] == ["white.png"]
    ids = [r["id"] for r in search(server, text="card", where={"id": ["green.png"]})["results"]]
    assert ids == ["green.png"]
    nothing = search(server, text="card", where={"kind": "none"})
    assert nothing["results"] == [] and nothing["no_match"] is True


def test_a_budget_bounds_the_request_within_the_operators(server: Served) -> None:
    starved = search(server, text=RED, budget={"calls": 0})
    assert starved["partial"] is True and starved["usage"]["policy_calls"] == 0
    assert search(server, text=RED, budget={"calls": 10**6})["partial"] is False
    assert "prices" in fault(server.post("/v1/search", {"text": RED, "budget": {"money": 1}}), 422)["message"]


def test_the_stream_gives_coarse_results_at_once_then_the_way_then_the_ranking(server: Served) -> None:
    answer = server.post("/v1/search/stream", {"text": RED, "k": 3})
    assert answer.headers["content-type"].startswith("text/event-stream")
    seen = events(answer.text)
    assert [kind for kind, _ in seen] == ["coarse", "progress", "progress", "ranking"]
    coarse, before, after, ranking = (data for _, data in seen)
    assert coarse["usage"]["policy_calls"] == 0 and len(coarse["results"]) == 3
    assert (before["windows"], before["asked"], len(before["looking"][0])) == (0, 1, 6)
    assert before["order"] == [result["id"] for result in coarse["results"]]
    assert after["windows"] == 1 and after["looking"] == []
    assert after["order"] == [result["id"] for result in ranking["results"]]
    assert ranking["results"][0]["id"] == "sub/red.png" and ranking["trace"].startswith("/v1/traces/")


def test_a_trace_can_be_read_again_and_looked_at(server: Served, index: Path) -> None:
    url = search(server, text=RED)["trace"]
    record = server.get(url).json()
    shown = server.get(url, params={"pictures": True}).json()
    assert len(shown["pictures"]) == 6 and record["pictures"] == {}
    ranking = Ranking.from_record({k: v for k, v in record.items() if k not in ("pictures", "originals")})
    assert ranking.ids[0] == "sub/red.png" and ranking.traces[0].policy == "scripted"
    page = server.get(url.removeprefix("/v1"))
    assert page.headers["content-type"].startswith("text/html") and "Content-Security-Policy" in page.text
    for text in (json.dumps(record), json.dumps(shown), page.text):
        assert str(index.parent) not in text
    assert "only the latest" in fault(server.get("/v1/traces/unknown"), 404)["message"]


def test_only_the_latest_traces_are_kept(index: Path) -> None:
    with Served(app(index, Settings(policy=agent(), traces=2), embedder=MeanColour())) as small:
        urls = [search(small, text=RED)["trace"] for _ in range(3)]
        assert [small.get(url).status_code for url in urls] == [404, 200, 200]


def test_pictures_come_by_id_and_nothing_else_does(server: Served, index: Path) -> None:
    best = search(server, text=RED, k=1)["results"][0]
    for url, size in ((best["thumbnail"], (64, 48)), (best["image"], (64, 48)), (best["image"] + "?side=16", (16, 12))):
        answer = server.get(url)
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size == size
    assert server.get("/v1/documents/sub/red.png/thumbnail").status_code == 200  # a slash as it is, too
    secret = index.parent / "secret.png"
    secret.write_bytes(png())
    for name in ("..%2Fsecret.png", str(secret).replace("/", "%2F"), "sub%2F..%2Fred.png", "none.png"):
        fault(server.get(f"/v1/documents/{name}/image"), 404)
        fault(server.get(f"/v1/documents/{name}/thumbnail"), 404)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "empty"),
        ({"text": " "}, "empty"),
        ({"text": "\x1a\x81\u205f\n"}, "empty"),
        ({"text": RED, "k": 0}, "k: "),
        ({"text": RED, "kk": 1}, "kk: "),
        ({"text": RED, "where": {"place": {"~": 1}}}, "where"),
        ({"text": "a" * 20_001}, "20000"),
        ({"images": ["/etc/passwd"]}, "Paths are not read"),
        ({"images": ["red.png"]}, "Paths are not read"),
        ({"images": ["file:///etc/passwd"]}, "images.0"),
        ({"images": ["data:text/html;base64,AAAA"]}, "data:image/jpeg"),
        ({"images": [base64.b64encode(b"no picture at all").decode()]}, "not a picture"),
        ({"images": [data_url(png()[:-30])]}, "images.0"),
        ({"images": ["http://127.0.0.1/a.png"]}, "--fetch-from"),
        ([1], "valid"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(server: Served, body: Any, says: str) -> None:
    assert says in fault(server.post("/v1/search", body), 422)["message"]


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000, b'{"k": NaN}', b'{"k": ' + b"9" * 5000 + b"}"])
def test_what_is_not_json_is_told_so(server: Served, text: bytes) -> None:
    answer = server.post("/v1/search", content=text, headers={"Content-Type": "application/json"})
    assert fault(answer, 400)["code"] == "bad_json"


def test_json_that_grows_when_it_is_parsed_is_not_parsed(server: Served) -> None:
    text = b'{"text": [' + b"[]," * 300_000 + b"[]]}"
    answer = server.post("/v1/search", content=text, headers={"Content-Type": "application/json"})
    assert fault(answer, 413)["code"] == "too_large"


def test_strange_text_is_no_server_error(server: Served) -> None:
    headers = {"Content-Type": "application/json"}
    for text in (b'{"text": "\\ud800"}', b'{"text": "a\\u0000b"}', b'{"text": "\\ud83d\\ude00"}'):
        assert server.post("/v1/search", content=text, headers=headers).status_code in (200, 422)
    assert server.get("/v1/documents/%ff%00/image").status_code == 404
    assert fault(server.post("/v1/search", content=b"a=b"), 415)["code"] == "unsupported_type"


def test_a_server_without_an_agent_says_so(index: Path) -> None:
    with Served(app(index, Settings(policy="none"), embedder=MeanColour())) as plain:
        assert len(search(plain, text=RED)["results"]) == 6
        assert fault(plain.post("/v1/search", {"text": RED, "policy": True}), 422)["code"] == "no_policy"
        kinds = [kind for kind, _ in events(plain.post("/v1/search/stream", {"text": RED}).text)]
        assert kinds == ["coarse", "ranking"]
        ranked = plain.post("/v1/rerank", {"query": "x", "documents": ["a", "x"]}).json()["results"]
        assert {one["index"] for one in ranked} == {0, 1}


def test_health_metrics_and_pages(server: Served) -> None:
    search(server, text=RED)
    assert server.get("/health").json()["documents"] == len(COLOURS)
    metrics = server.get("/metrics").text
    assert 'vretrver_requests_total{method="POST",route="/v1/search",status="200"}' in metrics
    assert f"vretrver_documents {len(COLOURS)}.0" in metrics and "vretrver_windows_total" in metrics
    server.get("/v1/documents/no-label-of-mine/image")
    assert "no-label-of-mine" not in server.get("/metrics").text
    for page in ("/", "/docs"):
        answer = server.get(page)
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "http://" not in answer.text and "https://" not in answer.text  # nothing from elsewhere
    if find_spec("fastapi_offline") is not None:
        assert server.get("/static/docs/swagger-ui-bundle.js").status_code == 200
    document = server.get("/openapi.json").json()
    assert {"/v1/search", "/v1/search/stream", "/v1/rerank", "/v1/documents"} <= set(document["paths"])
    assert fault(server.get("/nothing"), 404)["code"] == "not_found"
    assert fault(server.get("/v1/search"), 405)["code"] == "method_not_allowed"

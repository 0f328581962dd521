"""Who may ask and how much may come: token, Host, Origin, sizes, times, the queue."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import MeanColour
from served import Served, agent, cards, data_url, png, shares_words
from vretrver.errors import InvalidInput
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.server import Settings, app
from vretrver.server.auth import Bearer, Doors
from vretrver.server.settings import token_for

TOKEN = "a-secret-of-decent-length"
RED = {"text": "a plain red card"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cards(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def guarded(index: Path) -> Iterator[Served]:
    settings = Settings(
        policy="none",
        token=TOKEN,
        hosts=("127.0.0.1", "photos.example"),
        origins=("https://app.example",),
        body_bytes=50_000,
        body_seconds=1,
        image_pixels=10_000,
        image_bytes=20_000,
        images=2,
        writable=False,
    )
    with Served(app(index, settings, embedder=MeanColour())) as running:
        running.client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield running


def code(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    said: str = answer.json()["error"]["code"]
    return said


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer \xe9"]
)
def test_nothing_is_told_without_the_token(guarded: Served, sent: str | None) -> None:
    headers = [] if sent is None else [(b"authorization", sent.encode("latin-1"))]
    with httpx.Client(base_url=guarded.url, trust_env=False) as client:
        for path in ("/v1/traces/a", "/metrics", "/v1/documents/green.png/image", "/traces/a", "/nothing"):
            answer = client.get(path, headers=headers)
            assert code(answer, 401) == "unauthorized" and answer.headers["www-authenticate"].startswith("Bearer")
        assert code(client.post("/v1/search", json=RED, headers=headers), 401)
        for path in ("/", "/health", "/docs", "/openapi.json", "/static/docs-start.js"):
            assert client.get(path, headers=headers).status_code == 200


def test_the_token_opens(guarded: Served) -> None:
    assert guarded.post("/v1/search", RED).status_code == 200
    assert guarded.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
    with httpx.Client(base_url=guarded.url, trust_env=False) as client:
        assert client.get("/metrics", headers=twice).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "photos.example@evil.example", "", "127.0.0.1:x", "localhost"]
)
def test_a_strange_host_is_refused(guarded: Served, host: str) -> None:
    assert code(guarded.get("/health", headers={"Host": host}), 403) == "host_not_allowed"


@pytest.mark.parametrize("host", ["photos.example", "PHOTOS.example:8080", "127.0.0.1"])
def test_the_servers_own_names_are_not(guarded: Served, host: str) -> None:
    assert guarded.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "https://app.example.evil.example", "file://"]
)
def test_pages_elsewhere_may_not_call(guarded: Served, origin: str) -> None:
    answer = guarded.post("/v1/search", RED, headers={"Origin": origin})
    assert code(answer, 403) == "origin_not_allowed"
    assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_pages_and_named_ones_may(guarded: Served) -> None:
    assert guarded.post("/v1/search", RED, headers={"Origin": guarded.url}).status_code == 200
    allowed = {"Origin": "https://app.example"}
    assert guarded.post("/v1/search", RED, headers=allowed).headers["access-control-allow-origin"] == allowed["Origin"]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with httpx.Client(base_url=guarded.url, trust_env=False) as client:  # a preflight carries no token
        assert client.options("/v1/search", headers=allowed | asked).status_code == 200


@given(st.lists(st.tuples(st.sampled_from([b"host", b"origin", b"authorization", b"cookie"]), st.binary(max_size=40))))
def test_no_header_is_more_than_refused(headers: list[tuple[bytes, bytes]]) -> None:
    came: list[Any] = []

    async def inside(*_call: Any) -> None:
        came.append("inside")

    async def send(message: Any) -> None:
        came.append(message.get("status"))

    async def receive() -> Any:
        return {"type": "http.request"}

    settings = Settings(policy="none", token=TOKEN)
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers}
    asyncio.run(Doors(Bearer(inside, settings), settings)(scope, receive, send))
    assert came[0] in (401, 403)


def test_every_answer_is_protected(guarded: Served) -> None:
    answers = [guarded.get("/"), guarded.get("/nothing"), guarded.get("/health", headers={"Host": "x"})]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_sizes_are_bounded(guarded: Served) -> None:
    assert code(guarded.post("/v1/search", {"text": "a" * 60_000}), 413) == "too_large"

    def pieces() -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(30):
            yield b"a" * 4000

    headers = {"Content-Type": "application/json"}
    assert code(guarded.post("/v1/search", content=pieces(), headers=headers), 413) == "too_large"
    assert code(guarded.post("/v1/search", {"images": [data_url(png(size=(101, 100)))]}), 422) == "bad_image"
    assert code(guarded.post("/v1/search", {"images": ["A" * 28_000]}), 413) == "too_large"
    assert code(guarded.post("/v1/search", {"images": [data_url(png())] * 3}), 413) == "too_many_images"
    files = [("images", (f"{at}.png", png(), "image/png")) for at in range(3)]
    assert guarded.post("/v1/search", data={"k": "1"}, files=files).status_code in (400, 413)
    assert guarded.get("/health").status_code == 200


def test_a_body_that_trickles_is_cut_off(guarded: Served) -> None:
    head = (
        f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as line:
        line.sendall(head.encode())
        started = time.monotonic()
        assert line.recv(100).startswith(b"HTTP/1.1 408")
        assert 0.5 < time.monotonic() - started < 5


def test_a_server_that_only_reads(guarded: Served) -> None:
    assert code(guarded.post("/v1/documents", {"documents": [{"id": "a", "text": "a"}]}), 403) == "read_only"
    assert code(guarded.delete("/v1/documents", params={"id": "green.png"}), 403) == "read_only"


def test_a_full_queue_says_when_to_come_back(index: Path) -> None:
    going, may_go = threading.Event(), threading.Event()

    def waits(conversation: Conversation) -> Completion:
        going.set()
        assert may_go.wait(20)
        return shares_words(conversation)

    settings = Settings(policy=ScriptedPolicy(waits), queue=2, workers=1, batch=1)
    with Served(app(index, settings, embedder=MeanColour())) as server, ThreadPoolExecutor(3) as pool:
        body = {"query": "a", "documents": ["a", "b"]}
        running = [pool.submit(server.post, "/v1/rerank", body)]
        assert going.wait(10)
        running += [pool.submit(server.post, "/v1/rerank", body) for _ in range(2)]
        deadline = time.monotonic() + 10
        while "vretrver_queue 2.0" not in server.get("/metrics").text and time.monotonic() < deadline:
            time.sleep(0.02)
        refused = server.post("/v1/rerank", body)
        assert code(refused, 429) == "busy" and 1 <= int(refused.headers["retry-after"]) <= 60
        found = server.post("/v1/search", RED | {"policy": False})  # who asks for no agent need not wait for one
        assert found.status_code == 200
        may_go.set()
        assert [answer.result().status_code for answer in running] == [200, 200, 200]


def test_a_request_is_given_up_when_its_time_is_over(index: Path) -> None:
    done = threading.Event()

    def sleeps(conversation: Conversation) -> Completion:
        done.wait(5)
        return shares_words(conversation)

    with Served(app(index, Settings(policy=ScriptedPolicy(sleeps), seconds=0.3), embedder=MeanColour())) as server:
        assert code(server.post("/v1/search", RED), 503) == "timeout"
        done.set()
        assert server.get("/health").status_code == 200


def test_a_policy_that_fails_loses_no_answer(index: Path) -> None:
    def fails(_conversation: Conversation) -> Completion:
        raise RuntimeError("no such luck")

    with Served(app(index, Settings(policy=ScriptedPolicy(fails)), embedder=MeanColour())) as server:
        found = server.post("/v1/search", RED).json()
        assert len(found["results"]) == 6
        record = server.get(found["trace"]).json()
        assert record["traces"][0]["stop"] == "policy_error"


def test_a_token_is_required_where_others_can_reach_the_server() -> None:
    assert token_for("127.0.0.1", {}) is None and token_for("::1", {}) is None and token_for("localhost", {}) is None
    assert token_for("0.0.0.0", {"VRETRVER_TOKEN": TOKEN}) == TOKEN
    for host in ("0.0.0.0", "::", "192.168.1.5", "photos.example"):
        with pytest.raises(InvalidInput, match="VRETRVER_TOKEN"):
            token_for(host, {})


@pytest.mark.parametrize(
    "wrong",
    [{"queue": 0}, {"seconds": -1.0}, {"token": "short"}, {"token": "with a blank in the middle"}, {"hosts": ("a/b",)},
     {"origins": ("app.example",)}, {"origins": ("https://app.example/path",)}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Settings(**wrong)


def test_settings_do_not_show_the_token() -> None:
    assert TOKEN not in repr(Settings(token=TOKEN))


def test_an_agent_that_is_a_name_is_loaded_and_an_unknown_one_refused(index: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown policy"):
        app(index, Settings(policy="nobody"), embedder=MeanColour())
    assert app(index, Settings(policy=agent()), embedder=MeanColour()) is not None

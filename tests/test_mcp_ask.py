"""The MCP tool `ask`, driven by the SDK's own client, and the token over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra [mcp] is not installed")

import anyio
from mcp import Client
from mcp.types import TextContent

from conftest import MeanColour, Paint
from vretrver.answering import Writer
from vretrver.budget import Budget
from vretrver.errors import InvalidInput
from vretrver.ingest import build_index
from vretrver.mcp_server import Searcher, build_server
from vretrver.messages import Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import Wire
from vretrver.reranker import Reranker

TOKEN = "a-token-of-some-length"


@pytest.fixture
def index(tmp_path: Path, paint: Paint, embedder: MeanColour) -> Path:
    for colour in ("red", "blue"):
        path = Path(paint(f"photos/{colour}.png", colour, size=(400, 300)))
        path.with_suffix(".txt").write_text(f"a {colour} square", encoding="utf-8")
    build_index(tmp_path / "photos", tmp_path / "photos.vr", embedder=embedder, ocr=False)
    return tmp_path / "photos.vr"


def says(conversation: Conversation) -> str:
    if "fail" in (conversation.window.query.text or ""):
        raise ValueError("http://10.0.0.7:8000 is down")
    return "<answer>It is red [1: 0,0,500,1000] [5].</answer>"


def test_a_question_is_answered_with_ids_and_boxes(index: Path, embedder: MeanColour) -> None:
    rankers = ScriptedPolicy(["<answer>[1, 2]</answer>"])
    writer = Writer(ScriptedPolicy(says), wire=Wire(boxes="0-1000"), budget=Budget(calls=2))
    searcher = Searcher(index, Reranker(rankers), embedder=embedder, writer=writer)

    async def use(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["search_images", "rerank", "inspect", "ask"]
        assert tools["ask"].input_schema["required"] == ["question"]
        told = (await client.call_tool("ask", {"question": "which is red?", "like": "red.png"})).structured_content
        assert isinstance(told, dict)
        assert told["answer"] == "It is red [1]."
        first = {"source": 1, "id": told["sources"][0], "box": [0, 0, 200, 300], "quote": None}
        assert told["citations"] == [first]
        assert told["repairs"] == ["dropped the citation [5]: the sources are 1 to 2"]
        assert sorted(told["sources"]) == ["blue.png", "red.png"]
        failed = await client.call_tool("ask", {"question": "fail"})
        assert isinstance(failed.structured_content, dict) and failed.structured_content["failed"]
        assert "10.0.0.7" not in json.dumps(failed.structured_content)
        (part,) = failed.content
        assert isinstance(part, TextContent) and part.text.startswith("There is no answer")
        refused = await client.call_tool("ask", {"question": ""})
        assert refused.is_error

    async def conversation() -> None:
        async with Client(build_server(searcher)) as client:
            await use(client)

    anyio.run(conversation)
    assert len(rankers.seen) == 2  # one call of a question's two was left to the ranking


def test_a_token_that_is_no_secret_is_refused(index: Path, embedder: MeanColour) -> None:
    with pytest.raises(InvalidInput, match="the token needs 16 to 512"):
        build_server(Searcher(index, None, embedder=embedder), "short")


def test_over_http_the_token_is_asked_for(tmp_path: Path, paint: Paint) -> None:
    paint("photos/red.png", "red")
    build_index(tmp_path / "photos", tmp_path / "photos.vr", ocr=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["mcp", str(tmp_path / "photos.vr"), "--policy", "none", "--http", "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-m", "vretrver.cli", *words], env=os.environ | {"VRETRVER_TOKEN": TOKEN}
    )
    try:
        wait_for(port)
        assert status(port, None) == 401
        assert status(port, "Bearer another-token-of-that-length") == 401
        assert status(port, f"Bearer {TOKEN}") == 200
    finally:
        server.terminate()
        server.wait(10)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not come up")


def status(port: int, token: str | None) -> int:
    ping: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    headers |= {"Authorization": token} if token else {}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/mcp", json.dumps(ping).encode(), headers)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as fault:
        return fault.code

"""The MCP server, driven by the SDK's own client: in process, as a command over stdio, and over HTTP."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mcp", reason="the extra [mcp] is not installed")

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ImageContent, TextContent

from conftest import MeanColour, Paint
from reddest import COLOURS, Reddest, encoded, reddest
from vretrver.cli import main
from vretrver.images import open_image
from vretrver.ingest import build_index
from vretrver.mcp_server import Searcher, build_server
from vretrver.mcp_server.searcher import IDS, IMAGE_BYTES, RESULTS, WAITING
from vretrver.messages import Completion, Conversation
from vretrver.reranker import Reranker
from vretrver.types import ImageRef

Use = Callable[[Client], Awaitable[None]]
BY_REDNESS = ["red.png", "purple.png", "white.png", "blue.png"]


@pytest.fixture
def photos(tmp_path: Path, paint: Paint, embedder: MeanColour) -> Path:
    """Four squares, one quarter of the red one yellow; a text; and their index."""
    for colour in COLOURS:
        path = Path(paint(f"photos/{colour}.png", colour, size=(400, 300)))
        path.with_suffix(".txt").write_text(f"a {colour} square", encoding="utf-8")
    with Image.open(tmp_path / "photos/red.png") as red:
        red.paste("yellow", (200, 150, 400, 300))
        red.save(tmp_path / "photos/red.png")
    reindex(tmp_path, embedder)
    return tmp_path / "photos"


def reindex(folder: Path, embedder: MeanColour) -> None:
    build_index(folder / "photos", folder / "photos.vr", embedder=embedder, ocr=False)


def talk(searcher: Searcher, use: Use) -> None:
    async def conversation() -> None:
        async with Client(build_server(searcher)) as client:
            await use(client)

    anyio.run(conversation)


@pytest.fixture
def searcher(photos: Path, embedder: MeanColour) -> Searcher:
    return Searcher(photos.with_suffix(".vr"), reddest(), embedder=embedder)


def pictures(result: CallToolResult) -> list[Image.Image]:
    found = [part for part in result.content if isinstance(part, ImageContent)]
    assert all(part.type == "image" and part.mime_type == "image/jpeg" for part in found)
    return [open_image(ImageRef(data=base64.b64decode(part.data))) for part in found]


def structured(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def refusal(result: CallToolResult) -> str:
    assert result.is_error
    (part,) = result.content
    assert isinstance(part, TextContent)
    return part.text


def near(picture: Image.Image, colour: tuple[int, int, int], at: tuple[int, int] | None = None) -> bool:
    pixel = np.array(picture.getpixel(at or (picture.width // 2, picture.height // 2)), int)
    return bool(np.abs(pixel - np.array(colour)).max() < 12)


# -- searching ----------------------------------------------------------------------------------------------------


def test_the_tools_say_what_they_take_and_give(searcher: Searcher) -> None:
    async def use(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["search_images", "rerank", "inspect"]
        for tool in tools.values():
            assert tool.description and tool.output_schema
            assert tool.annotations and tool.annotations.read_only_hint and not tool.annotations.open_world_hint
        k = tools["search_images"].input_schema["properties"]["k"]
        assert (k["minimum"], k["maximum"], k["default"]) == (1, RESULTS, 5)
        assert tools["rerank"].input_schema["properties"]["ids"]["maxItems"] == IDS
        assert tools["inspect"].input_schema["required"] == ["id"]
        assert "4 pictures" in str(client.instructions)

    talk(searcher, use)


def test_search_gives_ids_evidence_and_pictures(searcher: Searcher) -> None:
    async def use(client: Client) -> None:
        result = await client.call_tool("search_images", {"query": "a red square", "k": 3, "pictures": 2})
        answer = structured(result)
        assert [one["id"] for one in answer["results"]] == BY_REDNESS[:3]
        assert [one["picture"] for one in answer["results"]] == [0, 1, None]
        assert answer["results"][0]["size"] == [400, 300]
        assert answer["results"][0]["text"] == "a red square"
        looked = [look for one in answer["results"] for look in one["evidence"]]
        assert all(look["tool"] == "select_images" and look["box"] is None for look in looked)
        assert not answer["no_match"] and not answer["partial"] and not answer["failed"]
        red, purple = pictures(result)
        assert red.size == (384, 288) and near(red, (255, 0, 0), (20, 20)) and near(purple, (128, 0, 128))
        (said,) = [part.text for part in result.content[:1] if isinstance(part, TextContent)]
        assert said.startswith("1. red.png (confidence")

    talk(searcher, use)


def test_queries_by_a_picture_of_the_index_or_one_brought_along(photos: Path, embedder: MeanColour) -> None:
    coarse = Searcher(photos.with_suffix(".vr"), None, embedder=embedder)
    data = base64.b64encode(encoded("purple")).decode()

    async def use(client: Client) -> None:
        for query in ({"like": "purple.png"}, {"image": data}, {"image": "data:image/png;base64," + data}):
            answer = structured(await client.call_tool("search_images", {**query, "k": 1, "pictures": 0}))
            assert [one["id"] for one in answer["results"]] == ["purple.png"]

    talk(coarse, use)


def test_filters_and_searches_without_looking(searcher: Searcher) -> None:
    async def use(client: Client) -> None:
        where = {"id": ["blue.png", "white.png"]}
        answer = structured(await client.call_tool("search_images", {"query": "red", "where": where, "look": False}))
        assert {one["id"] for one in answer["results"]} == {"blue.png", "white.png"}
        assert not any(one["evidence"] for one in answer["results"])
        wrong = await client.call_tool("search_images", {"query": "red", "where": {"id": {"~": 1}}})
        assert "unknown operator" in refusal(wrong)

    talk(searcher, use)


def test_rerank_ranks_all_that_are_named_once(searcher: Searcher) -> None:
    async def use(client: Client) -> None:
        ids = ["blue.png", "purple.png", "red.png", "blue.png"]
        result = await client.call_tool("rerank", {"ids": ids, "query": "red"})
        assert [one["id"] for one in structured(result)["results"]] == ["red.png", "purple.png", "blue.png"]
        assert pictures(result) == []
        unknown = await client.call_tool("rerank", {"ids": ["red.png", "none.png"], "query": "red"})
        assert "no document 'none.png'" in refusal(unknown)

    talk(searcher, use)


# -- inspecting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "side", "expected", "shown", "colour"),
    [
        (None, 200, [0, 0, 400, 300], [200, 150], (255, 0, 0)),
        ([0, 0, 100, 50], 400, [0, 0, 100, 50], [400, 200], (255, 0, 0)),
        ([0.5, 0.5, 1, 1], 200, [200, 150, 400, 300], [200, 150], (255, 255, 0)),
        ([300, 200, 9000, 9000], 100, [300, 200, 400, 300], [100, 100], (255, 255, 0)),
        ([399.5, 299.5, 400, 300], 768, [399, 299, 400, 300], [8, 8], (255, 255, 0)),
    ],
)
def test_inspect_cuts_from_the_original(
    searcher: Searcher, box: Any, side: int, expected: list[int], shown: list[int], colour: tuple[int, int, int]
) -> None:
    async def use(client: Client) -> None:
        result = await client.call_tool("inspect", {"id": "red.png", "box": box, "side": side})
        assert structured(result) == {"id": "red.png", "size": [400, 300], "box": expected, "shown": shown}
        (picture,) = pictures(result)
        assert list(picture.size) == shown
        assert near(picture, colour, (5, 5))

    talk(searcher, use)


def test_what_is_refused_and_why(searcher: Searcher, photos: Path) -> None:
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("inspect", {"id": "../../etc/passwd"}, "there is no document"),
        ("inspect", {"id": str(photos / "red.png")}, "there is no document"),
        ("inspect", {"id": "red.png", "box": [1, 2, 3]}, "at least 4 items"),
        ("inspect", {"id": "red.png", "box": [9, 9, 2, 2]}, "no region of a picture of 400x300"),
        ("inspect", {"id": "red.png", "box": [1e300, 0, 2e300, 5]}, "four finite numbers"),
        ("inspect", {"id": "red.png", "side": 5000}, "less than or equal to 1568"),
        ("search_images", {}, "the query is empty"),
        ("search_images", {"query": "x" * 2001}, "at most 2000 characters"),
        ("search_images", {"query": "red", "k": 21}, "less than or equal to 20"),
        ("search_images", {"query": "red", "like": "none.png"}, "there is no document"),
        ("search_images", {"image": str(photos / "red.png")}, "paths and URLs are not read"),
        ("search_images", {"image": "https://example.org/a.png"}, "paths and URLs are not read"),
        ("search_images", {"image": base64.b64encode(b"no picture").decode()}, "not a picture"),
        ("search_images", {"image": "A" * (IMAGE_BYTES * 4 // 3 + 101)}, "at most"),
        ("rerank", {"ids": [], "query": "red"}, "at least 1 item"),
        ("rerank", {"ids": ["red.png"] * 51, "query": "red"}, "at most 50 items"),
    ]

    async def use(client: Client) -> None:
        for tool, arguments, says in refused:
            said = refusal(await client.call_tool(tool, arguments))
            assert says in said, (tool, arguments, said)
            assert "Traceback" not in said

    talk(searcher, use)


def test_a_picture_that_is_gone_names_no_path_and_loses_no_search(searcher: Searcher, photos: Path) -> None:
    (photos / "white.png").unlink()

    async def use(client: Client) -> None:
        for tool, arguments in (("inspect", {"id": "white.png"}), ("search_images", {"like": "white.png"})):
            said = refusal(await client.call_tool(tool, arguments))
            assert "cannot be read" in said and str(photos) not in said
        result = await client.call_tool("search_images", {"query": "a white square", "pictures": 5})
        assert len(structured(result)["results"]) == len(pictures(result)) == 4  # its stored thumbnail is shown

    talk(searcher, use)


def test_no_answer_names_a_path(searcher: Searcher, photos: Path) -> None:
    async def use(client: Client) -> None:
        for tool, arguments in (
            ("search_images", {"query": "red"}),
            ("rerank", {"ids": ["red.png", "blue.png"], "like": "red.png"}),
            ("inspect", {"id": "red.png"}),
        ):
            assert str(photos.parent) not in (await client.call_tool(tool, arguments)).model_dump_json()

    talk(searcher, use)


def test_texts_are_held_short_and_metadata_too(tmp_path: Path, embedder: MeanColour) -> None:
    rows = [
        {"id": "long", "text": "word " * 5000, "note": "x" * 3000},
        {"id": "short", "text": "two\nlines", "year": 2026},
    ]
    listing = tmp_path / "rows.jsonl"
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    build_index(listing, tmp_path / "texts.vr", embedder=embedder, ocr=False)

    async def use(client: Client) -> None:
        result = await client.call_tool("search_images", {"query": "word"})
        found = {one["id"]: one for one in structured(result)["results"]}
        assert len(found["long"]["text"]) == 2000 and found["long"]["metadata"] is None
        assert found["short"]["metadata"] == {"year": 2026} and found["short"]["size"] is None
        assert "   two lines" in str(result.content[0]) and len(result.model_dump_json()) < 8000
        assert "has no picture" in refusal(await client.call_tool("inspect", {"id": "short"}))

    talk(Searcher(tmp_path / "texts.vr", reddest(), embedder=embedder), use)


# -- an index that changes, many calls ----------------------------------------------------------------------------


def test_changes_of_the_index_are_seen_by_the_next_call(
    searcher: Searcher, photos: Path, paint: Paint, embedder: MeanColour
) -> None:
    async def use(client: Client) -> None:
        assert "no document" in refusal(await client.call_tool("inspect", {"id": "green.png"}))
        paint("photos/green.png", "green")
        (photos / "blue.png").unlink()
        (photos / "blue.txt").unlink()
        reindex(photos.parent, embedder)
        (picture,) = pictures(await client.call_tool("inspect", {"id": "green.png"}))
        assert near(picture, (0, 128, 0))
        answer = structured(await client.call_tool("search_images", {"query": "a square"}))
        assert {one["id"] for one in answer["results"]} == {"red.png", "purple.png", "white.png", "green.png"}

    talk(searcher, use)
    assert len(searcher) == 4


class Slow(Reddest):
    """Answers when it is allowed to; counts who is inside at once."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.inside = self.most = 0

    def complete(self, conversations):  # type: ignore[no-untyped-def]
        self.inside += 1
        self.most = max(self.most, self.inside)
        assert self.go.wait(20)
        self.inside -= 1
        return super().complete(conversations)


def test_one_call_at_a_time_and_a_bounded_queue(photos: Path, embedder: MeanColour) -> None:
    policy = Slow()
    slow = Searcher(photos.with_suffix(".vr"), Reranker(policy), embedder=embedder)
    results: list[CallToolResult] = []

    async def use(client: Client) -> None:
        async def call() -> None:
            results.append(await client.call_tool("search_images", {"query": "red", "pictures": 0}))
            if len(results) == 3:  # the three that found no place
                policy.go.set()

        async with anyio.create_task_group() as calls:
            for _ in range(WAITING + 3):
                calls.start_soon(call)

    talk(slow, use)
    assert policy.most == 1
    assert all("calls are waiting already" in refusal(one) for one in results[:3])
    assert all(structured(one)["results"][0]["id"] == "red.png" for one in results[3:])


class Broken:
    name = "broken"

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        raise RuntimeError("secret of the operator")


def test_a_policy_that_fails_leaves_the_coarse_order(
    photos: Path, embedder: MeanColour, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(client: Client) -> None:
        result = await client.call_tool("search_images", {"query": "a red square"})
        assert len(structured(result)["results"]) == 4 and structured(result)["failed"]
        assert "The agent failed" in str(result.content[0]) and "secret" not in result.model_dump_json()

    talk(Searcher(photos.with_suffix(".vr"), Reranker(Broken()), embedder=embedder), use)
    assert "the agent failed: RuntimeError: secret of the operator" in caplog.text


# -- the command --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An index that the packaged embedder made, as the command line needs it."""
    folder = tmp_path_factory.mktemp("mcp") / "photos"
    folder.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (400, 300), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(f"a {colour} square", encoding="utf-8")
    path = str(folder.with_suffix(".vr"))
    assert main(["index", str(folder), "-o", path, "--no-ocr"]) == 0
    return path


async def searches_and_zooms(client: Client) -> None:
    result = await client.call_tool("search_images", {"query": "a red square", "k": 2})
    assert structured(result)["results"][0]["id"] == "red.png"
    assert near(pictures(result)[0], (255, 0, 0))
    ranked = structured(await client.call_tool("rerank", {"ids": ["blue.png", "red.png"], "like": "red.png"}))
    assert [one["id"] for one in ranked["results"]] == ["red.png", "blue.png"]
    (zoomed,) = pictures(await client.call_tool("inspect", {"id": "blue.png", "box": [0, 0, 0.5, 0.5], "side": 100}))
    assert zoomed.size == (100, 75) and near(zoomed, (0, 0, 255))
    assert (await client.call_tool("inspect", {"id": "nothing"})).is_error


def command(*argv: str) -> list[str]:
    return ["-m", "vretrver.cli", "mcp", *argv]


def test_the_command_over_stdio(index: str, capfd: pytest.CaptureFixture[str]) -> None:
    async def conversation() -> None:
        # Assistants of today still shake hands in the old way. With and without an agent.
        for mode, options in (("auto", []), ("legacy", ["--policy", "none"])):
            server = StdioServerParameters(command=sys.executable, args=command(index, *options))
            async with Client(server, mode=mode) as client:
                await searches_and_zooms(client)

    anyio.run(conversation)
    assert "Traceback" not in capfd.readouterr().err


def test_stdout_is_the_protocols_alone_and_the_end_is_gentle(index: str) -> None:
    with subprocess.Popen(
        [sys.executable, *command(index, "--policy", "none")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin and server.stdout and server.stderr
        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}) + "\n")
        server.stdin.write("this is no JSON\n")
        server.stdin.flush()
        first = json.loads(server.stdout.readline())
        assert first["id"] == 1 and first["result"]["serverInfo"]["name"] == "vretrver"
        server.stdin.close()
        assert server.wait(20) == 0
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in server.stdout)
        assert "Traceback" not in server.stderr.read()


def test_stdio_is_stopped_by_a_signal(index: str) -> None:
    with subprocess.Popen(
        [sys.executable, *command(index, "--policy", "none")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin and server.stdout
        server.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        server.stdin.flush()
        assert server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def listens(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


@contextmanager
def over_http(index: str, *options: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, *command(index, "--http", "--port", str(port), *options)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as server:
        try:
            until = time.monotonic() + 60
            while not listens(port):
                assert server.poll() is None and time.monotonic() < until
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.stderr
            said = server.stderr.read()
            assert server.wait(20) == 0, said
        assert f"http://127.0.0.1:{port}/mcp" in said and "Traceback" not in said


def status(url: str, body: bytes, **headers: str) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code


def test_the_command_over_http(index: str) -> None:
    with over_http(index, "--policy", "none") as url:

        async def conversation() -> None:
            for mode in ("auto", "legacy"):
                async with Client(url, mode=mode) as client:
                    await searches_and_zooms(client)

        anyio.run(conversation)
        assert not listens(int(url.split(":")[2].split("/")[0]), "127.0.0.2")  # as it would on every address
        ping = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
        assert status(url, ping, Host="evil.example") == 421
        assert status(url, ping, Origin="https://evil.example") == 403
        assert status(url, b"", **{"Content-Length": str(11 * 2**20)}) == 413


def test_a_missing_index_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", "nowhere.vr"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("vretrver: ") and captured.err.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(index: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["mcp", index, "--http", "--port", port, "--policy", "none"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vretrver: cannot listen on port {port} of 127.0.0.1: ") and "choose another" in line


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_is_a_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["mcp", "photos.vr", "--http", "--port", port])
    assert stopped.value.code == 2 and "--port" in capsys.readouterr().err

"""A real server on loopback in this process, an index of coloured cards, and a policy one can reason about."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
from fastapi import FastAPI
from PIL import Image

from conftest import MeanColour
from vretrver.ingest import build_index
from vretrver.messages import Completion, Conversation, ToolCall
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer, render_tool_call

COLOURS = ["red", "green", "blue", "yellow", "black", "white"]


def shares_words(conversation: Conversation) -> Completion:
    """Looks once at the first picture, then ranks by how many of the query's words a candidate's text has."""
    window = conversation.window
    pictures = [candidate for candidate in window.candidates if candidate.document.image is not None]
    if pictures and len(conversation.messages) == 2:
        return Completion(render_tool_call(ToolCall("select_images", {"target_images": [1]})))
    words = set((window.query.text or "").split())
    shared = [len(words & set((candidate.document.text or "").split())) for candidate in window.candidates]
    order = sorted(range(len(shared)), key=lambda at: -shared[at])
    return Completion(render_answer(order, "Counted."), relevance=tuple(n / (len(words) + 1) for n in shared))


def agent() -> ScriptedPolicy:
    return ScriptedPolicy(shares_words)


def cards(folder: Path) -> Path:
    """An index of six cards; `sub/red.png` lies in a folder of its own. Each has a caption and two facts."""
    photos = folder / "photos"
    (photos / "sub").mkdir(parents=True)
    for at, colour in enumerate(COLOURS):
        file = photos / ("sub" if colour == "red" else "") / f"{colour}.png"
        file.write_bytes(png(colour))
        facts = {
            "text": f"a plain {colour} card",
            "place": at,
            "kind": "dark" if colour in ("black", "blue") else "light",
        }
        file.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    index = folder / "cards.vr"
    build_index(photos, index, MeanColour(), ocr=False, progress=False)
    return index


def png(colour: str = "red", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def events(text: str) -> list[tuple[str, Any]]:
    """The (kind, data) of a stream of server-sent events; comments are passed over."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


class Served:
    """An application on a free port of this machine, for as long as the context lasts."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=3)
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        self.client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        return self

    def __exit__(self, *_fault: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.client.post(path, json=json, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.client.delete(path, **options)

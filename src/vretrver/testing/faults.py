"""Faults as a broken server plays them, on the real socket."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler

Handler = BaseHTTPRequestHandler
JSON = "application/json"


def send(handler: Handler, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """A whole response in one write."""
    given = {"Content-Type": JSON, "Content-Length": str(len(body)), **(headers or {})}
    handler.send_response(status)
    for name, value in given.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "fake"}}).encode()


def _status(status: int) -> Callable[[Handler, bytes, float], None]:
    def play(handler: Handler, _answer: bytes, _wait: float) -> None:
        send(handler, status, error(f"fault {status}"))

    return play


def _busy(handler: Handler, _answer: bytes, wait: float) -> None:
    send(handler, 429, error("too many requests"), {"Retry-After": f"{wait:g}"})


def _busy_until(handler: Handler, _answer: bytes, wait: float) -> None:
    at = email.utils.formatdate(time.time() + wait, usegmt=True)
    send(handler, 429, error("too many requests"), {"Retry-After": at})


def _hang_up(handler: Handler, _answer: bytes, _wait: float) -> None:
    handler.close_connection = True


def _cut_body(handler: Handler, answer: bytes, _wait: float) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", JSON)
    handler.send_header("Content-Length", str(len(answer)))
    handler.end_headers()
    handler.wfile.write(answer[: len(answer) // 2])
    handler.close_connection = True


def _cut_json(handler: Handler, answer: bytes, _wait: float) -> None:
    send(handler, 200, answer[: len(answer) // 2])


def _garbled(handler: Handler, answer: bytes, _wait: float) -> None:
    send(handler, 200, bytes(byte ^ 0x5A for byte in answer))


def _no_choices(handler: Handler, _answer: bytes, _wait: float) -> None:
    send(handler, 200, json.dumps({"object": "chat.completion", "choices": []}).encode())


def _no_text(handler: Handler, _answer: bytes, _wait: float) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
    send(handler, 200, json.dumps({"object": "chat.completion", "choices": [choice]}).encode())


def _other_type(handler: Handler, _answer: bytes, _wait: float) -> None:
    send(handler, 200, b"<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"})


PLAYS: Mapping[str, Callable[[Handler, bytes, float], None]] = {
    "429": _busy,
    "429-date": _busy_until,
    "500": _status(500),
    "502": _status(502),
    "503": _status(503),
    "hang-up": _hang_up,
    "cut-body": _cut_body,
    "cut-json": _cut_json,
    "garbled": _garbled,
    "no-choices": _no_choices,
    "no-text": _no_text,
    "other-type": _other_type,
}
"""Fault by name. A play takes the handler, the answer that would have been sent, and the seconds of a Retry-After."""

TIMEOUT = "timeout"  # the endpoint plays it itself: it has to end when the endpoint closes
KINDS = (*PLAYS, TIMEOUT)

"""A server that says exactly the bytes a test gives it, for what no decent server would send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class RawServer:
    """Args: `script`: bytes to answer every request with, or a function of the connection that does as it likes."""

    def __init__(self, script: bytes | Callable[[socket.socket], None]) -> None:
        self._script = script
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        self.closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._open:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line = self._listener.accept()[0]
                self._open.append(line)
                self._spawn(self._serve, line)

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data and (more := line.recv(65536)):
                data += more
            head, _blank, body = data.partition(b"\r\n\r\n")
            length = next(
                (int(row.split(b":")[1]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length")), 0
            )
            while len(body) < length and (more := line.recv(65536)):
                body += more
            self.requests.append(head)
            if callable(self._script):
                self._script(line)
            else:
                line.sendall(self._script)


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP response; JSON unless a header says otherwise."""
    typed = any(header.lower().startswith("content-type") for header in headers)
    rows = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        *([] if typed else ["Content-Type: application/json"]),
        *headers,
    ]
    return "\r\n".join([*rows, "Connection: close", "", ""]).encode() + body

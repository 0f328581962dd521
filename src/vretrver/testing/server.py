"""The socket of a fake endpoint: HTTP in, who may come in, and what is at which path."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from vretrver.testing import faults

if TYPE_CHECKING:
    from vretrver.testing.endpoint import FakeEndpoint

MAX_REQUEST = 256 * 2**20


class Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can stop without waiting for idle ones."""

    daemon_threads = False  # they are joined when it stops
    request_queue_size = 128

    def __init__(self, endpoint: FakeEndpoint) -> None:
        self.endpoint = endpoint
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def stop(self) -> None:
        self.shutdown()
        for line in tuple(self.open):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, *_request: Any) -> None:
        """A client that went away is its own affair."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 2**16  # a response's head and body leave together
    server: Server

    def setup(self) -> None:
        self.server.open.add(self.request)
        super().setup()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.server.open.discard(self.request)

    def do_GET(self) -> None:
        if not self._admitted():
            return
        if self.path != "/v1/models":
            faults.send(self, 404, faults.error("there is nothing here"))
            return
        listed = {"object": "list", "data": [{"id": self.server.endpoint.model, "object": "model"}]}
        faults.send(self, 200, json.dumps(listed).encode())

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_REQUEST:
            self.close_connection = True
            faults.send(self, 411, faults.error("a Content-Length is needed"))
            return
        data = self.rfile.read(int(length))
        if not self._admitted():
            return
        if self.path != "/v1/chat/completions":
            faults.send(self, 404, faults.error("there is nothing here"))
            return
        self.server.endpoint.complete(self, data)

    def _admitted(self) -> bool:
        key = self.server.endpoint.key
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if key is None or given == key:
            return True
        # As real servers do, the error repeats what it was given: a client must not let that into its logs.
        faults.send(self, 401, faults.error(f"incorrect API key provided: {given}"))
        return False

    def log_message(self, *_words: Any) -> None:
        """Nothing: the counters say it."""

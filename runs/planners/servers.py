"""Fake endpoints in a process of their own, so that `process_time` here counts clients alone.

    with Servers() as servers:
        url = servers.open("ours", look_share=1.0)
        ...
        servers.drain("ours")  # what it served since

Every contender has an endpoint, so that nobody finds the blocks of another in the prefix cache. As a program this file
is the other side: JSON lines, one answer to each request.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import IO, Any, Self

from runs.planners.topics import POSITION_BIAS, RANKER_NOISE, perceived

from vretrver.testing import FakeEndpoint, Served


class Servers:
    """The process with the endpoints; a context manager."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "runs.planners.servers"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def open(self, name: str, **options: Any) -> str:
        """Start an endpoint with these options of `FakeEndpoint`.

        Returns:
            Its base URL; its model is called `fake`.
        """
        return str(self._ask({"open": name, "options": options}))

    def drain(self, name: str) -> list[Served]:
        """The answers of an endpoint since it was last asked for them."""
        return [Served(**one) for one in self._ask({"drain": name})]

    def faults(self, name: str) -> dict[str, int]:
        """How often each kind of fault was played."""
        return dict(self._ask({"faults": name}))

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process with the fake endpoints ended; its error is above")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class _Endpoint:
    """A running endpoint and what it served."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._served: list[Served] = []
        self._lock = threading.Lock()
        self.endpoint = FakeEndpoint(
            perceived,
            **{"noise": RANKER_NOISE, "position_bias": POSITION_BIAS, "look_share": 1.0, "keep": 0, **options},
            on_served=self._note,
        ).start()

    def _note(self, served: Served) -> None:
        with self._lock:
            self._served.append(served)

    def drain(self) -> list[dict[str, Any]]:
        with self._lock:
            served, self._served = self._served, []
        return [asdict(one) for one in served]


def main(requests: IO[str], answers: IO[str]) -> None:
    running: dict[str, _Endpoint] = {}
    try:
        for line in requests:
            request = json.loads(line)
            if "open" in request:
                running[request["open"]] = _Endpoint(request["options"])
                answer: Any = running[request["open"]].endpoint.url
            elif "drain" in request:
                answer = running[request["drain"]].drain()
            else:
                answer = dict(running[request["faults"]].endpoint.counters.faults)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    finally:
        for one in running.values():
            one.endpoint.close()


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)

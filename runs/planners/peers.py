"""Other rerankers, their own code in their own virtual environment, as contenders on the text track."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from runs.planners.measuring import Ranked
from runs.planners.topics import Topic, numbers, passage

from vretrver.testing import Served

WORKER = Path(__file__).with_name("peer_worker.py")
SETTINGS = {
    "rank_llm": ("rank_llm", "RankGPT template, window 20 by 10, OpenAI's client"),
    "rerankers": ("rerankers: RankGPT", "all 50 in one window, LiteLLM"),
    "rerankers-windows": ("rerankers: RankGPT", "window 20 by 10, the caller's loop, LiteLLM"),
}


class PeerFault(RuntimeError):
    """The other library gave no ranking."""


class Peer:
    """Args:
    kind: one of `SETTINGS`.
    python: the interpreter of the environment of `peers.txt`.
    log: where what the library prints goes.
    worker: the program that runs it.

    Raises:
        PeerFault: it does not start.
    """

    track = "text"

    def __init__(
        self,
        kind: str,
        url: str,
        drain: Callable[[], list[Served]],
        python: Path,
        log: IO[str],
        worker: Path = WORKER,
    ) -> None:
        self.name, self.setting = SETTINGS[kind]
        self._drain = drain
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [str(python), str(worker), kind, url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
        )  # fmt: skip
        self.name += f" {self._answer()['ready']}"

    def rank(self, topic: Topic) -> Ranked:
        """Raises:
        PeerFault: it gave an error in place of a ranking.
        """
        assert self._process.stdin is not None
        asked = {"query": topic.query, "passages": [[str(number), passage(number)] for number in topic.order]}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        steps = [[one] for one in self._drain()]
        if "error" in answer:
            raise PeerFault(answer["error"])
        return Ranked(numbers(answer["order"]), len(steps), steps, answer["cpu"])

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerFault("its process ended; the log says why")
        answer: dict[str, Any] = json.loads(line)
        return answer

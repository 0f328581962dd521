"""A clock that waits for nobody: sleeping moves its hands."""

from __future__ import annotations

import threading


class FakeClock:
    """Takes the place of `policies.chat.Clock`.

    `slept` lists every sleep in seconds. Set forward with `pass_by`.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def sleep(self, seconds: float, _stop: threading.Event | None = None) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._now += seconds

    def pass_by(self, seconds: float) -> None:
        """Let time pass without a sleeper."""
        with self._lock:
            self._now += seconds

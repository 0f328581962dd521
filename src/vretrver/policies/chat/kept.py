"""What became of a batch's conversations when the batch failed as a whole, for who asks again one by one.

`Policy.complete` answers for all or raises. A caller that then asks for each conversation alone must not pay a second
time for those that were answered, nor wait a second time for those that were not.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TypeAlias

from vretrver.errors import PolicyError
from vretrver.messages import Completion
from vretrver.policies.chat.retrying import Clock

Outcome: TypeAlias = Completion | PolicyError


class Kept:
    """Outcomes by their request's key; each is handed out once, within `seconds`, and at most `most` are held."""

    def __init__(self, clock: Clock, seconds: float = 300.0, most: int = 4096) -> None:
        self._clock, self._seconds, self._most = clock, seconds, most
        self._held: OrderedDict[str, deque[tuple[float, Outcome]]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, outcomes: Sequence[tuple[str, Outcome]]) -> None:
        until = self._clock.monotonic() + self._seconds
        with self._lock:
            for key, outcome in outcomes:
                self._held.setdefault(key, deque()).append((until, outcome))
                self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    def take(self, key: str, failures: bool) -> Outcome | None:
        """The oldest outcome of a key. Failures are handed out only where asked for: a whole batch that is asked
        again wants its failures tried again."""
        now = self._clock.monotonic()
        with self._lock:
            held = self._held.pop(key, deque())
            fresh = deque(entry for entry in held if entry[0] > now)
            found = next((entry for entry in fresh if failures or isinstance(entry[1], Completion)), None)
            if found is not None:
                fresh.remove(found)
            if fresh:
                self._held[key] = fresh
        return None if found is None else found[1]

"""What was made lately, within a bound: the least recently used goes first. It leaves out locks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Recent(Generic[Made]):
    """Things by their key. Not for several threads at once.

    Args:
        room: the most that their sizes may come to, in whatever unit the caller counts; what was put last stays even
            where it is larger.
    """

    def __init__(self, room: int) -> None:
        self.room, self.size = room, 0
        self._held: OrderedDict[Hashable, tuple[Made, int]] = OrderedDict()

    def get(self, key: Hashable) -> Made | None:
        """What is kept under a key; None where nothing is."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key][0]

    def put(self, key: Hashable, made: Made, size: int) -> None:
        """Keep something under a key that has nothing."""
        self._held[key] = made, size
        self.size += size
        while self.size > self.room and len(self._held) > 1:
            self.size -= self._held.popitem(last=False)[1][1]

    def clear(self) -> None:
        self._held.clear()
        self.size = 0

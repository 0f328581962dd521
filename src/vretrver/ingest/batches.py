"""Work cut into batches, and who is told how far it is: a bar, or a function of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Self, TypeAlias, TypeVar

_T = TypeVar("_T")

Progress: TypeAlias = bool | Callable[[str, int, int], None]
"""Whether a bar is drawn; or a function that is told what is done, how much of it, and of how much."""


def chunks(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while chunk := list(islice(items, size)):
        yield chunk


def bar(total: int, what: str, progress: Progress) -> Any:
    if callable(progress):
        return _Told(total, what, progress)
    from tqdm import tqdm

    # None: tqdm draws only on a terminal.
    return tqdm(total=total, unit="image", desc=what, disable=None if progress and total else True)


class _Told:
    """A bar that tells instead of drawing."""

    def __init__(self, total: int, what: str, tell: Callable[[str, int, int], None]) -> None:
        self._total, self._what, self._tell, self._done = total, what, tell, 0
        tell(what, 0, total)

    def update(self, n: int) -> None:
        self._done += n
        self._tell(self._what, self._done, self._total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        return None

"""Work cut into batches, and the bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

_T = TypeVar("_T")


def chunks(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while chunk := list(islice(items, size)):
        yield chunk


def bar(total: int, what: str, progress: bool) -> Any:
    from tqdm import tqdm

    # None: tqdm draws only on a terminal.
    return tqdm(total=total, unit="image", desc=what, disable=None if progress and total else True)

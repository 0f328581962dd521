"""Rankings that were given, kept for who wants to see how they came about; bounded in number and in bytes.

What leaves names no folder of this machine: a picture of the index goes by its path from the folder that was indexed.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vretrver.messages import ImagePart
from vretrver.server.faults import Refused
from vretrver.trace import Ranking
from vretrver.types import ImageRef
from vretrver.viewer.trace_file import line_of


@dataclass(frozen=True, slots=True)
class _Kept:
    ranking: Ranking
    weight: int


class Traces:
    """Args: `most`: rankings; `most_bytes`: of all of them, pictures that came with requests included."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, ranking: Ranking) -> str:
        """Keep a ranking; its id, which cannot be guessed. The oldest go first."""
        name = secrets.token_urlsafe(12)
        kept = _Kept(ranking, _weight(ranking))
        with self._lock:
            self._kept[name] = kept
            self._bytes += kept.weight
            while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.weight
        return name

    def __getitem__(self, name: str) -> Ranking:
        """A ranking by its id.

        Raises:
            Refused: 404, it is not kept, or no longer.
        """
        with self._lock:
            kept = self._kept.get(name)
        if kept is None:
            raise Refused(404, "not_found", "there is no such trace, or no longer: only the latest are kept", "id")
        return kept.ranking


def record_of(ranking: Ranking, roots: Sequence[Path], pictures: bool) -> dict[str, Any]:
    """A trace as a line of a trace file holds it, without the bytes of pictures that came with the request.

    Args:
        roots: the folders that were indexed.
        pictures: with thumbnails of all that was shown; opens each of them.
    """
    record = json.loads(line_of(ranking, pictures=pictures))
    record["originals"] = {}
    hidden: dict[str, Any] = without_folders(ranking, roots)(record)
    return hidden


def without_folders(ranking: Ranking, roots: Sequence[Path]) -> Callable[[Any], Any]:
    """A function that rewrites JSON values so that no path of this machine is in them."""
    names = {path: _named(path, roots) for path in _paths(ranking)}
    if not names:
        return lambda value: value
    pattern = re.compile("|".join(re.escape(path) for path in sorted(names, key=len, reverse=True)))

    def hidden(value: Any) -> Any:
        match value:
            case str():
                # A picture's bytes hold no path, and are long.
                if value.startswith("data:"):
                    return value
                return pattern.sub(lambda found: names[found[0]], value)
            case dict():
                return {hidden(key): hidden(one) for key, one in value.items()}
            case list():
                return [hidden(one) for one in value]
        return value

    return hidden


def _paths(ranking: Ranking) -> set[str]:
    images: list[ImageRef | None] = [result.document.image for result in ranking.results]
    for trace in ranking.traces:
        shown = [*trace.prompt, *(part for turn in trace.turns if turn.observation for part in turn.observation.parts)]
        images += [part.view.image for part in shown if isinstance(part, ImagePart)]
    return {image.path for image in images if image is not None and image.path is not None}


def _named(path: str, roots: Sequence[Path]) -> str:
    for root in roots:
        try:
            return PurePosixPath(path).relative_to(root.as_posix()).as_posix()
        except ValueError:
            continue
    return PurePosixPath(path).name


def _weight(ranking: Ranking) -> int:
    """About what a ranking takes in memory."""
    images = [*ranking.query.images, *(result.document.image for result in ranking.results)]
    held = sum(len(image.data) for image in images if image is not None and image.data is not None)
    said = sum(len(turn.text) + 2000 for trace in ranking.traces for turn in trace.turns)
    return held + said + 2000 * len(ranking.results)

"""An OCR reader that remembers: words read once are kept in a file, so that experiments need not read again.

Keys are the pixels, not the file's name. The file is append-only JSON Lines and may be cut off anywhere. It leaves
out sharing: one process writes at a time.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vretrver.ocr import Line, Reader

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


class RememberingReader:
    """Reads as `vretrver.ocr.Reader` does, and never the same pixels twice.

    Args:
        path: the file; None remembers for this process only.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._reader: Reader | None = None
        self._known: dict[str, list[Line]] = {}
        if self._path is not None and self._path.exists():
            with self._path.open(encoding="utf-8") as lines:
                self._known.update(filter(None, map(_entry, lines)))

    def read(self, picture: PILImage) -> list[Line]:
        key = pixels_key(picture)
        if key not in self._known:
            self._reader = self._reader or Reader()
            self.remember(key, self._reader.read(picture))
        return self._known[key]

    def remember(self, key: str, lines: list[Line]) -> None:
        self._known[key] = lines
        if self._path is not None:
            record = {"key": key, "lines": [[line.text, list(line.box), round(line.score, 4)] for line in lines]}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def __contains__(self, picture: PILImage) -> bool:
        return pixels_key(picture) in self._known


def pixels_key(picture: PILImage) -> str:
    """A name for what a picture shows: equal for equal pixels."""
    digest = hashlib.sha256(f"{picture.mode}{picture.size}".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()[:32]


def _entry(line: str) -> tuple[str, list[Line]] | None:
    try:
        record = json.loads(line)
        return record["key"], [Line(text, (a, b, c, d), score) for text, (a, b, c, d), score in record["lines"]]
    except (ValueError, KeyError, TypeError):
        return None  # the last line of a run that was cut off

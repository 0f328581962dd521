"""An OCR reader that remembers: words read once are kept in a file and not read again, by any process.

Keys are pixels, not file names, so a crop is known again too. The file is append-only JSON Lines; each entry is one
write, so processes may share it, and a line that was cut off or damaged is as if it had not been read. Readers that
read differently (`Reader(glance_first=True)`) need a file each. All of it is held in memory, about 1 kB a picture.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.errors import StorageError
from vretrver.ocr import MAX_LINE, MAX_LINES, Line, Reader, Reads

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MAX_ENTRY = 1 << 20  # bytes; MAX_LINES lines of MAX_LINE characters fit


class RememberedReader:
    """Reads as its reader does, and never the same pixels twice.

    Args:
        path: the file, made at the first entry; None remembers for this process only.
        reader: who reads what is not known; `vretrver.ocr.Reader()` by default, made when first needed.

    Raises:
        StorageError: the file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, reader: Reads | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._reader = reader
        self._known: dict[str, list[Line]] = {}
        self._torn = False
        if self._path is not None and self._path.exists():
            try:
                self._known.update(self._entries(self._path))
            except OSError as fault:
                raise StorageError(f"cannot read {self._path}: {fault.strerror or fault}") from fault

    def read(self, picture: PILImage) -> list[Line]:
        """The lines of a picture, scores to four digits whether they are read now or were before.

        Raises:
            MissingExtra: `rapidocr-onnxruntime` is needed and not installed.
            StorageError: the disk is full or read-only.
        """
        key = pixels_key(picture)
        if key not in self._known:
            self._reader = self._reader or Reader()
            lines = [Line(line.text, line.box, round(line.score, 4)) for line in self._reader.read(picture)]
            self._keep(key, lines)
            self._known[key] = lines
        return list(self._known[key])

    def __contains__(self, picture: PILImage) -> bool:
        return pixels_key(picture) in self._known

    def __len__(self) -> int:
        return len(self._known)

    def _keep(self, key: str, lines: Sequence[Line]) -> None:
        if self._path is None:
            return
        record = {"key": key, "lines": [[line.text, list(line.box), line.score] for line in lines]}
        entry = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        if self._torn:
            entry = b"\n" + entry  # the line that was cut off must not swallow this one
        try:
            # One write at the file's end: entries of processes that share the file never mix.
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                self._torn = os.write(file, entry) < len(entry)
            finally:
                os.close(file)
        except OSError as fault:
            raise StorageError(f"cannot write {self._path}: {fault.strerror or fault}") from fault
        if self._torn:
            raise StorageError(f"cannot write {self._path}: the disk is full")

    def _entries(self, path: Path) -> Iterator[tuple[str, list[Line]]]:
        with path.open("rb") as lines:
            whole = True  # whether the next piece begins a line
            for piece in iter(lambda: lines.readline(MAX_ENTRY), b""):
                begins, whole = whole, piece.endswith(b"\n")
                if begins and whole and (entry := _entry(piece)):
                    yield entry
            self._torn = not whole


def pixels_key(picture: PILImage) -> str:
    """A name for what a picture shows: equal for equal pixels in equal mode."""
    digest = hashlib.sha256(f"{picture.mode}{picture.size}".encode())
    if picture.mode == "P":
        digest.update(bytes(picture.getpalette() or ()))
    digest.update(picture.tobytes())
    return digest.hexdigest()[:32]


def _entry(line: bytes) -> tuple[str, list[Line]] | None:
    try:
        record = json.loads(line)
        key, found = record["key"], [_line(*one) for one in record["lines"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (key, found) if isinstance(key, str) and len(found) <= MAX_LINES else None


def _line(text: Any, box: Any, score: Any) -> Line:
    """A line from its record.

    Raises:
        ValueError: it is not one that a reader gives.
    """
    corners = tuple(box)
    sound = (
        isinstance(text, str)
        and len(text) <= MAX_LINE
        and len(corners) == 4
        and all(type(corner) is int and corner >= 0 for corner in corners)
        and isinstance(score, int | float)
        and 0 <= score <= 1
    )
    if not sound:
        raise ValueError("not a line of print")
    return Line(text, corners, float(score))

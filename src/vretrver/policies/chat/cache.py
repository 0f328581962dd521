"""Answers kept on disk by what was asked. Off unless a folder is named; holds generated text and counts, no request.

Entries are written beside and moved into place, so a reader meets a whole one or none; one that does not parse counts
as absent. Several processes may share a folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from pathlib import Path

from vretrver.errors import StorageError
from vretrver.policies.chat.response import Answer

ROOM = 256 * 2**20
MAX_ENTRY = 2**20


class AnswerCache:
    """Args:
        folder: made if it is not there, readable by its owner alone.
        room: bytes to keep at most; the entries used longest ago go first.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], room: int = ROOM) -> None:
        self._folder, self._room = Path(folder), room
        self._lock = threading.Lock()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as fault:
            raise StorageError(f"cannot make the cache folder {self._folder}: {fault.strerror}") from fault
        self._bytes = sum(size for _time, size, _path in self._entries())

    def get(self, key: str) -> Answer | None:
        """The answer to a request's key (`Request.key`), or None."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                record = json.loads(file.read(MAX_ENTRY))
            if record["key"] != key or not isinstance(record["text"], str):
                return None
            with contextlib.suppress(OSError):
                os.utime(path)
            return Answer(record["text"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer. A full or read-only disk keeps none and stops nothing."""
        record = {"key": key, "text": answer.text}
        data = json.dumps(record).encode()
        if len(data) > min(MAX_ENTRY, self._room):
            return
        try:
            self._write(self._path(key), data)
        except OSError:
            return
        with self._lock:
            self._bytes += len(data)
            if self._bytes > self._room:
                self._evict()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def _entries(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self._folder.glob("??/*.json"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found

    def _evict(self) -> None:
        """Down to nine tenths of the room, so that not every entry that comes pays for a listing of the folder."""
        entries = sorted(self._entries())
        self._bytes = sum(size for _time, size, _path in entries)
        for _time, size, path in entries:
            if self._bytes <= self._room * 0.9:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            self._bytes -= size

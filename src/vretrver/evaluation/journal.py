"""An append-only journal: JSON Lines, each batch on disk before the work goes on. What a run goes on from.

A line that was cut off by a crash is dropped when the file is opened again; every line before it stands. One process
writes at a time. What the lines mean is their writers' matter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from vretrver.errors import RecordError, StorageError


class Journal:
    """A journal held for writing; a context manager.

    Args:
        path: the file, made if it is not there.

    Raises:
        StorageError: another process holds it, or the disk refuses.
        RecordError: a line before the last does not parse: the file was changed by something else.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock, Timeout

        self._lock = FileLock(path.with_name(path.name + ".lock"), timeout=0)
        try:
            self._lock.acquire()
        except Timeout as fault:
            raise StorageError(f"another process is writing {path}; wait until it is done") from fault
        except OSError as fault:
            raise StorageError(f"cannot write beside {path}: {fault.strerror or fault}") from fault
        try:
            self.path = path
            self.records, end = read_journal(path)
            self._file = open(path, "ab")  # noqa: SIM115  # closed by __exit__
            self._file.truncate(end)
        except BaseException:
            self._lock.release()
            raise

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Add lines; they are on disk when this returns.

        Raises:
            StorageError: the disk is full or read-only.
        """
        lines = [json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")) for record in records]
        if not lines:
            return
        try:
            self._file.write(("\n".join(lines) + "\n").encode("ascii"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as fault:
            raise StorageError(f"cannot write {self.path}: {fault.strerror or fault}") from fault

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let it go; another process may write."""
        self._file.close()
        self._lock.release()


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a journal, and the length in bytes of the part that is whole.

    Raises:
        RecordError: a line before the last one does not parse.
    """
    records: list[dict[str, Any]] = []
    end = 0
    if not path.exists():
        return records, end
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break  # cut off while it was written
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not an object")
            except ValueError as fault:
                raise RecordError(
                    f"{path} line {number} is damaged ({fault}); remove the folder to begin again"
                ) from fault
            records.append(record)
            end += len(line)
    return records, end

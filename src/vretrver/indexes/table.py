"""The LanceDB table of an index with its manifest: one writer at a time, and nothing counts that is not acknowledged.

Every change ends with everything on disk and then the manifest that names the table's version. Reading checks out that
version, so a batch that was cut off is never seen. What the columns mean is `vretrver.indexes.lance`'s.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from vretrver.errors import IndexMismatch, StorageError
from vretrver.indexes.manifest import Manifest, storage_errors, sync

NAME = "documents"
UNFINISHED = ("write.lock", f"{NAME}.lance", ".manifest.json.new")  # what a killed `create` leaves


class AcknowledgedTable:
    """A table whose rows count once the manifest names their version.

    Args:
        folder: the index's.
        manifest: what counts now.
        changed: called after every change of what counts.
    """

    def __init__(self, folder: Path, manifest: Manifest, changed: Callable[[], None]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._changed = changed
        self._writable = False
        self._synced: set[str] = set()

    def create(self, schema: pa.Schema) -> None:
        """Make the table, empty, in place of what a killed `create` left.

        Raises:
            StorageError: another process is writing, the disk is full or read-only.
        """
        with self._locked(), storage_errors(self.folder):
            shutil.rmtree(self.folder / f"{NAME}.lance", ignore_errors=True)
            table = self._connection().create_table(NAME, schema=schema)
            self.acknowledge(self.manifest.at(table.version))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the table for writing; drops what an earlier writer left unacknowledged.

        Raises:
            StorageError: another process is writing, or the folder is read-only.
        """
        with self._locked():
            self.manifest = Manifest.read(self.folder)
            self._changed()
            with storage_errors(self.folder):
                table = self._latest()
                if table.version != self.manifest.version:
                    table.checkout(self.manifest.version)
                    table.restore()
                    self.acknowledge(self.manifest.at(table.version))
            yield

    @contextmanager
    def changing(self, manifest: Manifest | None = None) -> Iterator[Any]:
        """The LanceDB table, for one batch of changes that are acknowledged together at the end.

        Args:
            manifest: what counts afterwards, but for the table's version; as now when None.

        Raises:
            StorageError: the disk is full or read-only.
        """
        with storage_errors(self.folder):
            table = self._latest()
            yield table
            self.acknowledge((manifest or self.manifest).at(table.version))

    def merge(self, data: pa.Table, insert: bool = False) -> None:
        """Replace the columns of `data` in rows of the same id and, on request, add rows of new ids."""
        with self.changing() as table:
            merge = table.merge_insert("id").when_matched_update_all()
            (merge.when_not_matched_insert_all() if insert else merge).execute(data)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows by id; ids that are not there are no error."""
        with self.changing() as table:
            for start in range(0, len(ids), 500):
                table.delete(among(ids[start : start + 500]))

    def compact(self) -> None:
        """Merge small files and forget versions older than an hour."""
        with self.changing() as table:
            table.optimize(cleanup_older_than=timedelta(hours=1))

    def acknowledge(self, manifest: Manifest) -> None:
        """Everything the table wrote is on disk before the manifest that names it."""
        assert self._writable, "changes go inside writing()"
        for place, _folders, files in os.walk(self.folder / f"{NAME}.lance"):
            fresh = [path for name in files if (path := os.path.join(place, name)) not in self._synced]
            for path in fresh:
                sync(Path(path))
            if fresh:
                sync(Path(place))
            self._synced.update(fresh)
        manifest.write(self.folder)
        self.manifest = manifest
        self._changed()

    def select(self, columns: list[str], where: str | None = None, batch: int = 8192) -> Iterator[pa.RecordBatch]:
        """Columns of the acknowledged rows, batch by batch.

        Raises:
            IndexMismatch: the table cannot be read.
        """
        try:
            table = self._latest()
            if table.version != self.manifest.version:
                table.checkout(self.manifest.version)
            query = table.search().select(columns).limit(max(1, table.count_rows()))
            yield from (query.where(where) if where else query).to_batches(batch)
        except (OSError, RuntimeError, ValueError, pa.ArrowException) as fault:
            raise IndexMismatch(
                f"the table in {self.folder} cannot be read ({str(fault).splitlines()[0][:150]}); build the index again"
            ) from fault

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        with storage_errors(self.folder):
            lock = FileLock(self.folder / "write.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout as fault:
                raise StorageError(f"another process is writing to {self.folder}; wait until it is done") from fault
        self._writable = True
        try:
            yield
        finally:
            self._writable = False
            lock.release()

    def _connection(self) -> Any:
        import lancedb

        return lancedb.connect(str(self.folder))

    def _latest(self) -> Any:
        return self._connection().open_table(NAME)


def among(ids: Sequence[str]) -> str:
    """The one SQL text built here: ids as quoted literals, quotes doubled."""
    return "id IN (" + ", ".join("'" + item.replace("'", "''") + "'" for item in ids) + ")"

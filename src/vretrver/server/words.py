"""Words printed on uploaded pictures, read in the background: found by its looks at once, by its print soon after.

Reading happens outside of every lock, at a low priority, and gives way to reranks that wait; what was read is kept in
short writes between other changes. A document that was replaced or deleted meanwhile is left alone. What was not read
when the server ended is read after its next start. Folders are read by `updates`, as `vretrver index` reads them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow.compute as pc

from vretrver.errors import ImageError, MissingPath, StorageError, VretrverError
from vretrver.images import open_image
from vretrver.indexes.lance import LanceIndex
from vretrver.ocr import MAX_SIDE, Reads, printed_text
from vretrver.server.collection import Collection, Edition
from vretrver.server.faults import log
from vretrver.server.uploads import FOLDER, Uploads
from vretrver.types import ImageRef

BATCH = 16  # pictures in one write, each of which costs the searches a new edition
_PATIENCE = 10.0  # seconds that one picture waits at most for reranks to be done
_GIVE_WAY = 10  # added to the thread's niceness


class Words:
    """A thread that reads what was uploaded.

    Args:
        collection: what is read; uploads: its other writer.
        reader: makes who reads print, when there is something to read; None where nobody can.
        busy: whether somebody waits for an answer.
        settled: seconds after an upload in which more may come; again: after which a refused write is tried again.
    """

    def __init__(
        self,
        collection: Collection,
        uploads: Uploads,
        reader: Callable[[], Reads] | None,
        busy: Callable[[], bool] = lambda: False,
        *,
        settled: float = 1.0,
        again: float = 10.0,
    ) -> None:
        self._collection, self._uploads, self._make, self._busy = collection, uploads, reader, busy
        self._settled, self._again = settled, again
        self._reader: Reads | None = None
        self._wanted, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def left(self) -> int | None:
        """Uploaded pictures that are still to be read; None where nobody reads."""
        return None if self._make is None else unread(self._collection.edition, self._root)

    def start(self) -> None:
        """Begin with what an earlier server left."""
        if self._make is not None:
            self._wanted.set()
            self._thread = threading.Thread(target=self._run, name="vretrver-words", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Something was uploaded."""
        self._wanted.set()

    def close(self) -> None:
        """Stop after the picture that is being read; what was read is kept."""
        self._stop.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(30)

    @property
    def _root(self) -> Path:
        return (self._collection.folder / FOLDER).resolve()

    def _run(self) -> None:
        with suppress(OSError, AttributeError):  # of threads, Linux alone knows a niceness
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _GIVE_WAY)
        while self._wanted.wait() and not self._stop.is_set():
            self._wanted.clear()
            try:
                if self.left:
                    self._stop.wait(self._settled)
                    self._read()
            except StorageError as fault:
                log.warning("words printed on uploads are not kept yet: %s", fault)
                self._stop.wait(self._again)
                self._wanted.set()
            except VretrverError as fault:
                log.warning("words printed on uploads are not read: %s", fault)
            except Exception:  # the one boundary of this thread; the next upload tries again
                log.exception("words printed on uploads are not read")

    def _read(self) -> None:
        while not self._stop.is_set() and (waiting := self._waiting(LanceIndex.open(self._collection.folder))):
            found = {}
            for name, path in sorted(waiting)[:BATCH]:
                self._give_way()
                if self._stop.is_set():
                    break
                found[name, path] = self._printed(path)
            self._keep(found)

    def _waiting(self, index: LanceIndex) -> set[tuple[str, str]]:
        """(id, path) of uploads that are not read; the path is named by the picture's content."""
        return {(name, path) for name, path in index.unread() if Path(path).is_relative_to(self._root)}

    def _printed(self, path: str) -> str:
        assert self._make is not None
        self._reader = self._reader or self._make()
        try:
            return printed_text(self._reader.read(open_image(ImageRef(path=path), near=MAX_SIDE // 2)))
        except (ImageError, MissingPath):
            return ""  # it was deleted meanwhile, or is damaged: there is nothing to read on it

    def _keep(self, found: Mapping[tuple[str, str], str]) -> None:
        while found and not self._uploads.turn.acquire(timeout=0.2):
            if self._stop.is_set():  # a folder is being indexed, which takes long; the next server reads these
                return
        if not found:
            return
        try:
            with self._collection.changing():
                index = LanceIndex.open(self._collection.folder)
                with index.writing():
                    waiting = self._waiting(index)
                    if kept := {name: text for (name, path), text in found.items() if (name, path) in waiting}:
                        index.set_printed(kept)
                    if waiting <= found.keys():
                        index.compact()
        finally:
            self._uploads.turn.release()

    def _give_way(self) -> None:
        until = time.monotonic() + _PATIENCE
        while self._busy() and time.monotonic() < until and not self._stop.is_set():
            self._stop.wait(0.05)


def unread(edition: Edition, root: Path) -> int:
    """How many pictures below a folder have not been read for words."""
    index = edition.index
    sources = [at for at, source in enumerate(index.manifest.sources) if source.resolved(index.folder) == root]
    rows = index.snapshot.rows
    if not sources or not len(rows):
        return 0
    is_new = pc.and_(pc.is_null(rows["printed"]), pc.is_valid(rows["path"]))
    return int(pc.sum(pc.and_(is_new, pc.equal(rows["source"], sources[0]))).as_py() or 0)

"""The index as it is served: many readers, one writer, and every acknowledged version seen without a restart.

A reader works on one `Edition`, which never changes. When the index's manifest says that another version counts, a
new edition is opened aside and takes the place of the old one; who still reads that goes on undisturbed.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.embedders import Embedder
from vretrver.errors import ImageError, IndexMismatch, MissingPath, VretrverError
from vretrver.indexes import embedder_of, load_index
from vretrver.indexes.manifest import NAME as MANIFEST
from vretrver.ocr import Line, Reader, Reads, available
from vretrver.retriever import Retriever
from vretrver.server.alike import Sketch, folded, sketch
from vretrver.server.faults import Refused, log
from vretrver.server.fields import fields_of
from vretrver.types import Document

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_LOOK_EVERY = 0.25  # seconds between two looks at the manifest
_THUMBNAIL_BYTES = 64 * 2**20
_SKETCHES = 20_000  # of half a kilobyte each


class OneAtATime:
    """A reader of print that several threads may share."""

    def __init__(self, reader: Reads) -> None:
        self._reader, self._lock = reader, threading.Lock()

    def read(self, picture: PILImage) -> list[Line]:
        with self._lock:
            return self._reader.read(picture)


class Edition:
    """One version of the index: what finds its documents, and the documents by id."""

    def __init__(self, retriever: Retriever) -> None:
        self.retriever = retriever
        self._thumbnails: OrderedDict[str, bytes | None] = OrderedDict()
        self._sketches: dict[str, Sketch | None] = {}
        self._bytes = 0
        self._lock, self._reading = threading.Lock(), threading.Lock()

    @property
    def index(self) -> Any:
        """`indexes.lance.LanceIndex`, or another `indexes.Index` with `ids` and `thumbnails`."""
        return self.retriever.index

    @cached_property
    def rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.index.ids())}

    def document(self, name: str) -> Document:
        """A document by its id.

        Raises:
            Refused: 404, there is none.
        """
        row = self.rows.get(name)
        if row is None:
            raise Refused(404, "not_found", f"there is no document {name[:100]!r}", "id")
        (document,) = self.index.documents([row])
        return document  # type: ignore[no-any-return]

    def thumbnail(self, name: str) -> bytes | None:
        """The stored thumbnail of a document that is there, None without a picture."""
        with self._lock:
            if name in self._thumbnails:
                self._thumbnails.move_to_end(name)
                return self._thumbnails[name]
        self.keep_thumbnails([name])
        with self._lock:
            return self._thumbnails.get(name)

    def keep_thumbnails(self, names: Sequence[str]) -> None:
        """Read thumbnails in one go: a look into the table costs much, and another thumbnail in it nothing."""
        with self._reading:  # who asks for one of these meanwhile waits, and finds it
            with self._lock:
                missing = [name for name in names if name not in self._thumbnails]
            if missing:
                self._remember(missing, self.index.thumbnails(missing))

    def alike(self, names: Sequence[str]) -> dict[str, str]:
        """Those of some documents that look like an earlier one: id -> its id; see `alike`."""
        try:
            self.keep_thumbnails(names)
        except IndexMismatch:  # this version was swept away
            return {}
        with self._lock:
            if len(self._sketches) > _SKETCHES:
                self._sketches.clear()
            missing = {name: self._thumbnails.get(name) for name in names if name not in self._sketches}
        made = {name: None if data is None else sketch(data) for name, data in missing.items()}
        with self._lock:
            self._sketches.update(made)
            return folded(names, {name: self._sketches.get(name) for name in names})

    @cached_property
    def fields(self) -> list[dict[str, Any]]:
        """What can be filtered by; see `fields`."""
        return fields_of(self.index.snapshot.rows["metadata"].to_pylist())

    def _remember(self, missing: Sequence[str], found: Mapping[str, bytes]) -> None:
        with self._lock:
            for name in missing:
                self._bytes += len(found.get(name, b""))
                self._thumbnails[name] = found.get(name)
            while self._bytes > _THUMBNAIL_BYTES and len(self._thumbnails) > 1:
                _, dropped = self._thumbnails.popitem(last=False)
                self._bytes -= len(dropped or b"")


class Collection:
    """An index folder, opened again whenever another version of it counts.

    Args:
        folder: the index.
        embedder: an object instead of the one that the index names.

    Raises:
        MissingPath, IndexMismatch, MissingExtra: as `Retriever.open`.
    """

    def __init__(self, folder: str | os.PathLike[str], embedder: Embedder | None = None) -> None:
        self.folder = Path(folder)
        self._given = embedder
        self._reader: Reads | None = OneAtATime(Reader()) if available() else None
        self._opening = threading.Lock()
        self._checked, self._rest = time.monotonic(), 0.0
        self._stamp = self._stamped()
        self._edition = self._opened(None)

    @property
    def edition(self) -> Edition:
        """The newest version that is ready; when there is a newer one, it is being opened meanwhile."""
        now = time.monotonic()
        if now - self._checked > max(_LOOK_EVERY, self._rest):
            self._checked = now
            if self._stamped() != self._stamp and not self._opening.locked():
                threading.Thread(target=self.renew, name="vretrver-renew", daemon=True).start()
        return self._edition

    @property
    def embedder(self) -> Embedder:
        return self._edition.retriever.embedder

    def warm(self) -> None:
        """Load what the first thumbnail would have to wait for."""
        with suppress(VretrverError):
            self._edition.index.thumbnails([""])

    def renew(self) -> None:
        """Open the version that counts now, if it is not open; returns when it is served."""
        with self._opening:
            self._renew()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change of the index from here: what it comes to is served afterwards, what is between is not."""
        with self._opening:
            try:
                yield
            finally:
                self._renew()

    def _renew(self) -> None:
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        started = time.monotonic()
        try:
            self._edition = self._opened(self._edition)
            self._stamp = stamp
        except VretrverError as fault:  # the version that is open goes on
            log.warning("a new version of %s cannot be opened: %s", self.folder, fault)
        # While somebody indexes, versions come by the second; opening them must not take all of the time.
        self._rest = 3 * (time.monotonic() - started)

    def _opened(self, before: Edition | None) -> Edition:
        index = load_index(self.folder)
        same = before is not None and before.index.fingerprint == index.fingerprint
        embedder = before.retriever.embedder if before is not None and same else embedder_of(index, self._given)
        _ = index.snapshot  # read, or built, before anybody waits for it
        edition = Edition(Retriever(index, embedder, self._reader))
        _ = edition.rows
        return edition

    def _stamped(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self.folder / MANIFEST)
        except OSError:
            return (0, 0, 0)
        return status.st_ino, status.st_size, status.st_mtime_ns


def thumbnail_of(edition: Edition, name: str) -> bytes:
    """A document's thumbnail.

    Raises:
        Refused: 404, there is no such document, or it has no picture.
    """
    document = edition.document(name)
    try:
        found = edition.thumbnail(name)
    except IndexMismatch:  # this version was swept away; the picture itself is still there
        found = None
    if found is None and document.image is not None:
        from vretrver.images import thumbnail

        try:
            return thumbnail(document.image)
        except (MissingPath, ImageError):
            raise gone(name) from None
    if found is None:
        raise Refused(404, "no_picture", f"document {name[:100]!r} has no picture", "id")
    return found


def gone(name: str) -> Refused:
    """404 for a document whose picture was there when it was indexed; says nothing of where."""
    return Refused(404, "gone", f"the picture of {name[:100]!r} is no longer there, or damaged", "id")

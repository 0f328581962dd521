"""An index kept in step with a folder: what the folder's changes are noticed by, and when they are taken in.

The system tells of changes (`watchfiles`); where it cannot, as on network drives, the folder is polled. A burst is let
settle, then `vretrver.ingest.build_index` brings the index up to date; printed words are read when nothing else waits.
Nothing is deleted on the word of a folder that is gone, empty or cannot be listed; of a folder in it, what is indexed
stays. What is indexed, and how, is `vretrver.ingest`'s.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vretrver.embedders import Embedder, load_embedder
from vretrver.errors import InvalidInput, MissingExtra, MissingPath, StorageError
from vretrver.images import EXTENSIONS
from vretrver.indexes import embedder_of, load_index
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import NAME as MANIFEST
from vretrver.ingest import IngestReport, build_index
from vretrver.ingest.printed import read_words
from vretrver.ocr import Reader, Reads, available
from vretrver.watching.noticing import Notices, identity

__all__ = ["Note", "watch"]

LOOK = 0.25  # seconds between two looks at whether the folder is there
AGAIN = 10.0  # seconds after which a write that failed is tried again
WORDS = 8  # pictures read for words before changes that came meanwhile go first


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person who watches would like to know.

    Args:
        kind: `watching` (in step for the first time), `changed` (a batch of changes was taken in), `read` (printed
            words), `waiting` (another process writes), `kept` (the folder cannot be believed, nothing is deleted) or
            `failed` (tried again by itself).
        text: one line, or several when there is something to name.
        report: what was done, for the first three.
    """

    kind: str
    text: str
    report: IngestReport | None = None

    def to_json(self) -> dict[str, Any]:
        """The note as JSON values; a report's lie beside its kind."""
        said = {"event": self.kind, "text": self.text}
        return said if self.report is None else said | self.report.to_json()


def watch(
    folder: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    embedder: str | Embedder = "lite",
    ocr: bool | Reads | None = None,
    *,
    listing: str | os.PathLike[str] | None = None,
    poll: float | None = None,
    tell: Callable[[Note], None] = lambda _note: None,
    stop: threading.Event | None = None,
) -> None:
    """Keep an index in step with a folder until `stop` is set, or for ever.

    Args:
        folder, destination, embedder, ocr, listing: as `vretrver.ingest.build_index`; the folder may be empty yet.
        poll: look through the folder every so many seconds, for drives whose changes the system does not tell; None
            waits to be told.
        tell: is given every note, in the thread of the caller.

    Raises:
        MissingExtra: `watchfiles` is not installed, or `ocr` is True and its extra is not.
        MissingPath: the folder does not exist at the start.
        InvalidInput, RecordError, StorageError: at the start, as `build_index`; later they are told as `failed`.
        StorageError: the system cannot watch so many folders.
        IndexMismatch: the index is of another format or embedder, now or later.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise MissingPath(f"no such folder: {folder}")
    if poll is not None and not 0.05 <= poll <= 86400:
        raise InvalidInput(f"poll is {poll}; choose 0.05 to 86400 seconds")
    keeper = _Keeper(root, Path(destination).resolve(), embedder=embedder, ocr=ocr, listing=listing, tell=tell)
    keeper.run(poll, stop or threading.Event())


class _Keeper:
    """Takes changes in. `changed` is set by whoever notices one."""

    def __init__(
        self,
        root: Path,
        destination: Path,
        *,
        embedder: str | Embedder,
        ocr: bool | Reads | None,
        listing: str | os.PathLike[str] | None,
        tell: Callable[[Note], None],
    ) -> None:
        self.root, self.destination, self.changed = root, destination, threading.Event()
        self._embedder, self._listing, self._tell = embedder, listing, tell
        self._loaded: Embedder | None = None
        self._started = self._took = False  # whether it was in step before; whether the last batch had something
        self._due = -math.inf  # when to look through the folder, told or not
        self._said = ""  # the trouble that was told last, so that it is told once
        self._skipped: set[tuple[str, str]] = set()
        self._warned: set[str] = set()
        self._reader: Reads | None = None
        if ocr is None and not available():
            self._warned_at_start = [f"words printed in the pictures are not read; {MissingExtra('OCR', 'ocr')}"]
        else:
            self._warned_at_start = []
            if ocr is not False:
                self._reader = Reader(glance_first=True) if isinstance(ocr, bool | None) else ocr

    def run(self, poll: float | None, stop: threading.Event) -> None:
        notices: Notices | None = None
        captions = _stamp(self._listing)
        try:
            while not stop.is_set():
                place = identity(self.root)
                if notices is not None and place != notices.place:
                    notices.close()
                    notices, self._due = None, time.monotonic()
                if place is None:
                    self._trouble("kept", f"{self.root} is gone; nothing is deleted, waiting until it is back")
                elif notices is None:
                    notices = Notices(self.root, self.destination, self.changed, place, poll)
                if captions != (captions := _stamp(self._listing)):
                    self.changed.set()
                if notices is not None and (self.changed.is_set() or time.monotonic() >= self._due):
                    notices.check()
                    self.changed.clear()
                    again = self._update()
                    if poll is not None and self._took:
                        # Polling tells dates apart by the second: what changed again within it was not noticed.
                        again = min(again, poll + 2)
                    self._due = time.monotonic() + again
                self.changed.wait(LOOK) if notices is not None else stop.wait(LOOK)
        finally:
            if notices is not None:
                notices.close()

    def _update(self) -> float:
        """Bring the index up to date; the seconds until it should be tried again."""
        self._took = False
        try:
            if not _pictures(self.root):
                return self._trouble("kept", f"no pictures in {self.root}; nothing is deleted, waiting for some")
            again = AGAIN if self._take_in().unseen else math.inf  # nothing tells when it can be listed again
            self._said = ""
            if self._reader is not None:
                self._read(self._reader)
            return again
        except StorageError as fault:
            if _busy(fault):
                self._trouble("waiting", f"another process is writing to {self.destination}; waiting until it is done")
                return LOOK
            if not self._started:
                raise
            self._trouble("failed", f"{fault}; trying again every {AGAIN:.0f} s")
            return AGAIN
        except (InvalidInput, MissingPath) as fault:
            if not self._started:
                raise
            return self._trouble("failed", f"{fault}; trying again when something changes")
        except _Unlisted as fault:
            self._trouble("kept", f"{fault}; nothing is deleted, trying again every {AGAIN:.0f} s")
            return AGAIN

    def _take_in(self) -> IngestReport:
        report = build_index(
            self.root, self.destination, self._model(), ocr=False, listing=self._listing, progress=False
        )
        named = [item for item in report.skipped if item not in self._skipped]
        self._skipped, report.skipped = set(report.skipped), named
        report.warnings = [text for text in [*self._warned_at_start, *report.warnings] if text not in self._warned]
        self._warned.update(report.warnings)
        if not self._started:
            text = f"watching {self.root}: {_counts(report) or 'nothing new'}, {report.unchanged} as before"
            self._say("watching", f"{text}, in {report.seconds:.1f} s", report)
        elif _counts(report) or named or report.warnings:
            self._say("changed", f"{_counts(report) or 'nothing changed'} in {report.seconds:.1f} s", report)
        self._started, self._took = True, bool(_counts(report) or named)
        return report

    def _read(self, reader: Reads) -> None:
        """Read printed words until all are read or something changes; a whole batch at least, so that it ends."""
        index, report, started = LanceIndex.open(self.destination), IngestReport(), time.monotonic()

        def give_way(_what: str, done: int, _total: int) -> None:
            if done > WORDS and done % WORDS == 1 and self.changed.is_set():
                raise _Changed

        if not index.unread():
            return
        with index.writing():
            with suppress(_Changed):
                read_words(index, report, give_way, reader, WORDS)
            if report.read:
                index.compact()
        _ = index.snapshot  # the first search need not wait for it
        report.seconds = time.monotonic() - started
        self._say("read", f"{report.read} read for words in {report.seconds:.1f} s", report)

    def _model(self) -> str | Embedder:
        """The embedder, kept loaded between batches; loaded anew when the index was taught meanwhile."""
        if not isinstance(self._embedder, str):
            return self._embedder
        if not (self.destination / MANIFEST).exists():
            self._loaded = load_embedder(self._embedder)
            return self._loaded
        index = load_index(self.destination)
        if index.embedder != self._embedder:
            return self._embedder  # build_index says what is wrong
        if self._loaded is None or self._loaded.fingerprint != index.fingerprint:
            self._loaded = embedder_of(index)
        return self._loaded

    def _say(self, kind: str, head: str, report: IngestReport) -> None:
        skipped = [f"skipped {path}: {reason}" for path, reason in report.skipped]
        warnings = [f"warning: {text}" for text in report.warnings]
        self._tell(Note(kind, "\n".join([head, *skipped, *warnings]), report))

    def _trouble(self, kind: str, text: str) -> float:
        if text != self._said:
            self._said = text
            self._tell(Note(kind, text))
        return math.inf


class _Changed(Exception):
    """Something changed while words were read."""


class _Unlisted(Exception):
    """The folder is there, but what is in it cannot be told."""


def _pictures(root: Path) -> bool:
    """Whether there is a picture at all.

    Raises:
        _Unlisted: the folder itself cannot be listed; folders in it are `build_index`'s.
    """

    def refuse(fault: OSError) -> None:
        if Path(fault.filename) == root:
            raise _Unlisted(f"{root} cannot be listed ({fault.strerror})") from fault

    for _place, folders, files in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".") and not name.endswith(".vr")]
        if any(Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".") for name in files):
            return True
    return False


def _stamp(path: str | os.PathLike[str] | None) -> tuple[int, int] | None:
    try:
        return None if path is None else ((status := os.stat(path)).st_mtime_ns, status.st_size)
    except OSError:
        return None


def _busy(fault: StorageError) -> bool:
    """Whether another process holds the index, rather than the disk refusing."""
    from filelock import Timeout

    return isinstance(fault.__cause__, Timeout)


def _counts(report: IngestReport) -> str:
    parts = {"added": report.added, "updated": report.updated, "deleted": report.deleted}
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)

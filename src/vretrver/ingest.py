"""From a folder, listing or candidate pool to an index: only what changed is opened, every batch is acknowledged.

Two phases. First vectors: a picture is decoded for its thumbnail and colours, embedded, and searchable from its
batch on. Then words: pictures not read yet go through OCR, batch by batch. Either may be cut off at any point; the
next run goes on. One unreadable picture is skipped, counted and named. What can be indexed is `vretrver.listing`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vretrver.embedders import Embedder, Teachable, checked, load_embedder
from vretrver.errors import ImageError, IndexMismatch, InvalidInput, MissingExtra, MissingPath
from vretrver.indexes import embedder_of
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import NAME as MANIFEST
from vretrver.indexes.manifest import Source
from vretrver.indexes.rows import Row, Stamp
from vretrver.listing import Entry, Listing, printable, read_source
from vretrver.ocr import MAX_SIDE, Reader, Reads, printed_text
from vretrver.types import Document, ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_T = TypeVar("_T")
_THREADS = 2  # decoding runs beside the embedder, which has a core of its own


@dataclass(slots=True)
class IngestReport:
    """What an indexing run did.

    Args:
        added, updated, unchanged, deleted: documents.
        read: pictures whose printed words were read.
        skipped: (path, reason) of what could not be indexed.
        warnings: what was indexed, but not as it came.
        seconds: the whole run; `embedding_seconds`: its first phase.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    read: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    embedding_seconds: float = 0.0

    def summary(self) -> str:
        """The report for people, a line per thing to know."""
        head = f"{self.added} added, {self.updated} updated, {self.unchanged} unchanged, {self.deleted} deleted"
        head += f", {self.read} read for words, {len(self.skipped)} skipped, in {self.seconds:.1f} s"
        skipped = [f"skipped {path}: {reason}" for path, reason in self.skipped]
        return "\n".join([head, *skipped, *(f"warning: {text}" for text in self.warnings)])

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self) | {"skipped": [list(item) for item in self.skipped]}


def build_index(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    embedder: str | Embedder = "lite",
    ocr: bool | Reads | None = None,
    *,
    listing: str | os.PathLike[str] | None = None,
    image_root: str | os.PathLike[str] | None = None,
    outside: bool = False,
    progress: bool = True,
    batch: int = 64,
) -> IngestReport:
    """Index a source, or bring its index up to date: what is new or changed is embedded, what is gone is deleted.

    Args:
        source, listing, image_root, outside: as `vretrver.listing.read_source`.
        destination: the index's folder. Several sources may share one index; each run touches only its own documents.
        embedder: a name or an object; an index that exists must have been built with it.
        ocr: read printed words afterwards; None does so if the extra is installed, and warns if not. A reader of your
            own may be passed instead.
        progress: draw progress on stderr when that is a terminal.
        batch: documents per acknowledged write.

    Raises:
        MissingPath, InvalidInput, RecordError: the source; see `read_source`.
        IndexMismatch: the index is of another format or embedder.
        StorageError: the disk is full or read-only, or another process is writing.
        MissingExtra: `ocr` is True and its extra is not installed.
    """
    started = time.monotonic()
    reader = Reader(glance_first=True) if ocr is True else None if ocr is False else ocr
    found = read_source(source, listing, image_root, outside)
    index, model = _opened(Path(destination), embedder)
    report = IngestReport(skipped=found.skipped, warnings=found.warnings)
    with index.writing():
        relative = os.path.relpath(found.root, index.folder.resolve())
        place = index.add_source(Source(str(found.origin), str(found.root), relative))
        _Vectors(index, model, place, report, index.stamps()).update(found, progress, batch)
        report.embedding_seconds = time.monotonic() - started
        if ocr is not False:
            _read_words(index, report, progress, reader)
        if report.added or report.updated or report.deleted or report.read:
            index.compact()
    _ = index.snapshot  # the first search need not wait for it
    report.seconds = time.monotonic() - started
    return report


def _opened(folder: Path, embedder: str | Embedder) -> tuple[LanceIndex, Embedder]:
    if (folder / MANIFEST).exists():
        index = LanceIndex.open(folder)
        if isinstance(embedder, str) and embedder != index.embedder:
            raise IndexMismatch(
                f"{folder} was built with embedder {index.embedder!r}, not {embedder!r}; ask for that one, "
                "or build another index with -o"
            )
        return index, embedder_of(index, None if isinstance(embedder, str) else embedder)
    model = load_embedder(embedder)
    width = model.features([Document("width", "width")]).shape[1] if isinstance(model, Teachable) else 0
    return LanceIndex.create(folder, model, width), model


# -- vectors ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An entry whose picture was opened; `small` is that picture, longer side at most 256 pixels."""

    entry: Entry
    stamp: Stamp
    small: PILImage | None = None
    thumbnail: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Untouched:
    """An entry whose file has another date, but the content it had."""

    entry: Entry
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """An entry that cannot be indexed, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Vectors:
    """The first phase of one run: brings one source's rows up to date. `known` is what the index held before."""

    index: LanceIndex
    model: Embedder
    place: int
    report: IngestReport
    known: Mapping[str, Stamp]

    def update(self, listing: Listing, progress: bool, batch: int) -> None:
        self._refuse_strangers(listing)
        listed = {entry.id for entry in listing.entries}
        gone = sorted(name for name, old in self.known.items() if old.source == self.place and name not in listed)
        if gone:
            self.index.delete(gone)
            self.report.deleted = len(gone)
        changed = [entry for entry in listing.entries if not _as_stamped(entry, self.known.get(entry.id))]
        self.report.unchanged = len(listing.entries) - len(changed)
        with _bar(len(changed), "embedding", progress) as bar, ThreadPoolExecutor(_THREADS) as pool:
            batches = _chunks(iter(changed), batch)
            waiting = [pool.submit(self._prepare, entry) for entry in next(batches, [])]
            while waiting:
                # The next batch is decoded while this one is embedded.
                coming = [pool.submit(self._prepare, entry) for entry in next(batches, [])]
                self._store([future.result() for future in waiting])
                bar.update(len(waiting))
                waiting = coming

    def _refuse_strangers(self, listing: Listing) -> None:
        for entry in listing.entries:
            old = self.known.get(entry.id)
            if old is not None and old.source != self.place:
                origin = self.index.manifest.sources[old.source].origin
                raise InvalidInput(
                    f"id {entry.id!r} is in {self.index.folder} already, from {origin}; "
                    "build another index with -o, or a listing with other ids"
                )

    def _prepare(self, entry: Entry) -> _Prepared | _Untouched | _Unreadable:
        from vretrver.images import encode_jpeg, fit_within, open_image

        caption, old = _caption_digest(entry), self.known.get(entry.id)
        if entry.file is None:
            return _Prepared(entry, Stamp(self.place, 0, 0, "", caption))
        try:
            status = entry.file.stat()
            picture = open_image(ImageRef(path=str(entry.file)), near=256)
            stamp = Stamp(self.place, status.st_size, status.st_mtime_ns, _content(entry.file), caption)
            if old is not None and (old.digest, old.caption) == (stamp.digest, caption):
                return _Untouched(entry, stamp)
            small = fit_within(picture, 256)
            return _Prepared(entry, stamp, small, encode_jpeg(small, quality=82))
        except (ImageError, MissingPath, OSError) as fault:
            return _Unreadable(printable(entry.path or entry.id), str(fault))

    def _store(self, results: Sequence[_Prepared | _Untouched | _Unreadable]) -> None:
        restamped = {result.entry.id: result.stamp for result in results if isinstance(result, _Untouched)}
        self.report.skipped.extend((r.path, r.reason) for r in results if isinstance(r, _Unreadable))
        self.report.unchanged += len(restamped)
        if restamped:
            self.index.restamp(restamped)
        rows = self._rows([result for result in results if isinstance(result, _Prepared)])
        self.index.upsert(rows)
        self.report.updated += sum(row.id in self.known for row in rows)
        self.report.added += sum(row.id not in self.known for row in rows)

    def _rows(self, ready: Sequence[_Prepared]) -> list[Row]:
        # Colours are described here, not in the pool: small matrix products from several threads at once make
        # OpenBLAS forty times slower on a busy machine.
        from vretrver.colours import describe_picture

        repainted = {p.entry.id for p in ready if not self._same_picture(p)}
        printed = self.index.printed([p.entry.id for p in ready if p.entry.id not in repainted])
        rows = []
        for item, (vector, features) in zip(ready, self._embedded(ready), strict=True):
            if vector is None:
                continue
            entry, stamp = item.entry, item.stamp
            rows.append(
                Row(
                    id=entry.id,
                    text=entry.text,
                    path=entry.path,
                    source=stamp.source,
                    vector=vector,
                    metadata=entry.metadata,
                    features=features,
                    thumbnail=item.thumbnail,
                    colours=None if item.small is None else describe_picture(item.small),
                    size=stamp.size,
                    mtime_ns=stamp.mtime_ns,
                    digest=stamp.digest,
                    caption=stamp.caption,
                    printed=printed.get(entry.id),
                )
            )
        return rows

    def _same_picture(self, item: _Prepared) -> bool:
        """Whether only the caption changed, so that words read off the picture stay good."""
        old = self.known.get(item.entry.id)
        return old is not None and bool(old.digest) and old.digest == item.stamp.digest

    def _embedded(self, ready: Sequence[_Prepared]) -> list[tuple[Any, Any]]:
        """(vector, features) per item; (None, None) for one that the embedder cannot open."""
        if not ready:
            return []
        model, documents = self.model, [item.entry.document for item in ready]
        try:
            if isinstance(model, Teachable):
                features = model.features(documents)
                vectors = model.project(features, queries=False)
                return list(zip(checked(vectors, len(ready), model.dim, model.name), features, strict=True))
            vectors = checked(model.encode(documents), len(ready), model.dim, model.name)
            return [(vector, None) for vector in vectors]
        except (ImageError, MissingPath) as fault:
            if len(ready) == 1:
                self.report.skipped.append((printable(ready[0].entry.path or ready[0].entry.id), str(fault)))
                return [(None, None)]
            return [pair for item in ready for pair in self._embedded([item])]


# -- printed words ----------------------------------------------------------------------------------------------


def _read_words(index: LanceIndex, report: IngestReport, progress: bool, reader: Reads | None, batch: int = 16) -> None:
    """Read the pictures that have not been read; stop at any time, acknowledged batches stay."""
    from vretrver.images import open_image

    waiting = index.unread()
    if not waiting:
        return
    try:
        reader = Reader(glance_first=True) if reader is None else reader
    except MissingExtra as fault:
        report.warnings.append(f"words printed in the pictures were not read; {fault}")
        return
    with _bar(len(waiting), "reading words", progress) as bar:
        for chunk in _chunks(iter(waiting), batch):
            found: dict[str, str] = {}
            for name, path in chunk:
                try:
                    found[name] = printed_text(reader.read(open_image(ImageRef(path=path), near=MAX_SIDE // 2)))
                except (ImageError, MissingPath) as fault:
                    found[name] = ""
                    report.warnings.append(f"{path}: no words read; {fault}")
                bar.update(1)
            index.set_printed(found)
            report.read += len(found)


# -- small things -----------------------------------------------------------------------------------------------


def _as_stamped(entry: Entry, old: Stamp | None) -> bool:
    """Whether an entry is stored as it is, as far as its caption and its file's size and date tell."""
    if old is None or old.caption != _caption_digest(entry):
        return False
    if entry.file is None:
        return True
    try:
        status = entry.file.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (old.size, old.mtime_ns)


def _caption_digest(entry: Entry) -> str:
    content = json.dumps([entry.text, entry.path, dict(entry.metadata)], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _content(file: Path) -> str:
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _chunks(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _bar(total: int, what: str, progress: bool) -> Any:
    from tqdm import tqdm

    # None: tqdm draws only on a terminal.
    return tqdm(total=total, unit="image", desc=what, disable=None if progress and total else True)

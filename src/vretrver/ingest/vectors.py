"""The first phase of an indexing run: what is new or changed is embedded and stored; what is gone is deleted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.embedders import Embedder, Teachable, checked
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.rows import Row, Stamp
from vretrver.ingest.batches import Progress, bar, chunks
from vretrver.ingest.report import IngestReport
from vretrver.listing import Entry, Listing, printable
from vretrver.types import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

THREADS = 2  # decoding runs beside the embedder, which has a core of its own


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
class Vectors:
    """The first phase of one run: brings one source's rows up to date. `known` is what the index held before."""

    index: LanceIndex
    model: Embedder
    place: int
    report: IngestReport
    known: Mapping[str, Stamp]

    def update(self, listing: Listing, progress: Progress, batch: int) -> None:
        self._refuse_strangers(listing)
        listed = {entry.id for entry in listing.entries}
        absent = [name for name, old in self.known.items() if old.source == self.place and name not in listed]
        gone = sorted(name for name in absent if not listing.may_hold(name))  # a folder's ids are its paths
        if gone:
            self.index.delete(gone)
            self.report.deleted = len(gone)
        changed = [entry for entry in listing.entries if not _as_stamped(entry, self.known.get(entry.id))]
        self.report.unchanged = len(listing.entries) - len(changed)
        with bar(len(changed), "embedding", progress) as drawn, ThreadPoolExecutor(THREADS) as pool:
            batches = chunks(iter(changed), batch)
            waiting = [pool.submit(self._prepare, entry) for entry in next(batches, [])]
            while waiting:
                # The next batch is decoded while this one is embedded.
                coming = [pool.submit(self._prepare, entry) for entry in next(batches, [])]
                self._store([future.result() for future in waiting])
                drawn.update(len(waiting))
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

"""From a folder, listing or candidate pool to an index: only what changed is opened, every batch is acknowledged.

Two phases. First vectors: a picture is decoded for its thumbnail and colours, embedded, and searchable from its
batch on. Then words: pictures not read yet go through OCR, batch by batch. Either may be cut off at any point; the
next run goes on. One unreadable picture is skipped, counted and named. What can be indexed is `vretrver.listing`'s.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from vretrver.embedders import Embedder, Teachable, load_embedder
from vretrver.errors import IndexMismatch
from vretrver.indexes import embedder_of
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import NAME as MANIFEST
from vretrver.indexes.manifest import Source
from vretrver.ingest.batches import Progress
from vretrver.ingest.printed import read_words
from vretrver.ingest.report import IngestReport
from vretrver.ingest.vectors import Vectors
from vretrver.listing import read_source
from vretrver.ocr import Reader, Reads
from vretrver.types import Document

__all__ = ["IngestReport", "build_index"]


def build_index(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    embedder: str | Embedder = "lite",
    ocr: bool | Reads | None = None,
    *,
    listing: str | os.PathLike[str] | None = None,
    image_root: str | os.PathLike[str] | None = None,
    outside: bool = False,
    progress: Progress = True,
    batch: int = 64,
) -> IngestReport:
    """Index a source, or bring its index up to date: what is new or changed is embedded, what is gone is deleted.

    Args:
        source, listing, image_root, outside: as `vretrver.listing.read_source`.
        destination: the index's folder. Several sources may share one index; each run touches only its own documents.
        embedder: a name or an object; an index that exists must have been built with it.
        ocr: read printed words afterwards; None does so if the extra is installed, and warns if not. A reader of your
            own may be passed instead.
        progress: draw progress on stderr when that is a terminal; or a function, told what is done (`embedding`,
            `reading words`), how much of it, and of how much.
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
    report = IngestReport(skipped=found.skipped, unseen=sorted(found.unseen), warnings=found.warnings)
    with index.writing():
        relative = os.path.relpath(found.root, index.folder.resolve())
        place = index.add_source(Source(str(found.origin), str(found.root), relative))
        Vectors(index, model, place, report, index.stamps()).update(found, progress, batch)
        report.embedding_seconds = time.monotonic() - started
        if ocr is not False:
            read_words(index, report, progress, reader)
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

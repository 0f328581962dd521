"""A task's pool as an index, made once and kept: runs that share pool, embedder and corruption share it.

The pool goes through the product's own `build_index`, from a listing with absolute paths: what is evaluated is what
people use. A cache may be deleted at any time. Pictures that cannot be indexed are named, not hidden.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vretrver.datasets import Pool, Task
from vretrver.embedders import Embedder
from vretrver.errors import StorageError
from vretrver.ingest import build_index
from vretrver.ocr_memory import RememberedReader
from vretrver.types import Document

if TYPE_CHECKING:
    from vretrver.degrade import Degradation


def cache_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Where indexes and words that were read are kept: the folder given, else the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(given) if given is not None else Path(home) / "vretrver"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise StorageError(f"cannot make the cache folder {folder}: {fault.strerror or fault}; name another") from fault
    return folder


def reader_of(cache: Path, glance: bool = False) -> RememberedReader:
    """An OCR reader that remembers; with `glance`, the faster one that reads whole collections (`build_index`)."""
    from vretrver.ocr import Reader

    name = "glanced.jsonl" if glance else "read.jsonl"
    return RememberedReader(cache / name, Reader(glance_first=glance))


def pool_index(
    task: Task, digest: str, embedder: Embedder, cache: Path, *, reading: bool, progress: bool
) -> tuple[Path, list[tuple[str, str]]]:
    """The index of a task's pool, built or brought up to date.

    Args:
        digest: of the task's data as asked, corruption included.
        reading: whether print is read.

    Returns:
        Its folder, and (path, reason) of what could not be indexed.

    Raises:
        IndexMismatch, StorageError: as `build_index`.
    """
    key = hashlib.sha256(f"{digest}:{embedder.fingerprint}:{reading}".encode()).hexdigest()[:16]
    folder = cache / "indexes" / f"{task.name.replace('/', '-')}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    listing = folder.with_suffix(".jsonl")
    if not listing.exists():
        half = listing.with_suffix(f".{os.getpid()}.part")
        with half.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(_row(document)) + "\n" for document in task.pool)
        half.replace(listing)
    reader = reader_of(cache, glance=True) if reading else False
    report = build_index(listing, folder, embedder, ocr=reader, image_root="/", outside=True, progress=progress)
    return folder, report.skipped


def _row(document: Document) -> dict[str, str | None]:
    path = None if document.image is None else document.image.path
    return {"id": document.id, "text": document.text, "image": None if path is None else str(Path(path).absolute())}


class DegradedPool:
    """A pool whose pictures are corrupted, written when they are asked for.

    Args:
        pool: the sound one.
        degradation: what is done to each picture.
        folder: where corrupted pictures are kept.
    """

    def __init__(self, pool: Pool, degradation: Degradation, folder: Path) -> None:
        self._pool, self._degradation, self._folder = pool, degradation, folder

    def __len__(self) -> int:
        return len(self._pool)

    def __iter__(self) -> Iterator[Document]:
        for document in self._pool:
            yield degraded_document(document, self._degradation, self._folder)


def degraded_document(document: Document, degradation: Degradation, folder: Path) -> Document:
    """The document with its picture corrupted; a picture that cannot be read stays as it is."""
    from dataclasses import replace

    from vretrver.degrade import degraded_file
    from vretrver.errors import ImageError, MissingPath
    from vretrver.types import ImageRef

    if document.image is None:
        return document
    try:
        return replace(document, image=ImageRef(path=str(degraded_file(document.image, degradation, folder))))
    except (ImageError, MissingPath):
        return document

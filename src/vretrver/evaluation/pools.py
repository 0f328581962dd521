"""A task's pool as an index, made once and kept: runs that share pool, embedder and corruption share it.

The pool goes through the product's own `build_index`, from a listing with absolute paths: what is evaluated is what
people use. A cache may be deleted at any time. Pictures that cannot be indexed are named, not hidden.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from vretrver.datasets import Task
from vretrver.embedders import Embedder
from vretrver.errors import StorageError
from vretrver.ingest import build_index
from vretrver.ocr_memory import RememberedReader
from vretrver.types import Document


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
    task: Task, embedder: Embedder, cache: Path, *, reading: bool, progress: bool
) -> tuple[Path, list[tuple[str, str]]]:
    """The index of a task's pool, built or brought up to date.

    Args:
        reading: whether print is read.

    Returns:
        Its folder, and (path, reason) of what could not be indexed.

    Raises:
        IndexMismatch, StorageError: as `build_index`.
    """
    home = cache / "indexes"
    home.mkdir(parents=True, exist_ok=True)
    half = home / f"{os.getpid()}.part"
    digest = hashlib.sha256(f"{embedder.fingerprint}:{reading}".encode())
    with half.open("w", encoding="utf-8") as file:
        for document in task.pool:
            line = json.dumps(_row(document)) + "\n"
            digest.update(line.encode())
            file.write(line)
    folder = home / f"{task.name.replace('/', '-')}-{digest.hexdigest()[:16]}"
    listing = folder.with_suffix(".jsonl")
    half.replace(listing)
    reader = reader_of(cache, glance=True) if reading else False
    report = build_index(listing, folder, embedder, ocr=reader, image_root="/", outside=True, progress=progress)
    return folder, report.skipped


def _row(document: Document) -> dict[str, str | None]:
    path = None if document.image is None else document.image.path
    return {"id": document.id, "text": document.text, "image": None if path is None else str(Path(path).absolute())}

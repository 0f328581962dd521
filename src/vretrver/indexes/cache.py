"""The index's cache: what a search reads, as plain files that are memory-mapped. Never trusted unverified.

One folder per table version and embedder fingerprint; its `sums.json`, written last, holds size and CRC-32 of every
file (against damage, not against malice: who can write here can write the index).
A cache that is of another version, incomplete or changed by a single bit is ignored and made again from the table.
It needs no lock: a folder is written aside and renamed into place. Deleting `cache/` loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vretrver.indexes.words import WordIndex

_VERSION = 1  # of this layout and of what is computed into it (tokens); raise it when either changes
_FILES = ("vectors.npy", "colours.npy", "starts.npy", "postings.npy", "weights.npy", "vocabulary.txt", "rows.arrow")


@dataclass(frozen=True)
class Snapshot:
    """All that a search reads, rows in id order.

    Args:
        vectors: float32, shape (N, D).
        colours: colour descriptors, float32, shape (N, 64); zeros for a row without a picture.
        words: inverted lists of captions and printed words.
        rows: id, text, path, source, printed, metadata (JSON).
    """

    vectors: NDArray[np.float32]
    colours: NDArray[np.float32]
    words: WordIndex
    rows: pa.Table


def key(version: int, fingerprint: str) -> str:
    """Name of the cache folder of a table version."""
    return f"{_VERSION}-{version}-{hashlib.sha256(fingerprint.encode()).hexdigest()[:16]}"


def read(folder: Path, name: str) -> Snapshot | None:
    """The snapshot of that name, every byte verified; None if there is none or anything about it is off."""
    place = folder / name
    try:
        sums = json.loads((place / "sums.json").read_bytes())
        if sums != {file: _digest(place / file) for file in _FILES}:
            return None
        return _mapped(place)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def write(folder: Path, name: str, snapshot: Snapshot) -> None:
    """Keep a snapshot and drop older ones. A cache that cannot be written (read-only, full) is simply not kept."""
    aside = folder / f".{name}.{os.getpid()}"
    try:
        aside.mkdir(parents=True)
        _save(aside, snapshot)
        (aside / "sums.json").write_text(json.dumps({file: _digest(aside / file) for file in _FILES}))
        if (folder / name).exists():  # it was there and did not verify
            shutil.rmtree(folder / name, ignore_errors=True)
        aside.rename(folder / name)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        return
    for other in folder.iterdir():
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)


def _save(place: Path, snapshot: Snapshot) -> None:
    words = snapshot.words
    np.save(place / "vectors.npy", np.ascontiguousarray(snapshot.vectors, np.float32))
    np.save(place / "colours.npy", np.ascontiguousarray(snapshot.colours, np.float32))
    np.save(place / "starts.npy", words.starts)
    np.save(place / "postings.npy", words.rows)
    np.save(place / "weights.npy", words.weights)
    (place / "vocabulary.txt").write_text(words.vocabulary, encoding="utf-8", newline="\n")
    with pa.OSFile(str(place / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, snapshot.rows.schema) as writer:
        writer.write_table(snapshot.rows)


def _mapped(place: Path) -> Snapshot:
    def array(file: str) -> NDArray[np.float32]:
        loaded: NDArray[np.float32] = np.load(place / file, mmap_mode="r", allow_pickle=False)
        # A memmap subclass slows every slice; a plain view of the same memory does not.
        return np.asarray(loaded)

    rows = pa.ipc.open_file(pa.memory_map(str(place / "rows.arrow"))).read_all()
    words = WordIndex(
        (place / "vocabulary.txt").read_text(encoding="utf-8"),
        np.load(place / "starts.npy", allow_pickle=False),
        np.load(place / "postings.npy", mmap_mode="r", allow_pickle=False),
        array("weights.npy"),
        rows.num_rows,
    )
    return Snapshot(array("vectors.npy"), array("colours.npy"), words, rows)


def _digest(path: Path) -> list[int]:
    """Size and CRC-32: three times as fast as a cryptographic hash, and a search waits for it."""
    size = checksum = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            checksum = zlib.crc32(block, checksum)
            size += len(block)
    return [size, checksum]

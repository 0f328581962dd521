"""The index's manifest: which embedder built it, and which version of the table counts. The one commit point.

A row is acknowledged when the manifest that names its table version is on disk. Whatever the table holds
beyond that version was being written when a process died; the next writer drops it. The file is replaced
whole (write aside, fsync, rename, fsync the folder). It leaves the table itself to `vretrver.indexes.table`.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vretrver import __version__
from vretrver.errors import IndexMismatch, MissingPath, StorageError

FORMAT = 1
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or listing that is mirrored in the index.

    Args:
        origin: absolute path of the folder or listing file.
        root: absolute folder its rows' paths start from.
        relative: `root` as seen from the index's folder, for a tree that was moved as a whole.
    """

    origin: str
    root: str
    relative: str

    def is_now(self, other: Source) -> bool:
        """Whether `other` is this source: the same place or, if nothing is left there, the same beside the index."""
        if self.origin == other.origin:
            return True
        moved = not Path(self.origin).exists() and self.relative == other.relative
        return moved and Path(self.origin).name == Path(other.origin).name

    def resolved(self, index: Path) -> Path:
        """The root where it is now: where it was, or at the same place beside the index."""
        root = Path(self.root)
        beside = index / self.relative
        return root if root.exists() or not beside.exists() else beside.resolve()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index folder is.

    Args:
        embedder: name that `load_embedder` takes.
        fingerprint: the embedder's, taught state included.
        dim: length of a vector; `features`: length of the stored features, 0 when the embedder has none.
        version: the table version that counts.
        taught: the state in `taught/` that the vectors were made with, 0 for none.
        sources: what is mirrored; rows hold a position in this list.
    """

    embedder: str
    fingerprint: str
    dim: int
    features: int = 0
    version: int = 0
    taught: int = 0
    sources: tuple[Source, ...] = ()
    format: int = FORMAT
    vretrver: str = __version__

    def at(self, version: int) -> Manifest:
        return replace(self, version=version, vretrver=__version__)

    def write(self, folder: Path) -> None:
        """Replace the manifest of `folder`; when this returns it survives a power cut.

        Raises:
            StorageError: the disk is full or read-only.
        """
        write_atomically(folder / NAME, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of an index folder.

        Raises:
            MissingPath: there is no index.
            IndexMismatch: another format, or damaged.
        """
        try:
            record = json.loads((folder / NAME).read_bytes())
        except (FileNotFoundError, NotADirectoryError) as fault:
            what = "holds no index" if folder.is_dir() else "does not exist" if not folder.exists() else "is a file"
            raise MissingPath(f"{folder} {what}; build one with: vretrver index PHOTOS -o {folder}") from fault
        except (ValueError, OSError) as fault:
            raise IndexMismatch(f"{folder / NAME} cannot be read ({fault}); build the index again") from fault
        return cls._parsed(record, folder)

    @classmethod
    def _parsed(cls, record: Any, folder: Path) -> Manifest:
        found = record.get("format") if isinstance(record, dict) else None
        if found != FORMAT:
            raise IndexMismatch(
                f"{folder} has index format {found!r} (written by vretrver {_writer(record)}); "
                f"vretrver {__version__} reads format {FORMAT}: build it again with: vretrver index PHOTOS -o {folder}"
            )
        try:
            sources = tuple(Source(**source) for source in record.pop("sources"))
            return cls(sources=sources, **record)
        except (TypeError, KeyError, AttributeError) as fault:
            raise IndexMismatch(f"{folder / NAME} is damaged ({fault}); build the index again") from fault


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` aside, fsync, rename over `path`, fsync the folder.

    Raises:
        StorageError: the disk is full or read-only.
    """
    aside = path.with_name(f".{path.name}.new")
    with storage_errors(path.parent):
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync(path.parent)


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn what the system or the database says of a disk into one line that says what to do.

    Raises:
        StorageError: for any OSError within, and for a database error that speaks of the disk.
    """
    try:
        yield
    except StorageError:
        raise
    except (OSError, RuntimeError) as fault:
        advice = _advice(fault)
        if advice is None:
            raise
        raise StorageError(f"cannot write to {folder}: {advice}") from fault


_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again, what was acknowledged is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, what was acknowledged is kept",
    errno.EFBIG: "a file there may not grow further; raise the limit or free space, what was acknowledged is kept",
    errno.EROFS: "the file system is read-only; choose another folder with -o",
    errno.EACCES: "permission denied; choose another folder with -o or change its permissions",
    errno.EPERM: "permission denied; choose another folder with -o or change its permissions",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another folder with -o",
    errno.EEXIST: "a file of this name is in the way; choose another folder with -o",
}


def _advice(fault: BaseException) -> str | None:
    if isinstance(fault, OSError) and fault.errno in _ADVICE:
        return _ADVICE[fault.errno]
    text = str(fault)
    for code, advice in _ADVICE.items():  # the database hides the number in its text
        if os.strerror(code) in text:
            return advice
    return text.split("\n", 1)[0][:200] if isinstance(fault, OSError) else None


def _writer(record: Any) -> str:
    return str(record.get("vretrver", "unknown"))[:20] if isinstance(record, dict) else "unknown"

"""One document to index, and what a source holds of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vretrver.types import Document, ImageRef


@dataclass(frozen=True, slots=True)
class Entry:
    """One document to index. `path` is its picture as stored (posix, from the listing's root), `file` where it is."""

    id: str
    text: str | None = None
    path: str | None = None
    file: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> Document:
        """The document it describes, its picture unopened."""
        image = None if self.file is None else ImageRef(path=str(self.file))
        return Document(self.id, self.text, image, metadata=self.metadata)


@dataclass(slots=True)
class Listing:
    """What a source holds: its entries in order, and what was left out and why.

    `unseen` are paths from the root, of folders and of pictures, that could not be looked at: they may hold what they
    held before, so nothing is deleted for being absent there.
    """

    origin: Path
    root: Path
    entries: list[Entry] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unseen: set[str] = field(default_factory=set)

    def may_hold(self, path: str) -> bool:
        """Whether a picture that is not among the entries may still be there."""
        parts = path.split("/")
        return any("/".join(parts[:depth]) in self.unseen for depth in range(1, len(parts) + 1))

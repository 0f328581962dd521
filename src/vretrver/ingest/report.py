"""What an indexing run did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class IngestReport:
    """What an indexing run did.

    Args:
        added, updated, unchanged, deleted: documents.
        read: pictures whose printed words were read.
        skipped: (path, reason) of what could not be indexed.
        unseen: of these, folders and pictures that could not be looked at; what was indexed of them stays.
        warnings: what was indexed, but not as it came.
        seconds: the whole run; `embedding_seconds`: its first phase.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    read: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
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

"""Documents that come over HTTP: kept beside the index as a listing of their own, indexed like any other.

    photos.vr/uploads/documents.jsonl   one record a document
    photos.vr/uploads/ab/abcd....jpg    its picture, named by its content

So `vretrver index photos.vr/uploads/documents.jsonl -o photos.vr` does again what was done here, and what was
acknowledged is on disk. Printed words are left to `words`. One writer at a time: threads wait for each other, another
process is an error.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.errors import RecordError
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import storage_errors, write_atomically
from vretrver.ingest import build_index
from vretrver.listing import read_records
from vretrver.listing.entries import Listing
from vretrver.server.collection import Collection
from vretrver.server.faults import Refused
from vretrver.types import Document

FOLDER = "uploads"
LISTING = "documents.jsonl"
_STARTS = {
    b"\xff\xd8": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"BM": ".bmp",
}


@dataclass(frozen=True, slots=True)
class Added:
    """What became of documents that came: ids as given, and (id, reason) of those that could not be indexed."""

    ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


class Uploads:
    """Adds documents to a collection and deletes them; every change is acknowledged and served when it returns."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._folder = collection.folder / FOLDER
        self.turn = threading.Lock()  # held by whoever changes the index from here

    def add(self, documents: Sequence[Document]) -> Added:
        """Add documents, or replace those that were added under the same id.

        Args:
            documents: with pictures as bytes, which were checked.

        Raises:
            Refused: 409, an id belongs to a document that came another way.
            StorageError: the disk is full or read-only, or another process is writing.
        """
        with self.turn:
            before = self._records()
            self._refuse_strangers(documents, before)
            records = before | {document.id: self._record(document) for document in documents}
            self._write(records)
            try:
                with self._collection.changing():
                    listing, index = self._folder / LISTING, self._collection.folder
                    report = build_index(listing, index, self._collection.embedder, ocr=False, progress=False)
            except BaseException:
                self._write(before)
                raise
        skipped = tuple((str(where), why) for where, why in report.skipped)
        return Added(tuple(document.id for document in documents), skipped)

    def delete(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Delete documents by id: (those that were there, those that were not).

        One that was indexed from a folder comes back when that folder is indexed again.

        Raises:
            StorageError: as `add`.
        """
        with self.turn:
            rows = self._collection.edition.rows
            there = [name for name in dict.fromkeys(names) if name in rows]
            if there:
                before = self._records()
                kept = {name: record for name, record in before.items() if name not in there}
                self._write(kept)  # first: what is cut off here, the next writer finishes
                try:
                    with self._collection.changing():
                        index = LanceIndex.open(self._collection.folder)
                        with index.writing():
                            index.delete(there)
                except BaseException:
                    self._write(before)
                    raise
                self._sweep(kept)
        return there, [name for name in dict.fromkeys(names) if name not in there]

    # -- the listing --------------------------------------------------------------------------------------------

    def _records(self) -> dict[str, dict[str, Any]]:
        file = self._folder / LISTING
        if not file.exists():
            return {}
        listing = Listing(file, self._folder)
        records = {str(record["id"]): record for _where, record in read_records(file, listing) if "id" in record}
        if listing.skipped:
            raise RecordError(f"{file} has lines that do not parse, such as {listing.skipped[0][0]}; mend it first")
        return records

    def _write(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        lines = (json.dumps(record, ensure_ascii=True, separators=(",", ":")) for record in records.values())
        if not records and not (self._folder / LISTING).exists():
            return  # nothing was ever uploaded
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / LISTING, "".join(f"{line}\n" for line in lines).encode())

    def _record(self, document: Document) -> dict[str, Any]:
        record: dict[str, Any] = {**document.metadata, "id": document.id}
        if document.text is not None:
            record["text"] = document.text
        if document.image is not None:
            assert document.image.data is not None
            record["path"] = self._kept(document.image.data)
        return record

    def _kept(self, data: bytes) -> str:
        """Keep a picture's bytes; its path from the uploads' folder."""
        name = hashlib.sha256(data).hexdigest()
        path = f"{name[:2]}/{name}{_extension(data)}"
        file = self._folder / path
        if not file.exists():
            with storage_errors(self._folder):
                file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, data)
        return path

    def _sweep(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Remove pictures that no record names any more."""
        named = {record.get("path") for record in records.values()}
        for file in self._folder.glob("??/*"):
            if f"{file.parent.name}/{file.name}" not in named:
                file.unlink(missing_ok=True)

    def _refuse_strangers(self, documents: Sequence[Document], records: Mapping[str, Any]) -> None:
        rows = self._collection.edition.rows
        for at, document in enumerate(documents):
            if document.id in rows and document.id not in records:
                raise Refused(
                    409,
                    "id_taken",
                    f"document {document.id[:100]!r} was indexed from a folder; choose another id, or delete it first",
                    f"documents.{at}.id",
                )


def _extension(data: bytes) -> str:
    """A file's extension by its first bytes, for people who look into the folder."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((extension for start, extension in _STARTS.items() if data.startswith(start)), "")

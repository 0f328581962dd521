"""The durable embedded index: a folder with a LanceDB table, a manifest that says which version of it counts, a cache.

    photos.vr/
      manifest.json     format, embedder and its fingerprint, the table version that counts, mirrored sources
      documents.lance/  one row a document: texts, metadata, thumbnail, vector, features, printed words, colours, stamp
      cache/            what a search reads, keyed to the table version, verified at every opening
      taught/           states of a taught embedder and the labels they came from
      write.lock        held by the one writer

Every write is a batch: it is acknowledged when the method returns, and then survives a kill or a power cut; a batch
that was cut off leaves no trace. Reading needs no lock, no write permission and, with a valid cache, no database.
It leaves out what is read and embedded (`vretrver.ingest`) and how signals make a score (`vretrver.fusion`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vretrver.errors import IndexMismatch, InvalidInput, StorageError
from vretrver.indexes import Probe, Scores, cache, filters, scan
from vretrver.indexes.manifest import Manifest, Source, storage_errors
from vretrver.indexes.rows import COLOURS, LISTED, STAMPED, Row, Stamp, fixed, matrix, schema, stamps_to_arrow, to_arrow
from vretrver.indexes.table import UNFINISHED, AcknowledgedTable, among
from vretrver.indexes.words import WordIndex, tokens
from vretrver.types import Document, ImageRef

if TYPE_CHECKING:
    from vretrver.embedders import Embedder


class LanceIndex:
    """A folder on disk: `open` to read, `create` for a new one, `writing()` around every change."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self._table = AcknowledgedTable(folder, manifest, changed=self._forget)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> LanceIndex:
        """The index of a folder, for reading.

        Raises:
            MissingPath: there is no index. IndexMismatch: another format version, or damaged.
        """
        folder = Path(path)
        return cls(folder, Manifest.read(folder))

    @classmethod
    def create(cls, path: str | os.PathLike[str], embedder: Embedder, features: int = 0) -> LanceIndex:
        """An empty index in a new or empty folder.

        Args:
            features: length of the features kept per row, 0 for an embedder that cannot be taught.

        Raises:
            StorageError: the folder cannot be made, is not empty, or another writer is at it.
        """
        folder = Path(path)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            strangers = [item.name for item in folder.iterdir() if item.name not in UNFINISHED]
        if strangers:
            raise StorageError(f"{folder} is not empty and no index ({strangers[0]!r} is in it); choose another folder")
        index = cls(folder, Manifest(embedder.name, embedder.fingerprint, embedder.dim, features))
        index._table.create(index._schema)
        return index

    @property
    def manifest(self) -> Manifest:
        """What counts now."""
        return self._table.manifest

    @property
    def embedder(self) -> str:
        return self.manifest.embedder

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def dim(self) -> int:
        return self.manifest.dim

    @property
    def has_words(self) -> bool:
        return bool(self.snapshot.words.vocabulary)

    def __len__(self) -> int:
        return int(self.snapshot.rows.num_rows)

    def taught_file(self, state: int | None = None) -> str | None:
        """Where a taught state is kept, the current one by default; None for the untaught."""
        state = self.manifest.taught if state is None else state
        return str(self.folder / "taught" / f"{state:04}.npz") if state else None

    def info(self) -> dict[str, Any]:
        """Facts for people: what the index holds and who made it."""
        printed = self.snapshot.rows["printed"].to_pylist()
        return {
            "documents": len(self),
            "embedder": self.embedder,
            "fingerprint": self.fingerprint,
            "dim": self.dim,
            "lessons": self.manifest.taught,
            "words_read": sum(text is not None for text in printed),
            "words_unread": sum(text is None for text in printed),
            "sources": [source.origin for source in self.manifest.sources],
            "format": self.manifest.format,
            "vretrver": self.manifest.vretrver,
        }

    def check(self, embedder: Embedder) -> None:
        """Refuse an embedder whose vectors are not comparable with those stored.

        Raises:
            IndexMismatch: its fingerprint is another.
        """
        if embedder.fingerprint != self.fingerprint:
            raise IndexMismatch(
                f"{self.folder} was built with embedder {self.embedder} ({self.fingerprint[:12]}), this is "
                f"{embedder.name} ({embedder.fingerprint[:12]}); use that one, or build another index with -o"
            )

    # -- reading ------------------------------------------------------------------------------------------------

    @cached_property
    def snapshot(self) -> cache.Snapshot:
        """All that a search reads, from the verified cache or else from the table."""
        name = cache.key(self.manifest.version, self.manifest.fingerprint)
        found = cache.read(self.folder / "cache", name)
        if found is None:
            found = self._collected()
            cache.write(self.folder / "cache", name, found)
        return found

    def score(self, probes: Sequence[Probe], where: filters.Where | None = None) -> Iterator[Scores]:
        """Every row that passes the filter, scored; see `vretrver.indexes.Index.score`."""
        if not probes:
            return
        snapshot, mask = self.snapshot, self._mask(where)
        rows = np.arange(len(self)) if mask is None else np.flatnonzero(mask)
        kept = slice(None) if mask is None else rows
        queries = scan.stacked([probe.vector for probe in probes])
        chosen = None if mask is None else rows
        for probe, vector in zip(probes, scan.dots(snapshot.vectors, queries, chosen), strict=True):
            signals = {"vector": vector}
            for name, text in (("words", probe.words), ("printed", probe.printed)):
                if text is not None:
                    signals[name] = snapshot.words.scores(tokens(text))[kept]
            for name, colour in (("colour", probe.colour), ("palette", probe.palette)):
                if colour is not None:
                    signals[name] = (snapshot.colours @ np.asarray(colour, np.float32))[kept]
            yield Scores(rows, signals)

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents of rows, in the order asked for."""
        return [self._document(record) for record in self.snapshot.rows.take(pa.array(rows, pa.int64())).to_pylist()]

    def ids(self) -> list[str]:
        """All ids, in row order."""
        listed: list[str] = self.snapshot.rows["id"].to_pylist()
        return listed

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The stored JPEG thumbnails (longer side at most 256 pixels) of those ids that have one."""
        found = self._table.select(["id", "thumbnail"], among(ids)) if ids else iter(())
        return {
            row["id"]: row["thumbnail"] for batch in found for row in batch.to_pylist() if row["thumbnail"] is not None
        }

    def stamps(self) -> dict[str, Stamp]:
        """What each stored row was made from, by id."""
        columns = ["id", *STAMPED]
        return {row.pop("id"): Stamp(**row) for batch in self._table.select(columns) for row in batch.to_pylist()}

    def unread(self) -> list[tuple[str, str]]:
        """(id, absolute path) of every picture whose printed words have not been read yet, in id order."""
        found = self._table.select(["id", "path", "source"], "printed IS NULL AND path IS NOT NULL")
        rows = [row for batch in found for row in batch.to_pylist()]
        return sorted((row["id"], self.located(row["path"], row["source"])) for row in rows)

    def printed(self, ids: Sequence[str]) -> dict[str, str | None]:
        """The words read off the pictures of those ids; None for one not read yet."""
        found = self._table.select(["id", "printed"], among(ids)) if ids else iter(())
        return {row["id"]: row["printed"] for batch in found for row in batch.to_pylist()}

    def located(self, path: str, source: int) -> str:
        """Absolute path of a stored picture."""
        return str(self._roots[source] / path)

    def features(self, batch: int = 4096) -> Iterator[tuple[list[str], NDArray[np.float16]]]:
        """Ids and stored features, shape (B, F), batch by batch."""
        for found in self._table.select(["id", "features"], batch=batch):
            flat = found["features"].flatten().to_numpy(zero_copy_only=False)
            yield found["id"].to_pylist(), flat.reshape(-1, self.manifest.features)

    # -- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[LanceIndex]:
        """Hold the index for writing; drops what an earlier writer left unacknowledged.

        Raises:
            StorageError: another process is writing, or the folder is read-only.
        """
        with self._table.writing():
            yield self

    def upsert(self, rows: Sequence[Row]) -> None:
        """Add rows or replace those of the same id; acknowledged when this returns.

        Raises:
            InvalidInput: an id comes twice in the batch. StorageError: the disk is full or read-only.
        """
        seen: set[str] = set()
        twice = {row.id for row in rows if row.id in seen or seen.add(row.id)}  # type: ignore[func-returns-value]
        if twice:
            raise InvalidInput(f"ids must be unique in a batch; repeated: {', '.join(sorted(twice)[:5])}")
        if rows:
            self._table.merge(to_arrow(rows, self._schema), insert=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows by id; ids that are not there are no error. Acknowledged when this returns."""
        self._table.delete(ids)

    def set_printed(self, printed: Mapping[str, str]) -> None:
        """Keep the words read off pictures, by id; an empty text means that there are none."""
        self._table.merge(pa.table({"id": list(printed), "printed": pa.array(list(printed.values()), pa.string())}))

    def restamp(self, stamps: Mapping[str, Stamp]) -> None:
        """Keep new stamps of files whose content is as before."""
        self._table.merge(stamps_to_arrow(stamps, self._schema))

    def revector(self, vectors: Iterable[tuple[Sequence[str], NDArray[np.float32]]], manifest: Manifest) -> None:
        """Replace vectors and take the manifest that goes with them, all at once: a cut leaves everything as it was.

        Args:
            vectors: ids and their new vectors, shape (B, D), batch by batch; every row of the index once.
            manifest: the new embedder's; its table version is set here.
        """
        with self._table.changing(manifest) as table:
            for ids, batch in vectors:
                data = pa.table({"id": list(ids), "vector": fixed(batch, np.float32)})
                table.merge_insert("id").when_matched_update_all().execute(data)

    def add_source(self, source: Source) -> int:
        """Position of a source in the manifest, added if it is new; one that moved with the index is still itself."""
        sources = self.manifest.sources
        at = next((at for at, known in enumerate(sources) if known.is_now(source)), len(sources))
        if sources[at : at + 1] != (source,):
            self._table.acknowledge(replace(self.manifest, sources=(*sources[:at], source, *sources[at + 1 :])))
        return at

    def compact(self) -> None:
        """Merge small files and forget table versions older than an hour."""
        self._table.compact()

    # -- inside -------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        for name in ("snapshot", "_roots", "_metadata", "_columns"):
            self.__dict__.pop(name, None)

    def _collected(self) -> cache.Snapshot:
        batches = list(self._table.select([*LISTED, "vector", "colours"]))
        table = pa.Table.from_batches(batches) if batches else self._schema.empty_table()
        table = table.sort_by("id").combine_chunks()
        texts = zip(table["text"].to_pylist(), table["printed"].to_pylist(), strict=True)
        words = WordIndex.build("\n".join(part for part in pair if part) for pair in texts)
        vectors, colours = matrix(table["vector"], self.dim), matrix(table["colours"], COLOURS)
        return cache.Snapshot(vectors, colours, words, table.select(LISTED))

    @property
    def _schema(self) -> pa.Schema:
        return schema(self.dim, self.manifest.features)

    @cached_property
    def _roots(self) -> list[Path]:
        return [source.resolved(self.folder) for source in self.manifest.sources]

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        return {}

    @cached_property
    def _metadata(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.snapshot.rows["metadata"].to_pylist()]

    def _mask(self, where: filters.Where | None) -> NDArray[np.bool_] | None:
        if not where:
            return None

        return filters.mask(where, self._column, len(self))

    def _column(self, key: str) -> Sequence[Any]:
        """A metadata field of every row; kept, because filters come again and again on the same few fields."""
        if key not in self._columns:
            if key in ("id", "path"):
                self._columns[key] = self.snapshot.rows[key].to_pylist()
            else:
                self._columns[key] = [record.get(key, filters.ABSENT) for record in self._metadata]
        return self._columns[key]

    def _document(self, record: dict[str, Any]) -> Document:
        path = record["path"]
        image = None if path is None else ImageRef(path=self.located(path, record["source"]))
        return Document(record["id"], record["text"], image, record["printed"], json.loads(record["metadata"]))

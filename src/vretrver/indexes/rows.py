"""Rows as they are stored: the columns of the index's table, and arrays on their way in and out of Arrow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vretrver import colours

COLOURS = colours.DIM
LISTED = ["id", "text", "path", "source", "printed", "metadata"]
STAMPED = ["source", "size", "mtime_ns", "digest", "caption"]


@dataclass(frozen=True, slots=True)
class Row:
    """One document as it is stored.

    Args:
        id: unique in the index.
        path: posix path of the picture from its source's root (absolute if outside); None for a text alone.
        source: position in the manifest's sources.
        vector: float32, shape (D,); features: float16, shape (F,), or None when the embedder has none.
        thumbnail: JPEG bytes; colours: descriptor, shape (64,); None without a picture.
        size, mtime_ns, digest: the picture file's stamp; caption: a digest of text and metadata.
        printed: words read off the picture; None when it has not been read yet.
    """

    id: str
    text: str | None
    path: str | None
    source: int
    vector: NDArray[np.float32]
    metadata: Mapping[str, Any]
    features: NDArray[np.float16] | None = None
    thumbnail: bytes | None = None
    colours: NDArray[np.float32] | None = None
    size: int = 0
    mtime_ns: int = 0
    digest: str = ""
    caption: str = ""
    printed: str | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a stored row was made from; a file that still has it is not opened again."""

    source: int
    size: int
    mtime_ns: int
    digest: str
    caption: str


def schema(dim: int, features: int) -> pa.Schema:
    """The table's columns, for vectors of `dim` and features of `features` numbers (0: no such column)."""
    kept = [pa.field("features", pa.list_(pa.float16(), features))] if features else []
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("text", pa.string()),
            pa.field("path", pa.string()),
            pa.field("source", pa.int32()),
            pa.field("printed", pa.string()),
            pa.field("metadata", pa.string()),
            pa.field("thumbnail", pa.binary()),
            pa.field("vector", pa.list_(pa.float32(), dim)),
            *kept,
            pa.field("colours", pa.list_(pa.float32(), COLOURS)),
            pa.field("size", pa.int64()),
            pa.field("mtime_ns", pa.int64()),
            pa.field("digest", pa.string()),
            pa.field("caption", pa.string()),
        ]
    )


def to_arrow(rows: Sequence[Row], columns: pa.Schema) -> pa.Table:
    """Rows as a table of `columns`."""
    blank = np.zeros(COLOURS, np.float32)
    plain = ("id", "text", "path", "source", "thumbnail", "size", "mtime_ns", "digest", "caption")
    data: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in plain}
    data["printed"] = ["" if row.path is None else row.printed for row in rows]
    data["metadata"] = [json.dumps(dict(row.metadata), ensure_ascii=False) for row in rows]
    data["vector"] = fixed(np.stack([row.vector for row in rows]), np.float32)
    data["colours"] = fixed(np.stack([blank if row.colours is None else row.colours for row in rows]), np.float32)
    if "features" in columns.names:
        data["features"] = fixed(np.stack([row.features for row in rows if row.features is not None]), np.float16)
    return pa.table(data, schema=columns)


def stamps_to_arrow(stamps: Mapping[str, Stamp], columns: pa.Schema) -> pa.Table:
    """Stamps by id as a table of only the columns they touch."""
    data = {"id": list(stamps), **{name: [getattr(stamp, name) for stamp in stamps.values()] for name in STAMPED}}
    return pa.table(data, schema=pa.schema([columns.field(name) for name in data]))


def fixed(matrix: NDArray[Any], kind: Any) -> pa.Array:
    """A matrix, shape (N, W), as N lists of W numbers of a NumPy kind."""
    flat = np.ascontiguousarray(matrix, kind).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), matrix.shape[1])


def matrix(column: Any, width: int) -> NDArray[np.float32]:
    """The inverse of `fixed` for a table's column: float32, shape (N, width)."""
    if not len(column):
        return np.zeros((0, width), np.float32)
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(-1, width), np.float32)

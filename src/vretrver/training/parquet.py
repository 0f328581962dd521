"""Rows for rewards and evaluation: the released parquet layout (verl's), one window or one list of hits a row.

    data_source, ability        names
    prompt                      [{role: system}, {role: user}], pictures as <image> marks
    images                      [{image: path}], one a mark
    reward_model                {style: "rule", ground_truth}: the right candidate's position, 1 for the first
    extra_info                  {qid, ground_truth_position, num_candidates, query_image, query_text, candidate_images,
                                candidate_texts, images}; ours adds `instruction`, `relevant` (every right position)
                                and `candidate_ids`
    hit                         eval files alone: [{candidate_images, candidate_texts}], the first stage's order

Paths start at a root and name originals: who looks closer needs them. `vretrver.datasets.released` evaluates such
files; here they are written; `parquet_reading` reads them for training.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.errors import InvalidInput, StorageError
from vretrver.messages import Message
from vretrver.training.examples import marked
from vretrver.types import Document, ImageRef, Window

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One question with its window.

    Args:
        qid: its id. window: what is ranked.
        relevant: positions of the right candidates, 0 for the first; the first of them is the released position.
        system, user: the prompt as text with marks; what a student reads is made anew from the window by the episode.
        images: one for each mark of the prompt.
        data_source, ability: names.
        hits: what the first stage found, for eval files.
    """

    qid: str
    window: Window
    relevant: tuple[int, ...]
    system: str = ""
    user: str = ""
    images: tuple[ImageRef, ...] = ()
    data_source: str = "vretrver"
    ability: str = "retrieval"
    hits: tuple[Document, ...] = ()

    @classmethod
    def of(cls, qid: str, window: Window, relevant: Sequence[int], opening: Sequence[Message], **names: Any) -> Row:
        """A row from a window and the messages that open its episode."""
        texts = {message.role: marked(message) for message in opening}
        images = tuple(part.view.image for message in opening for part in message.views)
        user = texts.get("user", "")
        return cls(qid, window, tuple(relevant), texts.get("system", ""), user, images, **names)


def write_rows(path: Path, rows: Iterable[Row], root: Path) -> int:
    """Write a parquet file; it appears under its name when it is complete.

    Args:
        root: the folder that paths start from.

    Returns:
        How many rows were written.

    Raises:
        InvalidInput: a picture has no path, or lies outside the root.
        StorageError: the disk refuses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with pq.ParquetWriter(part, schema := _schema()) as writer:
            for batch in _batches(rows):
                count += len(batch)
                writer.write_table(pa.Table.from_pylist([_record(row, root) for row in batch], schema=schema))
        part.replace(path)
    except OSError as fault:
        raise StorageError(f"cannot write {path}: {fault.strerror or fault}") from fault
    finally:
        part.unlink(missing_ok=True)
    return count


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    item = pa.struct({"candidate_images": text, "candidate_texts": text})
    info = {
        "qid": text,
        "ground_truth_position": pa.int64(),
        "num_candidates": pa.int64(),
        "query_image": text,
        "query_text": text,
        "candidate_images": texts,
        "candidate_texts": texts,
        "images": texts,
        "instruction": text,
        "relevant": pa.list_(pa.int64()),
        "candidate_ids": texts,
    }
    return pa.schema(
        {
            "data_source": text,
            "prompt": pa.list_(pa.struct({"role": text, "content": text})),
            "images": pa.list_(pa.struct({"image": text})),
            "ability": text,
            "reward_model": pa.struct({"style": text, "ground_truth": pa.int64()}),
            "extra_info": pa.struct(info),
            "hit": pa.list_(item),
        }
    )


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _record(row: Row, root: Path) -> dict[str, Any]:
    query, documents = row.window.query, [candidate.document for candidate in row.window.candidates]
    position = row.relevant[0] + 1 if row.relevant else None
    images = [_path(image, root) for image in row.images]
    info = {
        "qid": row.qid,
        "ground_truth_position": position,
        "num_candidates": len(documents),
        "query_image": _path(query.images[0], root) if query.images else None,
        "query_text": query.text,
        "candidate_images": [_path(one.image, root) for one in documents],
        "candidate_texts": [one.text for one in documents],
        "images": images,
        "instruction": query.instruction,
        "relevant": [at + 1 for at in row.relevant],
        "candidate_ids": [one.id for one in documents],
    }
    return {
        "data_source": row.data_source,
        "prompt": [{"role": "system", "content": row.system}, {"role": "user", "content": row.user}],
        "images": [{"image": image} for image in images],
        "ability": row.ability,
        "reward_model": {"style": "rule", "ground_truth": position},
        "extra_info": info,
        "hit": [{"candidate_images": _path(one.image, root), "candidate_texts": one.text} for one in row.hits] or None,
    }


def _path(image: ImageRef | None, root: Path) -> str | None:
    if image is None:
        return None
    if image.path is None:
        raise InvalidInput(f"the picture {image.label} has no path; rows name pictures by their path from {root}")
    try:
        return Path(image.path).absolute().relative_to(root.absolute()).as_posix()
    except ValueError as fault:
        raise InvalidInput(f"the picture {image.path} lies outside {root}; name a root that holds it") from fault

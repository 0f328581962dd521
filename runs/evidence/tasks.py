"""Retrieval tasks in M-BEIR's layout: queries with their relevant ids, and their pools as indexes.

Used by `fit.py`, which fits on validation splits and folds; `held_out.py` lists the topics that may be reported. It
leaves out metrics and anything that looks at a candidate.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from vretrver.datasets import Topic, mbeir
from vretrver.embedders import Embedder, load_embedder
from vretrver.images import open_image
from vretrver.indexes.lance import LanceIndex
from vretrver.ingest import build_index
from vretrver.ocr import printed_text
from vretrver.ocr_memory import RememberedReader
from vretrver.retriever import Retriever
from vretrver.types import ImageRef, Query


@dataclass(frozen=True)
class Asked:
    """One query of a task and the ids that answer it. `group` keeps what belongs together in one fold."""

    qid: str
    query: Query
    relevant: frozenset[str]
    group: str


@dataclass(frozen=True)
class Task:
    """`name` is `set-number` as in `grocery-4`; `pool` is the listing of its candidates."""

    name: str
    split: str
    root: Path
    pool: Path
    asked: tuple[Asked, ...]

    def fold(self, number: int) -> Task:
        """Half of the queries, 0 or 1: those whose group's hash says so. The pool stays whole."""
        kept = tuple(asked for asked in self.asked if fold_of(asked.group) == number)
        return replace(self, split=f"{self.split}-fold{number}", asked=kept)


def fold_of(group: str) -> int:
    """The halves that `runs/fusion` fits on (0) and reports (1)."""
    return blake2b(group.encode()).digest()[0] % 2


def load_task(root: Path, name: str, split: str) -> Task:
    """The task of a name under a data root.

    Raises:
        InvalidInput, MissingPath: there is no such task or split.
    """
    loaded = mbeir.load(root, name.replace("-", "_task"), split)
    shown = {document.id: document.image for document in loaded.pool}
    pool = root / f"cand_pool/local/mbeir_{name.replace('-', '_task')}_cand_pool.jsonl"
    return Task(name, split, root, pool, tuple(_asked(topic, shown) for topic in loaded.topics))


def open_pool(
    task: Task, folder: Path, reader: RememberedReader | None, embedder: str | Embedder = "lite"
) -> Retriever:
    """The task's pool, indexed (what is indexed already stays); with a reader, its pictures' words as well.

    The index is `folder/<task>-<the embedder's fingerprint>`: other weights get an index of their own.
    """
    model = load_embedder(embedder)
    folder = folder / f"{task.name}-{model.fingerprint[:12]}"
    build_index(task.pool, folder, model, ocr=False, image_root=task.root, progress=True)
    if reader is not None:
        _read_words(folder, reader)
    opened = Retriever.open(folder, model)
    return Retriever(opened.index, opened.embedder, reader)


def open_listing(rows: Sequence[dict[str, str]], folder: Path, reader: RememberedReader | None) -> Retriever:
    """An index of pictures given by `id` and `image`, the pictures anywhere on this disk."""
    model = load_embedder("lite")
    folder = folder.with_name(f"{folder.name}-{model.fingerprint[:12]}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    listing = folder.with_suffix(".jsonl")
    with written(listing) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    build_index(listing, folder, model, ocr=False, image_root="/", outside=True)
    if reader is not None:
        _read_words(folder, reader)
    opened = Retriever.open(folder, model)
    return Retriever(opened.index, opened.embedder, reader)


def _read_words(folder: Path, reader: RememberedReader) -> None:
    """What `build_index(ocr=True)` does, with a reader that remembers."""
    from tqdm import tqdm

    index = LanceIndex.open(folder)
    waiting = index.unread()
    if not waiting:
        return
    with index.writing():
        for start in tqdm(range(0, len(waiting), 64), desc="reading words", unit="batch"):
            chunk = waiting[start : start + 64]
            index.set_printed(
                {name: printed_text(reader.read(open_image(ImageRef(path=path)))) for name, path in chunk}
            )


def _asked(topic: Topic, shown: Mapping[str, ImageRef | None]) -> Asked:
    picture = next(iter(topic.query.images), None) or shown.get(min(topic.relevant))
    path = Path(topic.id if picture is None or picture.path is None else picture.path)
    # A garment's photos and colours share a fold: what is learned of one must not be tested on it.
    group = path.stem.split("-")[0] if "garments" in path.parts else path.stem.rsplit("_", 1)[0]
    return Asked(topic.id, topic.query, frozenset(topic.relevant), group)


@contextmanager
def written(path: Path) -> Iterator[Any]:
    """A text file that appears under its name only when it is complete."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        yield file
    Path(file.name).replace(path)

"""Retrieval tasks in M-BEIR's layout: queries with their relevant ids, and their pools as indexes.

Used by `runs/dev_tasks.py`, which reports, and by `fit.py`, which fits on validation splits and folds. It leaves out
metrics and anything that looks at a candidate.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

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
        FileNotFoundError: there is no such task or split.
    """
    collection, number = name.split("-")
    pool = root / f"cand_pool/local/mbeir_{collection}_task{number}_cand_pool.jsonl"
    file = root / f"query/{split}/mbeir_{collection}_task{number}_{split}.jsonl"
    records = list(_records(file))
    relevant = _qrels(root / f"qrels/{split}/mbeir_{collection}_task{number}_{split}_qrels.txt")
    kind = (records[0]["query_modality"], next(_records(pool))["modality"])
    instruction = _instruction(root, kind, records[0]["qid"].split(":")[0])
    shown = {record["did"]: record["img_path"] for record in _records(pool)}
    return Task(
        name,
        split,
        root,
        pool,
        tuple(_asked(root, record, relevant[record["qid"]], instruction, shown) for record in records),
    )


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


def _asked(
    root: Path, record: dict[str, Any], relevant: frozenset[str], instruction: str | None, shown: dict[str, str | None]
) -> Asked:
    path = record["query_img_path"]
    images = (ImageRef(path=str(root / path)),) if path else ()
    stem = Path(path or shown.get(min(relevant)) or record["qid"]).stem
    # A garment's photos and colours share a fold: what is learned of one must not be tested on it.
    group = (
        stem.split("-")[0]
        if "garments" in str(root / f"{path or shown.get(min(relevant))}")
        else stem.rsplit("_", 1)[0]
    )
    return Asked(record["qid"], Query(record["query_txt"], images, instruction), relevant, group)


def _qrels(path: Path) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        qid, _, did, relevance, *_task = line.split()
        if int(relevance) > 0:
            found.setdefault(qid, set()).add(did)
    return {qid: frozenset(dids) for qid, dids in found.items()}


def _instruction(root: Path, kind: tuple[str, str], dataset: str) -> str | None:
    with (root / "instructions/query_instructions.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if (row["query_modality"], row["cand_modality"], row["dataset_id"]) == (*kind, dataset):
                return row["prompt_1"]
    return None


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@contextmanager
def written(path: Path) -> Iterator[Any]:
    """A text file that appears under its name only when it is complete."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        yield file
    Path(file.name).replace(path)


def journal(path: Path) -> dict[str, dict[str, Any]]:
    """The lines of an append-only journal by `qid`; a line that was cut off is left out."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
            found[record["qid"]] = record
        except (ValueError, KeyError):
            continue
    return found


def note(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Append to a journal."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)

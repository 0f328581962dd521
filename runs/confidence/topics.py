"""Validation topics with what the coarse stage found for each, kept as one JSON line a topic. No agent, no fitting.

    python -m runs.confidence.topics --root DATA --work FOLDER

Grocery val (tasks 4 and 6), garments by halves (0 is fitted on, 1 is reported; the set has no validation split), and
the small-detail world's val split (its print unread, galleries of eight). The test splits of grocery and of the world
are never read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from runs.evidence.tasks import fold_of, load_task, open_pool
from tqdm import tqdm

from vretrver.datasets import world
from vretrver.embedders import Embedder, load_embedder
from vretrver.evaluation.pools import pool_index
from vretrver.indexes import load_index
from vretrver.ocr_memory import RememberedReader
from vretrver.retriever import Retriever
from vretrver.types import Candidate, Document, Query

TASKS = (
    ("grocery-4", "val"),
    ("grocery-6", "val"),
    ("garments-0", "test"),
    ("garments-3", "test"),
    ("garments-7", "test"),
)
DEPTH = 80
"""Candidates kept a topic: 50 remain where answers are taken out."""


@dataclass(frozen=True)
class Found:
    """A topic and its candidates, best first; a text is its document's id. `half` is 0 or 1 by what it shows."""

    task: str
    topic: str
    half: int
    query: Query
    candidates: tuple[Candidate, ...]
    relevant: frozenset[str]

    @property
    def collection(self) -> str:
        return self.task.split("-")[0]

    @cached_property
    def right(self) -> np.ndarray:
        """Which candidates answer, shape (N,)."""
        return np.array([candidate.document.id in self.relevant for candidate in self.candidates], bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="the data in M-BEIR's layout")
    parser.add_argument("--work", type=Path, required=True, help="indexes, words read and topics.jsonl are kept here")
    parser.add_argument("--size", type=int, default=400, help="topics of the world")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    embedder = load_embedder("lite")
    with (options.work / "topics.jsonl").open("w", encoding="utf-8") as file:
        for name, split in TASKS:
            file.writelines(_of_collection(options, name, split, embedder))
        file.writelines(_of_world(options, embedder))


def read(work: Path) -> list[Found]:
    """What `main` wrote."""
    with (work / "topics.jsonl").open(encoding="utf-8") as file:
        return [_found(json.loads(line)) for line in file]


def _of_collection(options: argparse.Namespace, name: str, split: str, embedder: Embedder) -> Iterator[str]:
    task = load_task(options.root, name, split)
    retriever = open_pool(task, options.work / "indexes", RememberedReader(options.work / "read.jsonl"), embedder)
    for one in tqdm(task.asked, desc=name, unit="topic"):
        found = retriever.retrieve(one.query, DEPTH)
        yield _line(name, one.qid, fold_of(one.group), one.query, found, one.relevant)


def _of_world(options: argparse.Namespace, embedder: Embedder) -> Iterator[str]:
    task = world.load(options.work / "world", options.size, seed=11, split="val", distractors=7)
    folder, _skipped = pool_index(task, embedder, options.work, reading=False, progress=True)
    retriever = Retriever(load_index(folder), embedder)
    for one in tqdm(task.topics, desc="world", unit="topic"):
        found = retriever.retrieve(one.query, DEPTH, {"id": list(one.candidates or ())})
        yield _line("world", one.id, fold_of(one.id), one.query, found, one.relevant)


def _line(task: str, topic: str, half: int, query: Query, found: Sequence[Candidate], relevant: Any) -> str:
    candidates = [
        {
            "id": one.document.id,
            "worded": one.document.text is not None,
            "image": one.document.image.path if one.document.image else None,
            "score": one.score,
            "signals": dict(one.signals),
        }
        for one in found
    ]
    asked = {"text": query.text, "images": [image.path for image in query.images]}
    record = {"task": task, "topic": topic, "half": half, **asked, "candidates": candidates, "relevant": list(relevant)}
    return json.dumps(record) + "\n"


def _found(record: dict[str, Any]) -> Found:
    candidates = tuple(
        Candidate(
            Document(one["id"], one["id"] if one["worded"] else None, one["image"]), one["score"], rank, one["signals"]
        )
        for rank, one in enumerate(record["candidates"], start=1)
    )
    query = Query(record["text"], tuple(record["images"]))
    return Found(record["task"], record["topic"], record["half"], query, candidates, frozenset(record["relevant"]))


if __name__ == "__main__":
    main()

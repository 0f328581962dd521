"""Measure `lite` on collections in M-BEIR's layout: as shipped, and after teaching.

    python runs/lite_embedder/evaluate.py --root DIR                       every test task, as shipped
    python runs/lite_embedder/evaluate.py --root DIR --teach grocery_train.jsonl --shots 1 5 0 --seeds 5
    python runs/lite_embedder/evaluate.py --root DIR --split val           for tuning

`--teach` names a JSONL file under DIR of rows {"img_path", "label"}; `--shots` says how many examples a label are drawn
(0: all), averaged over `--seeds` random draws. A hit at k: one of the query's relevant documents is among the first k.
A query's own picture, where it is also a document, is not removed from the pool.

Left out: the agent's looking, words read by OCR, and any index: this is the embedder alone.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vretrver.embedders.lite import LiteEmbedder
from vretrver.types import Document, ImageRef, Query


@dataclass(frozen=True)
class Task:
    """One task's queries and pool as features, and for each query the rows of its relevant documents."""

    name: str
    queries: NDArray[np.float16]
    pool: NDArray[np.float16]
    relevant: list[set[int]]


class FeatureCache:
    """Features by what they are computed from, so that tasks that share pictures decode them once."""

    def __init__(self, embedder: LiteEmbedder, path: Path | None) -> None:
        self._embedder, self._path = embedder, path
        self._known: dict[str, NDArray[np.float16]] = {}
        if path is not None and path.exists():
            with np.load(path, allow_pickle=False) as stored:
                if str(stored["fingerprint"]) == embedder.feature_fingerprint:
                    self._known = dict(zip(stored["keys"].tolist(), stored["rows"], strict=True))

    def features(self, items: Sequence[Query | Document]) -> NDArray[np.float16]:
        keys = [_key(item) for item in items]
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in self._known}
        self._known |= dict(zip(missing, self._embedder.features(list(missing.values())), strict=True))
        if missing and self._path is not None:
            np.savez(self._path, fingerprint=self._embedder.feature_fingerprint, keys=list(self._known),
                     rows=np.stack(list(self._known.values())))  # fmt: skip
        return np.stack([self._known[key] for key in keys])


def read_task(root: Path, dataset: str, task: str, split: str, cache: FeatureCache) -> Task:
    """A task of M-BEIR's layout (arXiv 2311.17136): query/SPLIT/*.jsonl and cand_pool/local/*.jsonl."""
    queries = read_lines(root / "query" / split / f"mbeir_{dataset}_{task}_{split}.jsonl")
    pool = read_lines(root / "cand_pool" / "local" / f"mbeir_{dataset}_{task}_cand_pool.jsonl")
    row = {document["did"]: place for place, document in enumerate(pool)}
    return Task(
        f"{dataset} {task.removeprefix('task')}",
        cache.features([Query(q["query_txt"], _images(root, q["query_img_path"])) for q in queries]),
        cache.features([Document(d["did"], d["txt"], next(iter(_images(root, d["img_path"])), None)) for d in pool]),
        [{row[did] for did in query["pos_cand_list"]} for query in queries],
    )


def hits(embedder: LiteEmbedder, task: Task, at: Iterable[int] = (1, 5)) -> list[float]:
    """Share of queries with a relevant document among the first k, for each k."""
    scores_Q_N = embedder.project(task.queries, queries=True) @ embedder.project(task.pool, queries=False).T
    order = np.argsort(-scores_Q_N, axis=1, kind="stable")
    first = [
        next(rank for rank, row in enumerate(ranked) if int(row) in relevant)
        for ranked, relevant in zip(order, task.relevant, strict=True)
    ]
    return [float(np.mean([rank < k for rank in first])) for k in at]


def draw(labels: Sequence[str], shots: int, seed: int) -> list[int]:
    """Rows of `shots` random examples of every label; all rows where `shots` is 0."""
    if shots == 0:
        return list(range(len(labels)))
    rows = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label].append(row)
    random = np.random.default_rng(seed)
    return [int(row) for label in sorted(rows) for row in random.permutation(rows[label])[:shots]]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--teach", type=Path)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5, 0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, help="an .npz file that keeps features between runs")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    embedder = LiteEmbedder.load()
    cache = FeatureCache(embedder, options.cache)
    names = sorted(path.stem.split("_")[1:3] for path in (options.root / "query" / options.split).glob("mbeir_*.jsonl"))
    tasks = [read_task(options.root, dataset, task, options.split, cache) for dataset, task in names]
    report("as shipped", tasks, [embedder])
    if options.teach is None:
        return
    examples = read_lines(options.root / options.teach)
    labels = [example["label"] for example in examples]
    features = cache.features(
        [Document(e["img_path"], image=ImageRef.of(options.root / e["img_path"])) for e in examples]
    )
    for shots in options.shots:
        draws = [draw(labels, shots, seed) for seed in range(options.seeds if shots else 1)]
        pupils = [embedder.taught(features[rows], [labels[row] for row in rows]) for rows in draws]
        report(f"taught {shots or 'all'} a label, {len(draws)} draws", tasks, pupils)


def report(title: str, tasks: Sequence[Task], embedders: Sequence[LiteEmbedder]) -> None:
    print(f"\n{title}\n{'task':<12} {'queries':>7} {'pool':>5}  hit@1  hit@5")
    for task in tasks:
        first, fifth = np.mean([hits(embedder, task) for embedder in embedders], axis=0)
        print(f"{task.name:<12} {len(task.queries):>7} {len(task.pool):>5}  {first:.3f}  {fifth:.3f}", flush=True)


def _images(root: Path, path: str | None) -> tuple[ImageRef, ...]:
    return (ImageRef.of(root / path),) if path else ()


def _key(item: Query | Document) -> str:
    images = item.images if isinstance(item, Query) else filter(None, [item.image])
    return "\n".join([item.text or "", *(image.label for image in images)])


if __name__ == "__main__":
    main()

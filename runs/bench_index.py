"""How fast the index is here: search at 10k and 100k rows beside a plain NumPy scan, and pictures indexed a second.

    python runs/bench_index.py                     # search; synthetic unit vectors of lite's length
    python runs/bench_index.py --images photos/    # also indexes that folder with lite, with and without OCR

Search goes through the public road (Retriever, hybrid fusion, documents of the top k) on an index on disk whose cache
is memory-mapped; only the embedder is replaced by one that hands out ready vectors. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vretrver.indexes import load_index
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import Source
from vretrver.indexes.rows import Row
from vretrver.indexes.scan import search
from vretrver.retriever import Retriever
from vretrver.types import Document, Query

WORDS = [f"word{n}" for n in range(20_000)]
QUERIES = 50


class Ready:
    """An embedder that gives each query a random unit vector, so that only the search is timed."""

    name, fingerprint = "ready", "ready-1"

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._rng = np.random.default_rng(1)

    def encode(self, items: Sequence[Query | Document]) -> NDArray[np.float32]:
        return unit(self._rng.normal(size=(len(items), self.dim)))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def build(folder: Path, rows: int, dim: int) -> LanceIndex:
    """An index of `rows` synthetic documents with a caption of a few words and a metadata field."""
    rng = np.random.default_rng(0)
    index = LanceIndex.create(folder, Ready(dim))
    with index.writing():
        index.add_source(Source("/bench", "/bench", "../bench"))
        for start in range(0, rows, 5000):
            vectors = unit(rng.normal(size=(min(5000, rows - start), dim)))
            words = rng.zipf(1.3, size=(len(vectors), 12)) % len(WORDS)
            index.upsert(
                [
                    Row(f"{start + at:07}", " ".join(WORDS[w] for w in words[at]), None, 0, vector, {"shelf": at % 100})
                    for at, vector in enumerate(vectors)
                ]
            )
    return load_index(folder)


def milliseconds(call: Callable[[], object], times: int = QUERIES) -> tuple[float, float]:
    """Median and 95th percentile of `times` calls, after one to warm up."""
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def search_times(rows: int, dim: int, folder: Path) -> list[tuple[str, float, float]]:
    started = time.perf_counter()
    index = build(folder, rows, dim)
    _ = index.snapshot
    print(f"<!-- built {rows} rows in {time.perf_counter() - started:.1f} s -->")
    started = time.perf_counter()
    index = load_index(folder)
    _ = index.snapshot
    opened = 1000 * (time.perf_counter() - started)
    retriever = Retriever(index, Ready(dim))
    plain = np.array(index.snapshot.vectors)  # a copy in memory: what a scan without an index would hold
    rng = np.random.default_rng(2)

    def vector() -> NDArray[np.float32]:
        return unit(rng.normal(size=(1, dim))).reshape(dim)

    def numpy_scan() -> NDArray[np.float32]:
        scores = plain @ vector()
        best = np.argpartition(scores, -50)[-50:]
        return np.sort(scores[best])

    def words() -> str:
        return " ".join(WORDS[word] for word in rng.zipf(1.3, size=4) % len(WORDS))

    batch = [Query(words()) for _ in range(64)]
    timed = [
        ("plain NumPy scan, top 50", *milliseconds(numpy_scan)),
        ("vectors alone, mapped", *milliseconds(lambda: search(index.snapshot.vectors, vector()[None], 50))),
        ("Retriever, hybrid, k = 50", *milliseconds(lambda: retriever.search([Query(words())], 50))),
        ("Retriever, 1 % filter", *milliseconds(lambda: retriever.search([Query(words())], 50, {"shelf": 7}))),
        ("Retriever, 64 queries at once, each", *milliseconds(lambda: retriever.search(batch, 50), 5)),
    ]
    per_query = [(name, p50 / 64, p95 / 64) if "64" in name else (name, p50, p95) for name, p50, p95 in timed]
    return [*per_query, ("opening with a verified cache", opened, opened)]


def image_rates(folder: Path, place: Path) -> list[tuple[str, float]]:
    from vretrver.ingest import build_index

    first = build_index(folder, place, ocr=False, progress=False)
    rates = [("lite, vectors", first.added / first.embedding_seconds)]
    read = build_index(folder, place, ocr=True, progress=False)
    if read.read:
        rates.append(("printed words (OCR)", read.read / (read.seconds - read.embedding_seconds)))
    again = build_index(folder, place, ocr=True, progress=False)
    return [*rates, ("nothing changed", again.unchanged / again.seconds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, help="length of a vector; lite's by default")
    parser.add_argument("--images", type=Path, help="a folder of pictures to index")
    options = parser.parse_args()
    dim = options.dim
    if dim is None:
        from vretrver.embedders import load_embedder

        dim = load_embedder("lite").dim
    with tempfile.TemporaryDirectory() as scratch:
        print(f"| rows x {dim} | what | p50 ms | p95 ms |\n|---|---|---|---|")
        for rows in options.rows:
            for name, p50, p95 in search_times(rows, dim, Path(scratch) / f"{rows}.vr"):
                print(f"| {rows} | {name} | {p50:.2f} | {p95:.2f} |")
        if options.images:
            print("\n| indexing | images/s |\n|---|---|")
            for name, rate in image_rates(options.images, Path(scratch) / "images.vr"):
                print(f"| {name} | {rate:.1f} |")


if __name__ == "__main__":
    main()

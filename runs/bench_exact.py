"""Exact search of a generated pool that streams by: time, rate and memory, and the arithmetic for M-BEIR's pool.

    OMP_NUM_THREADS=2 python runs/bench_exact.py --rows 1000000 --dim 512 --queries 10000 --work FOLDER [-o OUT.json]

The pool is seeded: unit vectors in .npy shards, written once and used again. Query i is row i * (rows // queries) with
noise, so its first neighbour is known and every run checks it; eight queries are also searched by brute force in
float64. `--engine faiss` does the same pass with `faiss.knn` and `faiss.ResultHeap`; it needs faiss-cpu.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vretrver.evaluation.exact import BLOCK_ROWS, exact_top, shards

SHARD = 65_536
MBEIR = (5_600_000, 190_000)  # candidates and queries of the global pool


def main() -> None:
    options = _arguments()
    paths = _pool(options.work, options.rows, options.dim, options.half)
    planted = np.arange(options.queries) * (options.rows // options.queries)
    queries = _queries(paths, planted)
    before = _peak()
    started, processed = time.perf_counter(), time.process_time()
    search = exact_top if options.engine == "numpy" else _faiss_top
    rows, _ = search(queries, shards(paths, options.block), options.k)
    seconds, processed = time.perf_counter() - started, time.process_time() - processed
    flop = 2 * options.rows * options.queries * options.dim
    peak = _peak()
    found = {
        "engine": options.engine,
        "rows": options.rows,
        "dim": options.dim,
        "queries": options.queries,
        "k": options.k,
        "on_disk": "float16" if options.half else "float32",
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(processed, 1),
        "gflop_s": round(flop / seconds / 1e9, 1),
        "gflop_per_cpu_second": round(flop / processed / 1e9, 1),
        "peak_mb": round(peak),
        "peak_before_search_mb": round(before),
        "planted_found": float((rows[:, 0] == planted).mean()),
        "equals_brute_force": _checked(queries, rows, paths, options.k),
        "cpus": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
    }
    text = json.dumps(found, indent=1)
    print(text)
    print(_mbeir(seconds, options.rows, options.queries, options.dim, options.k))
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def _pool(work: Path, rows: int, dim: int, half: bool) -> list[Path]:
    """The shards of the pool, written where they are not there yet."""
    folder = work / f"pool-{rows}x{dim}-{'f16' if half else 'f32'}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for at, start in enumerate(range(0, rows, SHARD)):
        paths.append(folder / f"{at:04}.npy")
        if not paths[-1].exists():
            shape = (min(SHARD, rows - start), dim)
            vectors = np.random.default_rng([7, at]).standard_normal(shape, np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            part = paths[-1].with_suffix(".part.npy")
            np.save(part, vectors.astype(np.float16) if half else vectors)
            part.rename(paths[-1])
    return paths


def _queries(paths: list[Path], planted: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of the pool with noise as long as they are: cosine about .7 to their row."""
    picked = [np.load(paths[row // SHARD], mmap_mode="r")[row % SHARD].astype(np.float32) for row in planted]
    vectors = np.stack(picked)
    noise = np.random.default_rng(8).standard_normal(vectors.shape, np.float32)
    vectors += noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _faiss_top(queries: NDArray[np.float32], blocks: Any, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    import faiss

    heap = faiss.ResultHeap(len(queries), k, keep_max=True)
    for start, vectors in blocks:
        scores, rows = faiss.knn(queries, vectors, min(k, len(vectors)), faiss.METRIC_INNER_PRODUCT)
        heap.add_result(scores, rows + start)
    heap.finalize()
    return heap.I, heap.D


def _checked(queries: NDArray[np.float32], rows: NDArray[np.int64], paths: list[Path], k: int) -> bool:
    """Whether eight queries got exactly what brute force in float64 gives."""
    some = np.linspace(0, len(queries) - 1, 8).astype(int)
    scores = np.concatenate([block @ queries[some].astype(np.float64).T for _, block in shards(paths)])
    best = [np.lexsort((np.arange(len(scores)), -scores[:, at]))[:k] for at in range(len(some))]
    return bool(np.array_equal(rows[some], best))


def _peak() -> float:
    """The largest resident set so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _mbeir(seconds: float, rows: int, queries: int, dim: int, k: int) -> str:
    more_rows, more_queries = MBEIR
    scale = (more_rows / rows) * (more_queries / queries)
    state = more_queries * (dim * 4 + k * 32) / 1e9
    return (
        f"M-BEIR's {more_rows:,} x {more_queries:,} at {dim}: {seconds:.1f} s x ({more_rows:,} / {rows:,}) x "
        f"({more_queries:,} / {queries:,}) = {seconds:.1f} s x {scale:.1f} = {seconds * scale / 3600:.1f} h; "
        f"queries and results {state:.1f} GB, vectors on disk {more_rows * dim * 2 / 1e9:.1f} GB as float16"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--block", type=int, default=BLOCK_ROWS, help="rows in memory at once")
    parser.add_argument("--half", action="store_true", help="keep the pool as float16")
    parser.add_argument("--engine", choices=["numpy", "faiss"], default="numpy")
    parser.add_argument("--work", type=Path, required=True, help="folder for the pool")
    parser.add_argument("-o", "--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Does teaching captions help with things never seen? Teach half of the garments, search among the other half.

    python -m runs.lite_embedder.captions --root DIR [--cache FILE]

The captions of one half's pictures (task 0's texts) are taught; tasks 0 and 3 are measured on the other half, whose
garments, pictures and captions the pupil never met. Both directions are printed: settings were tuned on half 0 only, so
the row for half 1 is the honest one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from runs.lite_embedder.evaluate import FeatureCache, Task, hits, read_lines, read_task

from vretrver.embedders.lite import LiteEmbedder

DATASET = "garments"


def half_of(path: str) -> int:
    """0 or 1, by the garment's code, so that all pictures of a garment fall into one half."""
    return sum(map(ord, Path(path).name.split("-")[0])) % 2


def restricted(task: Task, queries: list[int], pool: list[int]) -> Task:
    """The task among some queries and documents only."""
    place = {row: new for new, row in enumerate(pool)}
    relevant = [{place[row] for row in task.relevant[query] if row in place} for query in queries]
    return Task(task.name, task.queries[queries], task.pool[pool], relevant)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    embedder = LiteEmbedder.load()
    cache = FeatureCache(embedder, options.cache)
    to_picture, to_text = (read_task(options.root, DATASET, task, "test", cache) for task in ("task0", "task3"))
    pictures = read_lines(options.root / f"cand_pool/local/mbeir_{DATASET}_task0_cand_pool.jsonl")
    texts = read_lines(options.root / f"query/test/mbeir_{DATASET}_task0_test.jsonl")
    shown = read_lines(options.root / f"query/test/mbeir_{DATASET}_task3_test.jsonl")
    caption = {row: texts[query]["query_txt"] for query, rows in enumerate(to_picture.relevant) for row in rows}
    half = np.array([half_of(picture["img_path"]) for picture in pictures])
    for tested in (0, 1):
        lessons = [row for row in caption if half[row] != tested]
        pupil = embedder.taught(to_picture.pool[lessons], [caption[row] for row in lessons])
        asked = [q for q, rows in enumerate(to_picture.relevant) if half[min(rows)] == tested]
        seen = [q for q, query in enumerate(shown) if half_of(query["query_img_path"]) == tested]
        told = sorted(set().union(*(to_text.relevant[q] for q in seen)))
        tasks = [
            restricted(to_picture, asked, np.flatnonzero(half == tested).tolist()),
            restricted(to_text, seen, told),
        ]
        for task in tasks:
            before, after = hits(embedder, task), hits(pupil, task)
            print(
                f"half {tested}: {task.name} ({len(task.queries)} queries, pool {len(task.pool)}) hit@1/5 "
                f"{before[0]:.3f}/{before[1]:.3f}, taught {len(lessons)} captions {after[0]:.3f}/{after[1]:.3f}"
            )


if __name__ == "__main__":
    main()

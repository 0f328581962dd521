"""A collection that nothing was fitted or tuned on: emoji of one vendor asked for with another vendor's, or by name.

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0     # then unpack each into a folder
    python runs/emoji.py GOOGLE/package TWITTER/package [--pool 1000] [--queries 500]

Draws emoji by a fixed seed, indexes the first vendor's pictures (64 px), asks with the second vendor's picture of the
same emoji and with its name, and prints hit rates before and after looking. Nothing is read into the index by OCR.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from runs.dev_tasks import sign_test

from vretrver import ImageRef, Pipeline, Query, Reranker, Retriever, load_policy
from vretrver.ingest import build_index


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("google", type=Path)
    parser.add_argument("twitter", type=Path)
    parser.add_argument("--pool", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=500)
    options = parser.parse_args()
    found, asked = options.google / "img/google/64", options.twitter / "img/twitter/64"
    names = {emoji["image"]: emoji["name"].lower() for emoji in json.loads((options.google / "emoji.json").read_text())}
    pool = sorted(name for name in names if (found / name).is_file() and (asked / name).is_file())
    random.Random(0).shuffle(pool)
    pool = pool[: options.pool]
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder, "pool.jsonl")
        listing.write_text("".join(json.dumps({"id": name, "path": name}) + "\n" for name in pool), encoding="utf-8")
        build_index(listing, Path(folder, "emoji.vr"), ocr=False, image_root=found)
        pipeline = Pipeline(Retriever.open(Path(folder, "emoji.vr")), Reranker(load_policy("evidence")))
        print("| emoji | queries / pool | hit@1 coarse -> evidence | hit@5 | wins / losses | p |")
        print("|---|---|---|---|---|---|")
        pictures = [(Query(None, (ImageRef.of(asked / name),)), name) for name in pool[: options.queries]]
        _report("picture to picture", pipeline, pictures, len(pool))
        _report(
            "name to picture", pipeline, [(Query(names[name]), name) for name in pool[: options.queries]], len(pool)
        )


def _report(label: str, pipeline: Pipeline, asked: Sequence[tuple[Query, str]], pool: int) -> None:
    places = []
    for query, answer in tqdm(asked, desc=label, unit="query"):
        results = pipeline.search(query, k=20, top_k=20).results
        places.append(next(((r.candidate.rank, r.rank) for r in results if r.document.id == answer), (99, 99)))
    rate = [[sum(pair[stage] <= k for pair in places) / len(places) for stage in (0, 1)] for k in (1, 5)]
    wins = sum(after == 1 < before for before, after in places)
    losses = sum(before == 1 < after for before, after in places)
    cells = [f"{before:.3f} -> {after:.3f}" for before, after in rate]
    cells += [f"{wins} / {losses}", f"{sign_test(wins, losses):.3f}"]
    print(f"| {label} | {len(places)} / {pool} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

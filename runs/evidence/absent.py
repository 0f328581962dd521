"""When should a ranking say that nothing matches? Confidence of the best result with the answer there, and taken out.

    python -m runs.evidence.absent --root DATA --work CACHE [--limit 120]

Grocery val and the fitted half of the garments only; prints, for each cut-off, how often `no_match` would be said in
both cases. The package's cut-off (`coarse.NO_MATCH_BELOW`) was chosen from this table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from runs.evidence.tasks import Task, fold_of, load_task, open_pool
from tqdm import tqdm

from vretrver import Reranker
from vretrver.embedders import load_embedder
from vretrver.ocr_memory import RememberedReader
from vretrver.policies.evidence import EvidencePolicy

TASKS = (("grocery-4", "val"), ("grocery-6", "val"), ("garments-0", "test"), ("garments-7", "test"))
CUTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=120)
    options = parser.parse_args()
    reader = RememberedReader(options.work / "read.jsonl")
    reranker = Reranker(EvidencePolicy.load(reader=reader))
    print("| task | answer | " + " | ".join(f"< {cut}" for cut in CUTS) + " |")
    print("|---|---|" + "---|" * len(CUTS))
    for name, split in TASKS:
        task = load_task(options.root, name, split)
        for there, best in zip(("there", "taken out"), _confidences(task, options, reader, reranker).T, strict=True):
            print(f"| {name} {split} | {there} | " + " | ".join(f"{(best < cut).mean():.2f}" for cut in CUTS) + " |")


def _confidences(task: Task, options: argparse.Namespace, reader: RememberedReader, reranker: Reranker) -> np.ndarray:
    """Best confidence per query, shape (Q, 2): with its answers among the candidates, and without them."""
    retriever = open_pool(task, options.work / "indexes", reader, load_embedder("lite"))
    asked = [one for one in task.asked if "garments" not in task.name or fold_of(one.group) == 0]
    rows = []
    for one in tqdm(asked[:: max(1, len(asked) // options.limit)], desc=task.name, unit="query"):
        found = retriever.search([one.query], 40)[0]
        without = [candidate for candidate in found if candidate.document.id not in one.relevant]
        rankings = [reranker.rerank(one.query, candidates[:20]) for candidates in (found, without)]
        rows.append([max(result.confidence for result in ranking.results) for ranking in rankings])
    return np.array(rows)


if __name__ == "__main__":
    main()

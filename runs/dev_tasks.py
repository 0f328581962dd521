"""Every development task with and without looking: one command from the data to a table.

    python runs/dev_tasks.py --root DATA [--tasks grocery-4 garments-7] [--split test] -o OUT

Indexes each pool with the public API, asks every query, ranks the first K with the coarse stage and with the
`evidence` agent, and writes `table.md` and `results.json`. Each answered query is a line of an append-only journal, so
a run that was cut off goes on. Garments have no validation split: half of them (by garment) is fitted on, only the
other half is reported (`--all-garments` asks them all). Instructions stay apart from the query's text.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from runs.evidence.tasks import Asked, Task, fold_of, journal, load_task, note, open_pool, written

from vretrver import Pipeline, Reranker
from vretrver.embedders import load_embedder
from vretrver.ocr_memory import RememberedReader
from vretrver.policies.evidence import EvidencePolicy
from vretrver.trace import Ranking

TASKS = ("grocery-0", "grocery-2", "grocery-4", "grocery-6", "garments-0", "garments-3", "garments-7")


def main() -> None:
    options = _arguments()
    work = options.work or options.out / "work"
    (work / "indexes").mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    reader = None if options.no_ocr else RememberedReader(work / "read.jsonl")
    taught = str(options.taught) if options.taught else None
    embedder = load_embedder("lite", taught)
    policy = EvidencePolicy.load(reader=reader, ocr=False if reader is None else None, embedder=embedder)  # type: ignore[arg-type]
    rows = []
    for name in options.tasks:
        task = load_task(options.root, name, options.split)
        retriever = open_pool(task, work / "indexes", reader, embedder)
        asked = _chosen(task, options.limit, options.all_garments)
        path = options.out / f"{name}.{options.split}.{'ocr' if reader else 'no-ocr'}.k{options.k}.jsonl"
        _ask(name, asked, Pipeline(retriever, Reranker(policy)), path, options.k)
        done = journal(path)
        rows.append(summary(name, [done[one.qid] for one in asked], len(task.asked)))
        print(_line(rows[-1]), file=sys.stderr)
        _write(options, rows, embedder.fingerprint)


def _ask(name: str, asked: Sequence[Asked], pipeline: Pipeline, path: Path, k: int) -> None:
    known = journal(path)
    missing = [one for one in asked if one.qid not in known]
    for one in tqdm(missing, desc=name, unit="query", file=sys.stderr):
        started = time.perf_counter()
        ranking = pipeline.search(one.query, k=k, top_k=k)
        note(path, [_record(one, ranking, time.perf_counter() - started)])


def _record(one: Asked, ranking: Ranking, seconds: float) -> dict[str, Any]:
    """One query's outcome; ranks are 1-based, 0 when no answer is among the first K."""
    after = [result.rank for result in ranking.results if result.document.id in one.relevant]
    before = [result.candidate.rank for result in ranking.results if result.document.id in one.relevant]
    return {
        "qid": one.qid,
        "coarse": min(before, default=0),
        "reranked": min(after, default=0),
        "tool_calls": ranking.usage.tool_calls,
        "confidence": ranking.results[0].confidence if ranking.results else 0.0,
        "no_match": ranking.no_match,
        "repairs": len(ranking.repairs),
        "seconds": round(seconds, 3),
        "policy_seconds": round(sum(turn.seconds for trace in ranking.traces for turn in trace.turns), 3),
    }


def summary(name: str, found: Sequence[dict[str, Any]], of: int) -> dict[str, Any]:
    """One task's line: hit rates, ceiling, wins and losses by query, cost."""
    n = len(found)
    wins = [r["qid"] for r in found if r["reranked"] == 1 and r["coarse"] != 1]
    losses = [r["qid"] for r in found if r["coarse"] == 1 and r["reranked"] != 1]
    return {
        "task": name,
        "queries": n,
        "of": of,
        "coarse": {k: hit(found, "coarse", k) for k in (1, 5)},
        "reranked": {k: hit(found, "reranked", k) for k in (1, 5)},
        "ceiling": sum(r["coarse"] > 0 for r in found) / n,
        "wins": wins,
        "losses": losses,
        "ties": n - len(wins) - len(losses),
        "p": sign_test(len(wins), len(losses)),
        "looked": sum(r["tool_calls"] > 0 for r in found) / n,
        "tool_calls": sum(r["tool_calls"] for r in found) / n,
        "repairs": sum(r["repairs"] for r in found),
        "seconds": sum(r["seconds"] for r in found) / n,
        "policy_seconds": sum(r["policy_seconds"] for r in found) / n,
    }


def hit(found: Sequence[dict[str, Any]], stage: str, k: int) -> float:
    """Share of queries with an answer among the first k."""
    return float(sum(0 < record[stage] <= k for record in found)) / len(found)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact binomial p of so uneven a split, ties left out."""
    n, least = wins + losses, min(wins, losses)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(least + 1)) / 2**n) if n else 1.0


HEAD = (
    "| task | queries | hit@1 coarse | hit@1 evidence | hit@5 coarse | hit@5 evidence | ceiling@K "
    "| wins / ties / losses | p | looked | tool calls | s/query (looking) |\n|" + "---|" * 12
)


def _line(row: dict[str, Any]) -> str:
    asked = str(row["queries"]) if row["queries"] == row["of"] else f"{row['queries']} of {row['of']}"
    rates = [row["coarse"][1], row["reranked"][1], row["coarse"][5], row["reranked"][5], row["ceiling"]]
    return (
        f"| {row['task']} | {asked} | " + " | ".join(f"{rate:.3f}" for rate in rates)
        + f" | {len(row['wins'])} / {row['ties']} / {len(row['losses'])} | {row['p']:.3f} | {row['looked']:.0%} "
        f"| {row['tool_calls']:.2f} | {row['seconds']:.2f} ({row['policy_seconds']:.2f}) |"
    )  # fmt: skip


def _write(options: argparse.Namespace, rows: Sequence[dict[str, Any]], fingerprint: str) -> None:
    about = {
        "command": " ".join(sys.argv),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "k": options.k,
        "split": options.split,
        "ocr": not options.no_ocr,
        "embedder": fingerprint,
    }
    with written(options.out / "results.json") as file:
        json.dump({"about": about, "tasks": list(rows)}, file, indent=1)
    with written(options.out / "table.md") as file:
        file.write("\n".join([f"K = {options.k}, OCR {'off' if options.no_ocr else 'on'}, {about['when']}", "", HEAD]))
        file.write("\n" + "\n".join(map(_line, rows)) + "\n")
    print((options.out / "table.md").read_text(encoding="utf-8"))


def _chosen(task: Task, limit: int | None, all_garments: bool) -> list[Asked]:
    """The queries to report: garments' held-out half, and at most `limit`, evenly spread."""
    held_out = "garments" in task.name and not all_garments
    asked = [one for one in task.asked if not held_out or fold_of(one.group) == 1]
    return asked if limit is None else asked[:: max(1, -(-len(asked) // limit))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="the data in M-BEIR's layout")
    parser.add_argument("--tasks", nargs="+", default=TASKS, metavar="TASK", help="such as grocery-4")
    parser.add_argument("--split", default="test", choices=("test", "val"))
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for journals, table and results")
    parser.add_argument("--work", type=Path, help="folder for indexes and words read; OUT/work by default")
    parser.add_argument("-k", type=int, default=20, help="candidates of the coarse stage that are ranked")
    parser.add_argument("--limit", type=int, help="at most so many queries per task, evenly spread")
    parser.add_argument("--all-garments", action="store_true", help="also the half of the garments that was fitted on")
    parser.add_argument("--no-ocr", action="store_true", help="neither the index nor the agent reads print")
    parser.add_argument("--taught", type=Path, help="a file of taught labels for the embedder")
    return parser.parse_args()


if __name__ == "__main__":
    main()

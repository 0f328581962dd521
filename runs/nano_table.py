"""Run folders of one agent at several stages of its training, as a table.

python runs/nano_table.py OUT/runs/base OUT/runs/sft OUT/runs/rsft

Format: every window ended in a ranking and nothing had to be repaired. Tools: calls that were answered, of all calls.
Looked: queries of which at least one call was answered. hit@1 with its 95 % bootstrap interval over queries; an agent
that gives no ranking leaves the incoming order, whose own hit@1 stands beside.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vretrver.report import RunFolder, read_run
from vretrver.trace import Ranking, StopReason
from vretrver.viewer import read_traces

HEAD = "| run | queries | hit@1 | incoming order | hit@5 | format valid | tool calls valid | looked | calls a query |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    print(HEAD + "\n|" + "---|" * (HEAD.count("|") - 1))
    for folder in parser.parse_args().runs:
        print(row(read_run(folder), read_traces(folder / "traces.jsonl")))


def row(run: RunFolder, rankings: list[Ranking]) -> str:
    """One line of the table."""
    hits = np.array([bool(set(one.order[:1]) & set(one.relevant)) for one in run.outcomes], float)
    dice = np.random.default_rng(0)
    drawn = np.sort(hits[dice.integers(0, len(hits), (2000, len(hits)))].mean(axis=1))
    low, high = drawn[50], drawn[-51]
    valid = [all(t.stop is StopReason.ANSWERED and not t.repairs for t in one.traces) for one in rankings]
    answers = [turn.observation.valid for one in rankings for t in one.traces for turn in t.turns if turn.observation]
    looked = [
        any(turn.observation and turn.observation.valid for t in one.traces for turn in t.turns) for one in rankings
    ]
    hit5 = run.metrics["reranked"]["hit@5"]
    cells = [
        run.name,
        str(len(hits)),
        f"{hits.mean():.3f} [{low:.2f}, {high:.2f}]",
        f"{run.metrics['coarse']['hit@1']:.3f}",
        f"{hit5:.3f}",
        f"{np.mean(valid):.3f}",
        f"{np.mean(answers):.3f}" if answers else "no calls",
        f"{np.mean(looked):.3f}",
        f"{len(answers) / max(1, len(rankings)):.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()

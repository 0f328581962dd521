"""Run folders as rows of a table for docs/results.md.

python runs/results_table.py OUT/runs/garments_task7 OUT/runs/world ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vretrver.report import RunFolder, read_run

HEAD = (
    "| run | queries / pool | hit@1 before -> after | change, 95 % interval (points) | hit@5 | ceiling "
    "| won / tied / lost | p | looked | tool calls | s/query |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    print(HEAD + "\n|" + "---|" * (HEAD.count("|") - 1))
    for folder in parser.parse_args().runs:
        print(row(read_run(folder)))


def row(run: RunFolder) -> str:
    """One line of the table; a run without an agent has no second figure."""
    metrics, config = run.metrics, run.config
    looked = config["policy"] != "none"
    cells = [run.name, f"{metrics['n']} / {config['n_pool']:,}", _pair(run, "hit@1", looked)]
    low, high = metrics["interval"]["difference"]["hit@1"]
    change = metrics["reranked"]["hit@1"] - metrics["coarse"]["hit@1"]
    cells.append(f"{100 * change:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})" if looked else "")
    cells += [_pair(run, "hit@5", looked), _rate(metrics["ceiling"])]
    if looked:
        looking, usage = metrics["looking"], metrics["usage"]
        cells += [f"{metrics['wins']} / {metrics['ties']} / {metrics['losses']}", f"{metrics['sign_p']:.2g}"]
        cells += [f"{looking['looked']:.0%}", f"{usage['tool_calls']['mean']:.2f}"]
    else:
        cells += [""] * 4
    cells.append(f"{run.timing['seconds']['mean']:.2f}" if run.timing else "")
    return "| " + " | ".join(cells) + " |"


def _pair(run: RunFolder, name: str, looked: bool) -> str:
    before, after = _rate(run.metrics["coarse"][name]), _rate(run.metrics["reranked"][name])
    return f"{before} -> {after}" if looked else before


def _rate(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if value < 1 else "1.0"


if __name__ == "__main__":
    main()

"""One command, one run, interleaved: our planners, the paper's schedule and other rerankers on the same topics.

    python -m runs.planners [--topics 1500] [--slow 200] [--peers PEERS/bin/python] [-o build/planners]

Needs the repository's root as the working directory. `--peers` names the interpreter of the environment that
`runs/planners/peers.txt` describes; without it those are left out, and a line says so. Writes results.json, table.md
and planners.png; prints the table.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from runs.planners import faulty
from runs.planners.chart import draw
from runs.planners.lineup import entries, opened
from runs.planners.measuring import Contender, difference, row, summary
from runs.planners.peers import SETTINGS
from runs.planners.servers import Servers
from runs.planners.table import table, targets
from runs.planners.topics import pictures, topic
from tqdm import tqdm

PAIRS = (
    ("sliding/text", "merge/text"),
    ("rank_llm", "merge/text"),
    ("merge/text", "adaptive/text"),
    ("merge/text", "adaptive:0.1/text"),
    ("merge/text", "merge+second_look/text"),
    ("sliding/text", "merge+second_look/text"),
    ("merge/text", "merge+fusion/text"),
    ("merge/text", "merge+gate/text"),
    ("sliding/2/512", "merge/2/512"),
    ("merge/2/512", "merge/2/96"),
    ("merge/0/96", "merge/2/96"),
    ("merge/2/96", "merge+second_look/2/96"),
    ("paper/2/uncached", "merge/2/96"),
    ("paper/0", "merge/2/96"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topics", type=int, default=1500, help="for our planners on text")
    parser.add_argument("--slow", type=int, default=200, help="how many of them the other libraries and pictures get")
    parser.add_argument("--faulty", type=int, default=40, help="topics on servers that fail")
    parser.add_argument("--peers", type=Path, help="the interpreter of the environment of peers.txt")
    parser.add_argument("--only", help="contenders by their keys, with commas between; all when not given")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/planners"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with open(options.output / "peers.log", "w") as log:
        found = measured(options, log)
    found["about"] = {
        "command": "python -m runs.planners " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "python": platform.python_version(),
        "seconds": round(time.perf_counter() - started),
    }
    (options.output / "results.json").write_text(json.dumps(found, indent=1))
    text = written(found)
    (options.output / "table.md").write_text(text)
    print(text, end="")
    draw(found["contenders"], options.output / "planners.png")


def measured(options: argparse.Namespace, log: IO[str]) -> dict[str, Any]:
    """The whole run.

    Every contender ranks a topic before anybody sees the next; who begins goes round. One more topic warms up.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(Servers())
        only = options.only.split(",") if options.only else None
        wanted = entries(pictures(folder), options.peers, log)
        present, absent = opened(servers, [one for one in wanted if only is None or one.key in only])
        for one in present.values():
            stack.callback(one.close)
        rows: dict[str, list[dict[str, float]]] = {key: [] for key in present}
        orders: dict[str, list[list[int]]] = {key: [] for key in present}
        for index in tqdm(range(-1, options.topics), unit="topic", mininterval=10):
            for key in turns(list(present), index):
                slow = present[key].track == "image" or key in SETTINGS
                if slow and index >= options.slow:
                    continue
                ranked = present[key].rank(topic(index))
                if index >= 0:
                    rows[key].append(row(topic(index), ranked))
                    orders[key].append(list(ranked.order))
        survived = faulty.survived(servers, min(options.faulty, options.topics), orders, options.peers, log)
        told = {key: described(one) | summary(rows[key]) for key, one in present.items()}
    pairs = {
        f"{one} -> {other}": difference(rows[one], rows[other]) for one, other in PAIRS if {one, other} <= set(rows)
    }
    if options.peers is None:
        absent["rank_llm, rerankers"] = "no --peers was given"
    return {
        "contenders": told,
        "differences": pairs,
        "absent": absent,
        "faults": [asdict(one) for one in survived],
        "rows": rows,
    }


def turns(keys: list[str], index: int) -> list[str]:
    """The keys, beginning with another at every topic."""
    first = index % len(keys)
    return keys[first:] + keys[:first]


def described(one: Contender) -> dict[str, str]:
    return {"name": one.name, "track": one.track, "setting": one.setting}


def written(found: dict[str, Any]) -> str:
    about = found["about"]
    run = f"commit {about['commit']}, {about['seconds']} s"
    parts = [f"`{about['command']}`, {about['date']}, {run}."]
    for track in ("text", "image"):
        parts += [f"## {track} track", table(found["contenders"], track)]
    parts += ["## Targets and differences"]
    parts += ["\n".join(f"- {line}" for line in targets(found["contenders"], found["differences"]))]
    parts += ["## Under 30 % faults", faulty.table([faulty.Survived(**one) for one in found["faults"]])]
    parts += ["\n".join(f"- absent: {key}: {why}" for key, why in found["absent"].items())]
    return "\n\n".join(parts) + "\n"


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()

"""What second looks, fusion, the gate and the adaptive planner bring and cost, with simulated agents.

    python -m runs.confidence.measure --work FOLDER [--every 3] [--half 1]

Chances come from weights fitted on half 0. Half 0 is what was chosen on, half 1 what may be reported. Three agents:
weak, middling and strong (`AGENTS`). Differences are paired, topic by topic, with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from runs.confidence.agents import Simulated, Traits
from runs.confidence.fit import fitted_coarse
from runs.confidence.topics import Found, read
from tqdm import tqdm

from vretrver.calibration import Calibration
from vretrver.evaluation.statistics import paired_interval
from vretrver.metrics import hit_rate
from vretrver.orders import fused, merged, place_odds
from vretrver.reranker import Reranker
from vretrver.trace import Ranking
from vretrver.windows import load_planner

AGENTS = {
    "weak": Traits(1.5, 0.3, 0.6, 1.0),
    "middling": Traits(3.0, 0.3, 0.6, 1.0),
    "strong": Traits(5.0, 0.3, 0.6, 1.0),
}
DEPTH = 50
WEIGHTS = (0.1, 0.2, 0.3, 0.5)
GATES = (0.99, 0.95, 0.9, 0.8, 0.7)
BOUNDS = ("0.01", "0.02", "0.05", "0.1", "0.2")


class Table:
    """Rows of one half: topics in order, a value per topic and row."""

    def __init__(self) -> None:
        self.orders: dict[str, list[Sequence[str]]] = {}
        self.windows: dict[str, list[int]] = {}
        self.relevant: list[frozenset[str]] = []

    def add(self, name: str, order: Sequence[str], windows: int) -> None:
        self.orders.setdefault(name, []).append(order)
        self.windows.setdefault(name, []).append(windows)

    def print(self, base: str) -> None:
        print(
            "| | hit@1 | against the first line | hit@5 | against the first line | windows |\n|---|---|---|---|---|---|"
        )
        for name, orders in self.orders.items():
            cells = []
            for k in (1, 5):
                mine, theirs = (
                    [
                        hit_rate(order, dict.fromkeys(answers, 1), k)
                        for order, answers in zip(some, self.relevant, strict=True)
                    ]
                    for some in (orders, self.orders[base])
                )
                low, high = paired_interval(theirs, mine, resamples=2000)
                cells += [f"{np.mean(mine):.3f}", "" if name == base else f"{low:+.3f} to {high:+.3f}"]
            print(f"| {name} | " + " | ".join(cells) + f" | {np.mean(self.windows[name]):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--every", type=int, default=3, help="of so many topics one")
    parser.add_argument("--half", type=int, choices=(0, 1), default=1)
    options = parser.parse_args()
    topics = read(options.work)
    coarse = fitted_coarse([topic for topic in topics if topic.half == 0])
    chosen = [topic for topic in topics if topic.half == options.half and len(topic.candidates) >= DEPTH][
        :: options.every
    ]
    for name, traits in AGENTS.items():
        table = Table()
        for topic in tqdm(chosen, desc=name, unit="topic"):
            _measure(table, topic, traits, coarse)
        print(f"\n### Half {options.half}, {name} agent, {len(chosen)} topics, {DEPTH} candidates\n")
        table.print("sliding")


def _measure(table: Table, topic: Found, traits: Traits, coarse: Calibration) -> None:
    table.relevant.append(topic.relevant)
    ids = [one.document.id for one in topic.candidates[:DEPTH]]
    rankings: dict[str, Ranking] = {}

    def rank(name: str, planner: str, **rules: Any) -> Ranking:
        policy = Simulated(topic, traits, 7)
        reranker = Reranker(policy, planner=load_planner(planner), calibration=coarse, **rules)
        ranking = reranker.rerank(topic.query, topic.candidates[:DEPTH])
        table.add(name, ranking.ids, ranking.usage.windows)
        rankings[name] = ranking
        return ranking

    plain = rank("sliding", "sliding:20,10")
    table.add("coarse", ids, 0)
    once = rank("merge", "merge:20,5")
    for look in ("reverse", "shuffle"):
        twice = rank(f"merge, second look {look}", "merge:20,5", second_look=look)
        first, second = _looks(once, twice)
        tail = once.ids[len(first) :]
        table.add(f"merge, {look}: the second look alone", (*second, *tail), 4)
        table.add(f"merge, {look}: ties to the first look", (*merged(first, second, first), *tail), 4)
    _other_reverse(table, topic, traits, once)
    for bound in BOUNDS:
        rank(f"adaptive:{bound}", f"adaptive:{bound}")
    chances = coarse.chances(topic.query, topic.candidates[:DEPTH])
    assert chances is not None
    for weight in WEIGHTS:
        table.add(f"sliding, reciprocal ranks {weight}", _reciprocal(plain.ids, ids, weight), plain.usage.windows)
        known = {name: math.log(chance / (1 - chance)) for name, chance in zip(ids, chances, strict=True)}
        table.add(f"sliding, fusion {weight}", fused(plain.ids, known, weight), plain.usage.windows)
        table.add(
            f"sliding, fusion {weight}, chances unknown", fused(plain.ids, place_odds(ids), weight), plain.usage.windows
        )
    for gate in GATES:
        skipped = chances[0] >= gate
        table.add(f"sliding, gate {gate}", ids if skipped else plain.ids, 0 if skipped else plain.usage.windows)


def _looks(once: Ranking, twice: Ranking) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Both looks' orders of the head."""
    again = twice.traces[-1]
    second = tuple(again.candidates[at] for at in again.order)
    return once.ids[: len(second)], second


def _other_reverse(table: Table, topic: Found, traits: Traits, once: Ranking) -> None:
    """A second look at the coarse order reversed, for comparison."""
    head = once.ids[: len(once.traces[-1].candidates)]
    tie = [one for one in topic.candidates if one.document.id in head]
    policy = Simulated(topic, traits, 7)
    second = Reranker(policy, planner=load_planner("onepass:20")).rerank(topic.query, list(reversed(tie))).ids
    order = merged(head, second, [one.document.id for one in tie])
    table.add("merge, second look at the coarse order reversed", (*order, *once.ids[len(head) :]), 4)


def _reciprocal(one: Sequence[str], other: Sequence[str], weight: float) -> list[str]:
    """Weighted reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009), for comparison."""
    score = {name: (1 - weight) / (60 + rank) for rank, name in enumerate(one, start=1)}
    score |= {name: score[name] + weight / (60 + rank) for rank, name in enumerate(other, start=1)}
    return sorted(one, key=lambda name: -score[name])


if __name__ == "__main__":
    main()

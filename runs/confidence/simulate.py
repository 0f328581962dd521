"""Rankings of simulated agents over validation topics, as rows to fit on: a result's signals and whether it answers.

    python -m runs.confidence.simulate --work FOLDER [--draws 3]

Every topic is ranked by `--draws` agents of drawn skill, noise, bias and tools, under a drawn planner, depth and second
look, once as it is and once more, for one draw in three, with its answers taken out. One window in thirty fails.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from runs.confidence.agents import Simulated, Traits
from runs.confidence.topics import Found, read
from tqdm import tqdm

from vretrver.calibration import Calibration
from vretrver.calibration.signals import RESULT, of_ranking
from vretrver.errors import PolicyError
from vretrver.messages import Completion, Conversation
from vretrver.reranker import Reranker
from vretrver.trace import Ranking
from vretrver.windows import load_planner

PLANNERS = ("sliding:20,10", "sliding:20,10", "merge:20,5", "onepass:20")
PAIRED = 3
"""One draw in so many is ranked with and without its answers."""
SHOWN = 10
"""Rows kept of a ranking: its first places, and as many drawn from below."""


@dataclass(frozen=True)
class Rows:
    """What is fitted on, N rows in all; `counts` is how many rows of the ranking a row stands for."""

    signals: dict[str, np.ndarray]
    right: np.ndarray
    counts: np.ndarray
    first: np.ndarray  # the row is a ranking's rank 1
    topic: np.ndarray  # number of the topic
    task: np.ndarray
    half: np.ndarray
    skill: np.ndarray
    looks: np.ndarray  # 2 where a second look was answered
    absent: np.ndarray  # answers were taken out
    known: np.ndarray  # the coarse chances were told
    turn: np.ndarray  # number of the draw

    def kept(self, mask: np.ndarray) -> Rows:
        whole = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "signals"}
        return Rows(
            {name: values[mask] for name, values in self.signals.items()}, **{k: v[mask] for k, v in whole.items()}
        )


class Failing:
    """A policy that fails on one window in thirty."""

    def __init__(self, policy: Simulated, draw: random.Random) -> None:
        self.name, self.wire = policy.name, policy.wire
        self._policy, self._draw = policy, draw

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        if self._draw.random() < 1 / 30:
            raise PolicyError("simulated")
        return self._policy.complete(conversations)


def ranked(found: Found, draw: random.Random, traits: Traits, seed: int, **rules: Any) -> Ranking:
    """One ranking of a topic; `rules` as `Reranker` takes them, drawn where they are not given."""
    depth = rules.pop("depth", None) or draw.choice((50, 50, 50, 20, 20, 10, 5, 3))
    given = {
        "planner": load_planner(draw.choice(PLANNERS)),
        "second_look": draw.choice((None, None, "reverse", "shuffle")),
        **rules,
    }
    policy = Failing(Simulated(found, traits, seed), draw)
    return Reranker(policy, **given).rerank(found.query, found.candidates[:depth])


def without_answers(found: Found) -> Found:
    kept = [one for one in found.candidates if one.document.id not in found.relevant]
    return replace(found, candidates=tuple(replace(one, rank=rank) for rank, one in enumerate(kept, start=1)))


def simulate(topics: Sequence[Found], coarse: Calibration, draws: int, seed: int = 0) -> Rows:
    """Rows of all topics; the same arguments give the same rows."""
    pieces: list[dict[str, Any]] = []
    for number, topic in enumerate(tqdm(topics, desc="ranking", unit="topic")):
        for turn in range(draws):
            draw = random.Random(f"{seed}:{topic.task}:{topic.topic}:{turn}")
            traits = Traits.drawn(draw)
            for absent in (False, True) if turn % PAIRED == 0 else (False,):
                asked = without_answers(topic) if absent else topic
                ranking = ranked(asked, draw, traits, turn, calibration=coarse)
                facts = {
                    "topic": number,
                    "task": topic.task,
                    "half": topic.half,
                    "skill": traits.skill,
                    "absent": absent,
                    "turn": turn,
                }
                pieces += [_piece(ranking, asked, coarse if known else None, draw, facts) for known in (True, False)]
    names = pieces[0]["facts"].keys()
    sizes = [len(piece["right"]) for piece in pieces]
    return Rows(
        {name: np.concatenate([piece["signals"][name] for piece in pieces]) for name in RESULT},
        *(np.concatenate([piece[name] for piece in pieces]) for name in ("right", "counts", "first")),
        **{name: np.repeat([piece["facts"][name] for piece in pieces], sizes) for name in names},
    )


def _piece(
    ranking: Ranking, found: Found, coarse: Calibration | None, draw: random.Random, facts: dict[str, Any]
) -> dict[str, Any]:
    candidates = [result.candidate for result in ranking.results]
    chances = None if coarse is None else coarse.chances(ranking.query, candidates)
    signals = of_ranking(ranking, chances)
    below = range(SHOWN, len(candidates))
    drawn = sorted(draw.sample(below, min(SHOWN, len(below))))
    rows = np.array([*range(min(SHOWN, len(candidates))), *drawn], int)
    counts = np.where(rows < SHOWN, 1.0, len(below) / max(1, len(drawn)))
    right = np.array([candidate.document.id in found.relevant for candidate in candidates], bool)
    facts = {**facts, "looks": 1 + (ranking.agreement is not None), "known": coarse is not None}
    signals = {name: values[rows] for name, values in signals.items()}
    return {"signals": signals, "right": right[rows], "counts": counts, "first": rows == 0, "facts": facts}


def save(rows: Rows, path: Path) -> None:
    whole = {name: getattr(rows, name) for name in rows.__dataclass_fields__ if name != "signals"}
    arrays: dict[str, Any] = whole | {f"signal_{name}": values for name, values in rows.signals.items()}
    np.savez_compressed(path, **arrays)


def load(path: Path) -> Rows:
    with np.load(path) as file:
        signals = {name.removeprefix("signal_"): file[name] for name in file.files if name.startswith("signal_")}
        return Rows(signals, **{name: file[name] for name in file.files if not name.startswith("signal_")})


def main() -> None:
    from runs.confidence.fit import fitted_coarse

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="holds topics.jsonl; rows.npz is written to it")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    topics = read(options.work)
    coarse = fitted_coarse([topic for topic in topics if topic.half == 0])
    save(simulate(topics, coarse, options.draws), options.work / "rows.npz")


if __name__ == "__main__":
    main()

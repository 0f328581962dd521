"""What a calibration of one's own is worth: fitted on half 0 of one agent's rankings, held against half 1.

    python -m runs.confidence.own --work FOLDER

For each agent of `measure.AGENTS`: expected calibration error and AUC of rank 1, with the packaged weights and with
`vretrver.evaluation.calibrating.fitted`, with one look and with two.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from runs.confidence.agents import Simulated, Traits
from runs.confidence.measure import AGENTS, DEPTH
from runs.confidence.topics import Found, read
from tqdm import tqdm

from vretrver.calibration import Calibration, packaged
from vretrver.evaluation.calibrating import Judged, fitted
from vretrver.evaluation.statistics import auc, calibration
from vretrver.reranker import Reranker
from vretrver.reranking import SecondLook
from vretrver.windows import load_planner


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--every", type=int, default=3, help="of so many topics one")
    options = parser.parse_args()
    topics = [topic for topic in read(options.work) if len(topic.candidates) >= DEPTH][:: options.every]
    print("| agent | looks | right | packaged: confidence | ECE | AUC | own: confidence | ECE | AUC |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, traits in AGENTS.items():
        for look in (None, "reverse"):
            fitting, held_out = (
                ranked([topic for topic in topics if topic.half == half], traits, look) for half in (0, 1)
            )
            right = np.array([one.ranking.ids[0] in one.relevant for one in held_out])
            cells = [cell for made in (packaged(), fitted(fitting)) for cell in _cells(made, held_out, right)]
            print(f"| {name} | {1 + (look is not None)} | {right.mean():.3f} | " + " | ".join(cells) + " |", flush=True)


def ranked(topics: Sequence[Found], traits: Traits, look: SecondLook | None) -> list[Judged]:
    found = []
    for topic in tqdm(topics, unit="topic"):
        reranker = Reranker(Simulated(topic, traits, 7), planner=load_planner("merge:20,5"), second_look=look)
        ranking = reranker.rerank(topic.query, topic.candidates[:DEPTH])
        found.append(Judged(f"{topic.task}:{topic.topic}", ranking, topic.relevant))
    return found


def _cells(made: Calibration, judged: Sequence[Judged], right: np.ndarray) -> list[str]:
    sure = np.array([made.confidences(one.ranking)[0] for one in judged])
    return [f"{sure.mean():.3f}", f"{calibration(sure, right)['ece']:.3f}", f"{auc(sure, right) or 0:.3f}"]


if __name__ == "__main__":
    main()

"""Fits the packaged calibration and holds it against topics it was not fitted on.

    python -m runs.confidence.fit --work FOLDER [--dry-run]

Reads topics.jsonl (`topics.py`) and rows.npz (`simulate.py`). Everything is fitted on half 0; what is printed is of
half 1, and of each collection with weights fitted on the others alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from runs.confidence.simulate import PAIRED, Rows, load
from runs.confidence.topics import Found, read

import vretrver.calibration as package
from vretrver.calibration import Calibration, kind_of
from vretrver.calibration.logistic import Logistic, fit
from vretrver.calibration.signals import of_scores
from vretrver.evaluation.calibrating import cut_off
from vretrver.evaluation.statistics import auc, calibration, interval

DEPTH = 50
ABSENT_SHARE = 0.1
"""How much rankings without an answer count: one query in ten has none."""
LEAST = 10
"""Candidates; the world's galleries of eight look-alikes have scores of another kind and are left out of `coarse`."""


def fitted_coarse(topics: Sequence[Found]) -> Calibration:
    """Coarse models by kind, by the query's modality, and of everything; every task counts the same."""
    topics = [topic for topic in topics if len(topic.candidates) >= LEAST]
    models: dict[str, Logistic] = {}
    for kind in sorted({kind_of(topic.query, topic.candidates) for topic in topics}):
        models[kind] = _coarse([topic for topic in topics if kind_of(topic.query, topic.candidates) == kind])
    for modality in ("text", "image", "image,text"):
        models[f"{modality}>*"] = _coarse([topic for topic in topics if topic.query.modality == modality])
    models["*"] = _coarse(topics)
    return Calibration(models, Logistic(), 0.0, least=LEAST)


def _coarse(topics: Sequence[Found]) -> Logistic:
    tasks = {topic.task for topic in topics}
    sizes = {task: sum(len(topic.candidates[:DEPTH]) for topic in topics if topic.task == task) for task in tasks}
    signals = [of_scores(np.array([one.score for one in topic.candidates[:DEPTH]])) for topic in topics]
    right = np.concatenate([topic.right[:DEPTH] for topic in topics])
    counts = np.concatenate([np.full(len(topic.candidates[:DEPTH]), 1 / sizes[topic.task]) for topic in topics])
    return fit({name: np.concatenate([one[name] for one in signals]) for name in signals[0]}, right, counts)


def fitted_result(rows: Rows) -> Logistic:
    """The result model; rankings whose answers were taken out count `ABSENT_SHARE` of the whole."""
    return fit(rows.signals, rows.right, rows.counts * _shares(rows))


def _shares(rows: Rows) -> np.ndarray:
    absent = rows.absent.astype(bool)
    there, gone = float((~absent & rows.first).sum()), float((absent & rows.first).sum())
    return np.where(absent, ABSENT_SHARE / max(1.0, gone), (1 - ABSENT_SHARE) / there)


def auc_interval(
    score: np.ndarray, positive: np.ndarray, group: np.ndarray, resamples: int = 500
) -> tuple[float, float]:
    """95 % percentile bootstrap over groups (topics)."""
    draw = np.random.default_rng(0)
    names, members = np.unique(group, return_inverse=True)
    places = [np.flatnonzero(members == at) for at in range(len(names))]
    found = []
    for _time in range(resamples):
        rows = np.concatenate([places[at] for at in draw.integers(0, len(names), len(names))])
        found.append(auc(score[rows], positive[rows]))
    low, high = np.nanquantile(np.array(found, float), [0.025, 0.975])
    return float(low), float(high)


def line(name: str, model: Logistic, rows: Rows) -> str:
    """A line of the table: rank 1 of rankings as they are."""
    kept = rows.kept(rows.first & ~rows.absent.astype(bool))
    chance, right = model.chances(kept.signals), kept.right.astype(float)
    low, high = interval(right - chance)
    ends = auc_interval(chance, kept.right, kept.topic)
    ece = calibration(chance, right)["ece"]
    return (
        f"| {name} | {len(right)} | {right.mean():.3f} | {chance.mean():.3f} | {low:+.3f} to {high:+.3f} | {ece:.3f} | "
        f"{auc(chance, kept.right):.3f} ({ends[0]:.3f} to {ends[1]:.3f}) |"
    )


def absence(chance: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Highest chance per ranking, whether its answers were taken out, and its topic; of agents that ranked both."""
    paired = rows.turn % PAIRED == 0
    chance, rows = chance[paired], rows.kept(paired)
    firsts = np.flatnonzero(rows.first)
    ends = [*firsts[1:], len(chance)]
    best = np.array([chance[start:end].max() for start, end in zip(firsts, ends, strict=True)])
    return best, rows.absent[firsts].astype(bool), rows.topic[firsts]


HEAD = "| rank 1 of | rankings | right | confidence | right - confidence | ECE | AUC |\n|---|---|---|---|---|---|---|"


def report(model: Logistic, rows: Rows) -> None:
    print(HEAD)
    for known in (True, False):
        told = rows.kept(rows.known.astype(bool) == known)
        coarse = "coarse chances known" if known else "not known"
        print(line(f"all, {coarse}", model, told))
        for task in np.unique(told.task):
            print(line(f"{task}, {coarse}", model, told.kept(told.task == task)))
        for low, high in ((0.5, 2), (2, 4), (4, 6)):
            print(line(f"skill {low}-{high}, {coarse}", model, told.kept((told.skill >= low) & (told.skill < high))))
        for looks in (1, 2):
            print(line(f"{looks} look(s), {coarse}", model, told.kept(told.looks == looks)))


def report_coarse(coarse: Calibration, topics: Sequence[Found]) -> None:
    """How the coarse chances hold, a task at a time: of rank 1, and of an answer beyond rank 20."""
    print(
        "\n| coarse stage of | topics | rank 1: right | chance | ECE | answer beyond rank 20 | sum of chances there |"
    )
    print("|---|---|---|---|---|---|---|")
    for task in sorted({topic.task for topic in topics if len(topic.candidates) >= LEAST}):
        some = [topic for topic in topics if topic.task == task]
        chances = [coarse.chances(topic.query, topic.candidates[:DEPTH]) or [] for topic in some]
        first, right = [one[0] for one in chances], [bool(topic.right[0]) for topic in some]
        beyond = float(np.mean([topic.right[20:DEPTH].any() for topic in some]))
        cells = (float(np.mean(right)), float(np.mean(first)), calibration(first, right)["ece"], beyond)
        tail = float(np.mean([sum(one[20:]) for one in chances]))
        print(f"| {task} | {len(some)} | " + " | ".join(f"{cell:.3f}" for cell in (*cells, tail)) + " |")


def report_absence(model: Logistic, rows: Rows) -> None:
    print("\n| absent answers, told by | AUC |\n|---|---|")
    for known in (True, False):
        for looks in (1, 2):
            told = rows.kept((rows.known.astype(bool) == known) & (rows.looks == looks))
            after = f"after {looks} look(s)"
            signs = {f"confidence {after}, coarse chances {'' if known else 'not '}known": model.chances(told.signals)}
            if known:
                held = told.kept(told.signals["unknown"] == 0)
                print(_absence_line(f"the coarse chance alone, {after}", held.signals["coarse"], held))
            if looks == 2 and known:
                signs["agreement of both looks alone"] = np.where(told.first, told.signals["steady_first"], -1.0)
            for name, sign in signs.items():
                print(_absence_line(name, sign, told))


def _absence_line(name: str, sign: np.ndarray, rows: Rows) -> str:
    best, absent, topic = absence(sign, rows)
    low, high = auc_interval(-best, absent, topic)
    return f"| {name} | {auc(-best, absent) or 0:.3f} ({low:.3f} to {high:.3f}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--dry-run", action="store_true", help="report, but leave weights.json as it is")
    options = parser.parse_args()
    topics, rows = read(options.work), load(options.work / "rows.npz")
    coarse = fitted_coarse([topic for topic in topics if topic.half == 0])
    fitting, held_out = rows.kept(rows.half == 0), rows.kept(rows.half == 1)
    model = fitted_result(fitting)
    print(f"Fitted on half 0, of half 1:\n{model}\n")
    report_coarse(coarse, [topic for topic in topics if topic.half == 1])
    report(model, held_out)
    report_absence(model, held_out)
    print(f"\nFitted on the other collections:\n{HEAD}")
    of = np.array([task.split("-")[0] for task in rows.task])
    for collection in np.unique(of):
        others = fitted_result(rows.kept((of != collection) & (rows.half == 0)))
        for known in (True, False):
            told = rows.kept((of == collection) & (rows.known.astype(bool) == known))
            print(line(f"{collection}, {'coarse chances known' if known else 'not known'}", others, told))
    below = no_match(model, fitting, held_out)
    if not options.dry_run:
        about = {"command": "python -m runs.confidence.fit --work FOLDER", "topics": len(topics), "agents": "simulated"}
        made = replace(coarse, result=model, no_match_below=below, about=about)
        text = json.dumps(made.to_record(), indent=1) + "\n"
        (Path(package.__file__).parent / "weights.json").write_text(text, encoding="utf-8")


def no_match(model: Logistic, fitting: Rows, held_out: Rows) -> float:
    """The cut-off that half 0 asks for (`calibrating.cut_off`), and what it would say of half 1."""
    firsts = fitting.kept(fitting.first & ~fitting.absent.astype(bool))
    below = cut_off(model.chances(firsts.signals), firsts.right.astype(bool))
    print("\n| no_match below | half | said where an answer is in the pool | said where none is | right where said |")
    print("|---|---|---|---|---|")
    for half, rows in enumerate((fitting, held_out)):
        best, absent, _topic = absence(model.chances(rows.signals), rows)
        there = rows.kept(rows.first & ~rows.absent.astype(bool))
        said = model.chances(there.signals) < below
        shares = ((best[~absent] < below).mean(), (best[absent] < below).mean(), there.right[said].mean())
        print(f"| {below} | {half} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    return below


if __name__ == "__main__":
    main()

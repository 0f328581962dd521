"""Fits what the evidence agent trusts: weights per kind of query, when looking pays, how likely an answer is right.

    python -m runs.evidence.fit --root DATA --work FOLDER [--limit N]

Fitted on: grocery's validation queries (tasks 4 and 6; also with a coarse stage that was taught), product names against
its validation photos, one half of the garments (by garment; tasks 0, 3, 7) and synthetic labels
(`runs/fusion/printed.py`). The other half of the garments is only reported (`runs/evidence/held_out.py`); no test query
of grocery is read. Per kind: a conditional logit on windows that hold an answer, weights not negative, drawn to zero by
L2, so that the coarse order stands where evidence is weak. Signals enter one by one, and only if they win more than
they lose on folds by product that the logit did not see. Where looking won no more than noise, `look` is false: the
agent learns not to look there.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from runs.evidence.centre import centre_of_photos
from runs.evidence.explore import EXPLORING, Example, example_of, explored, eyes_of, keep_sightings, recall
from runs.evidence.tasks import Asked, fold_of, load_task, open_listing, open_pool
from runs.fusion.printed import labels
from scipy.optimize import minimize

from vretrver.coarse import coarse_candidates
from vretrver.embedders.lite import LiteEmbedder
from vretrver.ocr_memory import RememberedReader
from vretrver.policies.evidence import EvidencePolicy
from vretrver.policies.evidence.signals import NAMES
from vretrver.policies.evidence.weights import Weights, probabilities
from vretrver.types import Document, ImageRef, Query, Window

T = TypeVar("T")
OUT = Path(__file__).parents[2] / "src/vretrver/policies/evidence/weights.json"
RIDGE = 4.0  # in windows: a weight of 1 costs as much as four windows at half the probability
LEAST_COARSE = 0.7  # drawn labels would teach to ignore the coarse stage, which elsewhere is better than chance
FOLDS = 5
WORTH = 1.5  # queries that a further signal must win on the folds
# Signals that only make sense together: another colour of the same thing is alike in its parts and unlike in colour.
TOGETHER = (("regions", "details"), ("asked", "changed", "regions"), ("palette", "regions"), ("print", "regions"))
MARGINS = (0.0, 0.2, 0.5)
NOISE = 1.0  # standard deviations of wins minus losses from which looking is believed to help
STUBBORN = (0.0, 0.5)
TAUGHT_PHOTOS = 5
K = 20


def main() -> None:
    options = _arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    centre = centre_of_photos()
    groups = list(_examples(options.root, options.work, centre, options.limit))
    fit_on = [example for examples in groups for example in examples]
    kinds = {kind: fitted(of_kind) for kind, of_kind in _by(fit_on, lambda e: e.kind).items()}
    for asked, of_modality in _by(fit_on, lambda e: e.kind.partition(">")[0]).items():
        kinds[f"{asked}>*"] = fitted(of_modality)
    kinds["*"] = fitted(fit_on)
    for examples in groups:
        for kind, of_kind in _by(examples, lambda e: e.kind).items():
            _report(of_kind, kinds[kind], f"{of_kind[0].source}, {kind}")
    record = {
        "provenance": {
            "command": "python -m runs.evidence.fit",
            "date": date.today().isoformat(),
            "embedder": f"lite {LiteEmbedder.load().fingerprint[:12]}",
            "fitted_on": {examples[0].source: len(examples) for examples in groups},
        },
        "kinds": {kind: _plain(weights) for kind, weights in kinds.items()},
        "centre": [round(float(value), 4) for value in centre],
    }
    OUT.write_text(json.dumps(record, indent=1).replace(",\n  ", ", ") + "\n", encoding="utf-8")


# ---- examples


def _examples(root: Path, work: Path, centre: NDArray[np.float32], limit: int) -> Iterator[list[Example]]:
    reader = RememberedReader(work / "read.jsonl")
    eyes, sightings = eyes_of(reader), work / f"sightings.{LiteEmbedder.load().feature_fingerprint[:8]}.pickle"
    recall(eyes, sightings)

    def look(source: str, asked: Sequence[Asked], retriever: Any) -> list[Example]:
        keep = work / f"{source.replace(' ', '-')}.{retriever.embedder.fingerprint[:8]}.pickle"
        found = explored(source, asked, retriever, eyes, centre, keep, K)
        keep_sightings(eyes, sightings)
        return found

    for name in ("grocery-4", "grocery-6"):
        task = load_task(root, name, "val")
        yield look(f"{name} val", _thinned(task.asked, limit), open_pool(task, work / "indexes", reader))
    # A coarse stage that was taught is right far more often: the weights must know when to leave it alone.
    taught = taught_lite(root, TAUGHT_PHOTOS)
    eyes_taught = eyes_of(reader, taught)
    recall(eyes_taught, sightings)
    for name in ("grocery-4", "grocery-6"):
        task = load_task(root, name, "val")
        retriever = open_pool(task, work / "indexes", reader, taught)
        asked = _thinned(task.asked[1:], limit // 2)
        keep = work / f"{name}-taught.{taught.fingerprint[:8]}.pickle"
        yield explored(f"{name} val taught", asked, retriever, eyes_taught, centre, keep, K)
    yield look("names to photos", *_names_to_photos(root, work, reader))
    for modality, asked, retriever in _labels(work, reader):
        yield look(f"labels {modality}", asked, retriever)
    yield _unread_labels(work, EvidencePolicy(eyes, EXPLORING, centre))
    for name in ("garments-7", "garments-3", "garments-0"):
        task = load_task(root, name, "test")
        half = [one for one in task.asked if fold_of(one.group) == 0]
        few = limit // (1 if name == "garments-7" else 4)  # the other two are costly to look at and rarely right
        yield look(f"{name} half 0", _thinned(half, few), open_pool(task, work / "indexes", None))


def taught_lite(root: Path, photos: int) -> LiteEmbedder:
    """`lite` after so many labelled training photos of each product."""
    by_label: dict[str, list[str]] = {}
    with (root / "grocery_train.jsonl").open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            by_label.setdefault(record["label"], []).append(str(root / record["img_path"]))
    examples = [(label, path) for label, paths in by_label.items() for path in paths[:photos]]
    lite = LiteEmbedder.load()
    features = lite.features([Document(path, image=ImageRef(path=path)) for _, path in examples])
    return lite.taught(features, [label for label, _ in examples])


def _names_to_photos(root: Path, work: Path, reader: RememberedReader) -> tuple[list[Asked], Any]:
    """Names of products that ask for their validation photos."""
    photos: dict[str, list[str]] = {}
    for path in sorted((root / "mbeir_images/grocery/val").glob("*.jpg")):
        photos.setdefault(path.stem.rpartition("_")[0].replace("-", " "), []).append(str(path))
    rows = [{"id": path, "image": path} for paths in photos.values() for path in paths]
    asked = [Asked(name, Query(name), frozenset(paths), name) for name, paths in photos.items()]
    return asked, open_listing(rows, work / "indexes" / "val-photos", reader)


def _labels(work: Path, reader: RememberedReader) -> Iterator[tuple[str, list[Asked], Any]]:
    """Drawn labels that differ in a brand, a product or a figure, asked for in words, by picture, and by both."""
    folder = work / "labels"
    folder.mkdir(exist_ok=True)
    files, queries = labels(folder)
    rows = [{"id": file.name, "image": str(file)} for file in files]
    retriever = open_listing(rows, work / "indexes" / "labels", reader)
    for modality, pairs in queries.items():
        yield modality, [Asked(str(n), q, frozenset(ids), str(n)) for n, (q, ids) in enumerate(pairs)], retriever


def _unread_labels(work: Path, policy: EvidencePolicy) -> list[Example]:
    """Labels that differ in their figure alone, and a few others, reranked as loose files: nobody read them before."""
    files, queries = labels(work / "labels")
    rng, lite = np.random.default_rng(0), LiteEmbedder.load()
    keep = work / f"unread-labels.{lite.fingerprint[:8]}.pickle"
    if keep.exists():
        return list(pickle.loads(keep.read_bytes()))  # our own file
    found = []
    for number, (query, ids) in enumerate(pair for pairs in queries.values() for pair in pairs):
        family = next(iter(ids)).rpartition("-")[0]
        alike = [file for file in files if file.name.startswith(family)]
        others = list(rng.choice([str(file) for file in files if file not in alike], 4, replace=False))
        documents = [Document(Path(f).name, image=ImageRef(path=str(f))) for f in [*alike, *others]]
        window = Window(query, tuple(coarse_candidates(query, documents, lite)))
        asked = Asked(str(number), query, frozenset(ids), str(number))
        found.append(example_of("unread labels", asked, window, policy))
    keep.write_bytes(pickle.dumps(found))
    return found


def _thinned(asked: Sequence[Asked], limit: int) -> list[Asked]:
    """At most `limit` queries, evenly spread."""
    return list(asked[:: max(1, -(-len(asked) // limit))])


# ---- the model


def fitted(examples: Sequence[Example]) -> Weights:
    """Weights of one kind: signals chosen one by one on folds that the logit did not see, then a fit on everything."""
    best = (0.0, 0, 0, 0, Weights(look=False), [(e, w) for e, w in _cross_fitted(examples, ())])
    chosen: tuple[str, ...] = ()
    seen = {name for name in NAMES if any(e.signals[name].any() for e in examples)}
    sets = [names for names in TOGETHER if seen.issuperset(names)] + [(name,) for name in NAMES if name in seen]
    while True:
        more = {tuple(sorted({*chosen, *names})) for names in sets} - {chosen}
        tried = [(_protected(list(_cross_fitted(examples, names))), names) for names in sorted(more)]
        step, names = max(tried, key=lambda t: t[0][0], default=(best, chosen))
        if step[0] < best[0] + WORTH:
            break
        best, chosen = step, names
    _, wins, losses, _, guard, held = best
    look = wins - losses > NOISE * np.sqrt(wins + losses)
    weights = replace(_logit(examples, chosen), margin=guard.margin, stubborn=guard.stubborn, look=bool(look))
    slope, offset = _calibrated(held, weights.look)
    print(f"    folds: wins {wins}, losses {losses} of {len(examples)}, look {weights.look}")
    return replace(weights, slope=slope, offset=offset)


def _protected(held: Sequence[tuple[Example, Weights]]) -> tuple[float, int, int, int, Weights, Any]:
    """The guard of the coarse first under which most is won; a loss counts half as much again as a win."""
    tried = []
    for number, (margin, stubborn) in enumerate((m, s) for m in MARGINS for s in STUBBORN):
        pairs = [(e, replace(w, margin=margin, stubborn=stubborn)) for e, w in held]
        worth = 0.0
        for of_source in _by(pairs, lambda pair: pair[0].source).values():
            wins, losses = _tally(of_source)
            worth += wins - 1.5 * losses - 3 * max(0, losses - wins)  # no collection may pay for another's gain
        wins, losses = _tally(pairs)
        tried.append((worth, wins, losses, number, pairs[0][1], list(held)))
    return max(tried, key=lambda t: (t[0], t[3]))


def _cross_fitted(examples: Sequence[Example], names: Sequence[str]) -> Iterator[tuple[Example, Weights]]:
    groups = sorted({example.group for example in examples})
    place = {group: number % FOLDS for number, group in enumerate(np.random.default_rng(0).permutation(groups))}
    for fold in range(FOLDS):
        weights = _logit([example for example in examples if place[example.group] != fold], names)
        yield from ((example, weights) for example in examples if place[example.group] == fold)


def _logit(examples: Sequence[Example], names: Sequence[str]) -> Weights:
    """Conditional logit of the answer among the candidates, L2 on the signals, nothing negative."""
    rows = [
        (np.stack([e.z, *(e.signals[name] for name in names)], 1), e.relevant) for e in examples if e.relevant.any()
    ]
    strength = np.array([0.0, *([RIDGE / 2] * len(names))])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = float(strength @ w**2), 2 * strength * w
        for X, relevant in rows:
            p = probabilities(X @ w)
            right = p * relevant
            total -= float(np.log(right.sum() + 1e-12))
            slope += X.T @ (p - right / (right.sum() + 1e-12))
        return total, slope

    start = np.array([1.0, *([0.1] * len(names))])
    bounds = [(LEAST_COARSE, 8.0), *([(0.0, 12.0)] * len(names))]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    signals = {name: round(float(w), 3) for name, w in zip(names, found[1:], strict=True) if w > 0.01}
    return Weights(coarse=round(float(found[0]), 3), signals=signals)


def first(example: Example, weights: Weights) -> int:
    """The position that the agent puts first after looking, by the rule of `policy.judged`."""
    return int((weights.scores(example.signals, example.z) + weights.defence(example.z)).argmax())


def _tally(pairs: Sequence[tuple[Example, Weights]]) -> tuple[int, int]:
    """Queries won and lost at rank 1 against the coarse order; nobody looks where the coarse stage is certain."""
    wins = losses = 0
    for example, weights in pairs:
        if probabilities(weights.coarse * example.z).max() < weights.certain:
            after, before = example.relevant[first(example, weights)], example.relevant[0]
            wins, losses = wins + int(after and not before), losses + int(before and not after)
    return wins, losses


def _calibrated(pairs: Sequence[tuple[Example, Weights]], look: bool) -> tuple[float, float]:
    """Platt's scaling of the probabilities over every candidate of every window, those without an answer included."""
    x, y = [], []
    for example, weights in pairs:
        scores = weights.scores(example.signals, example.z) if look else weights.coarse * example.z
        p = np.clip(probabilities(scores), 1e-6, 1 - 1e-6)
        x.append(np.log(p / (1 - p)))
        y.append(example.relevant)
    X, Y = np.concatenate(x), np.concatenate(y).astype(float)

    def loss(w: NDArray[np.float64]) -> float:
        t = w[0] * X + w[1]
        return float(np.mean(np.logaddexp(0, t) - Y * t) + 1e-3 * (w[0] - 1) ** 2)

    slope, offset = minimize(loss, np.array([1.0, -1.0]), bounds=[(0.3, 1.5), (-6.0, 0.3)]).x
    return round(float(slope), 3), round(float(offset), 3)


def _report(examples: Sequence[Example], weights: Weights, what: str) -> None:
    used = weights if weights.look else replace(weights, signals={}, margin=0.0)
    before, ceiling = np.mean([e.relevant[0] for e in examples]), np.mean([e.relevant.any() for e in examples])
    forced = np.mean([e.relevant[first(e, weights)] for e in examples])
    wins, losses = _tally([(e, used) for e in examples])
    print(
        f"{what}: {len(examples)} queries, ceiling {ceiling:.3f}, coarse {before:.3f}, "
        f"if looked {forced:.3f}, +{wins} -{losses}, {_plain(weights)}"
    )


def _plain(weights: Weights) -> dict[str, Any]:
    return asdict(weights)


def _by(examples: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for example in examples:
        found.setdefault(key(example), []).append(example)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="the data in M-BEIR's layout")
    parser.add_argument("--work", type=Path, required=True, help="where indexes, words read and examples are kept")
    parser.add_argument("--limit", type=int, default=300, help="queries per task")
    return parser.parse_args()


if __name__ == "__main__":
    main()

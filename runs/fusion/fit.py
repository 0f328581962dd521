"""Fits the weights of the coarse stage's signals, and its confidence, on validation queries. Writes `fusion.json`.

    python -m runs.fusion.fit DATA --work /tmp/fusion        # DATA: an M-BEIR tree with the sets grocery and garments

Fitted on: grocery's validation queries (tasks 4 and 6) and product names against its validation photos; one half of the
garments (by garment; tasks 0, 3, 7), the other half is only reported; synthetic receipts and labels (`printed.py`).
No test query of grocery is read. Per query modality a conditional logit over the whole pool,

    P(row) = softmax(sum_s weight_s * shape_s(signal_s)),  weights >= 0, a weak prior towards 0,

then a logistic on score and lead for the confidence, each query once as it is and once with its answers removed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as PILImage
from runs.fusion.printed import labels, receipts

from vretrver import fusion
from vretrver.images import open_image
from vretrver.indexes import load_index
from vretrver.indexes.lance import LanceIndex
from vretrver.ingest import build_index
from vretrver.ocr import Line, Reader, printed_text
from vretrver.retriever import Retriever
from vretrver.types import ImageRef, Query

OUTPUT = Path(__file__).parents[2] / "src" / "vretrver" / "fusion.json"
PRIOR = 0.02  # a tenth of it gains nothing on the photos and makes chance matches heavier
# Which signals a modality may use. Left out after a look at the fitted half of the validation queries: what lite's
# vector holds already. A weight for `colour` raised the likelihood of "the same in gray", yet cost ten points
# of hit@1 there; `palette` brought nothing.
USED = {
    "text": ("vector", "words", "colour"),
    "image": ("vector", "printed"),
    "image,text": ("vector", "words", "printed"),
}
Asked = list[tuple[Query, set[str]]]


@dataclass
class Task:
    """Queries of one modality against one pool: `held_out` tasks are reported, never fitted."""

    name: str
    modality: str
    source: Path
    asked: Asked
    held_out: bool = False


class KeptReader:
    """An OCR reader that remembers what it read between runs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._reader: Reader | None = None
        self.kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def read(self, picture: PILImage) -> list[Line]:
        key = blake2b(picture.tobytes(), digest_size=16).hexdigest()
        if key not in self.kept:
            self._reader = self._reader or Reader()
            self.kept[key] = printed_text(self._reader.read(picture))
            if len(self.kept) % 50 == 0:
                self.save()
        return [Line(text, (0, 0, 1, 1), 1.0) for text in self.kept[key].splitlines()]

    def save(self) -> None:
        self.file.write_text(json.dumps(self.kept))


# -- tasks ------------------------------------------------------------------------------------------------------


def tasks(data: Path, work: Path) -> Iterator[Task]:
    yield from grocery(data, work)
    for fold in (0, 1):
        yield from garments(data, work, fold)
    (work / "receipts").mkdir(exist_ok=True)
    yield Task("receipts", "text", work / "receipts", receipts(work / "receipts")[1])
    (work / "labels").mkdir(exist_ok=True)
    for modality, asked in labels(work / "labels")[1].items():
        # The pictures that ask are in a folder of their own, and no part of the pool.
        pool = lines(
            work / "labels.jsonl",
            ({"image": f"labels/{p.name}", "id": p.name} for p in (work / "labels").glob("*.png")),
        )
        yield Task(f"labels, {modality}", modality, pool, asked)


def grocery(data: Path, work: Path) -> Iterator[Task]:
    names: dict[str, set[str]] = {}
    titles = {
        r["did"]: r["txt"].split(".")[0] for r in read(data, "cand_pool/local/mbeir_grocery_task6_cand_pool.jsonl")
    }
    for number, modality in ((4, "image"), (6, "image,text")):
        records = read(data, f"query/val/mbeir_grocery_task{number}_val.jsonl")
        pool = data / f"cand_pool/local/mbeir_grocery_task{number}_cand_pool.jsonl"
        yield Task(f"grocery val {number}", modality, pool, asked(data, records))
        if number == 6:
            for record in records:
                names.setdefault(titles[record["pos_cand_list"][0]], set()).add(record["query_img_path"])
    photos = sorted({photo for group in names.values() for photo in group})
    pool = lines(work / "grocery_val_photos.jsonl", ({"id": photo, "image": str(data / photo)} for photo in photos))
    yield Task("grocery val names to photos", "text", pool, [(Query(name), photos) for name, photos in names.items()])


def garments(data: Path, work: Path, fold: int) -> Iterator[Task]:
    """Half of the garments. The set has test queries only; halves by garment keep fitting and reporting apart."""
    for number, modality in ((0, "text"), (3, "image"), (7, "image,text")):
        pool = read(data, f"cand_pool/local/mbeir_garments_task{number}_cand_pool.jsonl")
        records = read(data, f"query/test/mbeir_garments_task{number}_test.jsonl")
        half = halves(data)
        kept = [r for r in pool if half(r["did"]) == fold]
        ids = {r["did"] for r in kept}
        rows = ({"id": r["did"], "text": r["txt"], "image": located(data, r["img_path"])} for r in kept)
        path = lines(work / f"garments_{number}_{fold}.jsonl", rows)
        found = [(q, p & ids) for q, p in asked(data, [r for r in records if set(r["pos_cand_list"]) & ids])]
        yield Task(f"garments {number}, half {fold}", modality, path, found, held_out=fold == 1)


def halves(data: Path) -> Callable[[str], int]:
    """Which half a candidate is in: that of its garment, the part of the picture's name before the colour."""
    garment: dict[str, str] = {}
    for number in (0, 7):
        for record in read(data, f"cand_pool/local/mbeir_garments_task{number}_cand_pool.jsonl"):
            garment[record["did"]] = Path(record["img_path"]).name.split("-")[0]
    for record in read(data, "query/test/mbeir_garments_task3_test.jsonl"):
        for did in record["pos_cand_list"]:
            garment[did] = Path(record["query_img_path"]).name.split("-")[0]
    return lambda did: blake2b(garment.get(did, did).encode()).digest()[0] % 2


def asked(data: Path, records: Iterable[dict[str, Any]]) -> Asked:
    return [
        (Query(r["query_txt"], (ImageRef(path=str(data / r["query_img_path"])),) if r["query_img_path"] else ()),
         set(r["pos_cand_list"]))
        for r in records
    ]  # fmt: skip


def located(data: Path, path: str | None) -> str | None:
    return str(data / path) if path else None


def read(data: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / name).read_text(encoding="utf-8").splitlines()]


def lines(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


# -- signals ----------------------------------------------------------------------------------------------------


def indexed(task: Task, work: Path, reader: KeptReader) -> LanceIndex:
    place = work / "indexes" / f"{task.source.stem}-{_lite().fingerprint[:8]}.vr"
    place.parent.mkdir(exist_ok=True)
    build_index(task.source, place, ocr=False, outside=True, progress=False)
    index = load_index(place)
    waiting = index.unread()
    with index.writing():
        index.set_printed({name: text(reader, path) for name, path in waiting})
    return load_index(place)


def text(reader: KeptReader, path: str) -> str:
    return printed_text(reader.read(open_image(ImageRef(path=path))))


@dataclass
class Sample:
    """One query: its signals as they enter the sum, shape (M, S), and which rows answer, shape (M,)."""

    signals: NDArray[np.float32]
    right: NDArray[np.bool_]


def samples(task: Task, work: Path, reader: KeptReader) -> list[Sample]:
    every = {task.modality: fusion.Weights(dict.fromkeys(fusion.SIGNALS, 1.0))}  # ask for all signals, weighed or not
    retriever = Retriever(index := indexed(task, work, reader), _lite(), reader, every)
    ids = index.ids()
    queries = [query for query, _ in task.asked]
    vectors = retriever.embedder.encode(queries)
    probes = [retriever.probe(query, vector) for query, vector in zip(queries, vectors, strict=True)]
    found = []
    for (_, right), scores in zip(task.asked, index.score(probes), strict=True):
        zeros = np.zeros(len(ids), np.float32)
        columns = [
            fusion.shaped(name, scores.signals[name]) if name in scores.signals else zeros for name in fusion.SIGNALS
        ]
        found.append(Sample(np.stack(columns, 1), np.array([name in right for name in ids])))
    reader.save()
    return found


def _lite() -> Any:
    from vretrver.embedders import load_embedder

    return load_embedder("lite")


# -- fitting ----------------------------------------------------------------------------------------------------


def fitted_weights(groups: list[list[Sample]], used: tuple[str, ...], steps: int = 150) -> NDArray[np.float64]:
    """Weights of a conditional logit, shape (S,); every task counts the same however many queries it has."""
    kept = np.array([name in used for name in fusion.SIGNALS])
    theta = np.full(len(fusion.SIGNALS), -1.0)  # weight = exp(theta): never negative
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        weights = np.exp(theta) * kept
        slope = 2 * PRIOR * weights
        for group in groups:
            slope += np.mean([_slope(sample, weights) for sample in group], axis=0) / len(groups)
        slope = slope * weights  # chain rule through exp
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        theta -= 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        theta = np.maximum(theta, -7)
    return np.asarray(np.exp(theta) * kept)


def _slope(sample: Sample, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    scores = sample.signals @ weights
    chance = np.exp(scores - scores.max())
    inside = chance * sample.right
    return np.asarray(sample.signals.T @ (chance / chance.sum() - inside / max(inside.sum(), 1e-12)))


def fitted_confidence(groups: list[list[Sample]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `fusion.standing` counts for confidence, shape (4,): a logistic regression over each query's first ten."""
    rows: list[NDArray[np.float64]] = []
    truth: list[NDArray[np.bool_]] = []
    counts: list[NDArray[np.float64]] = []
    for group in groups:
        for sample in group:
            for removed in (False, True):
                top, right = first_ten(sample, weights, removed)
                rows.append(fusion.standing(top))
                truth.append(right)
                counts.append(np.full(len(top), 1 / (len(group) * len(top))))
    X, y, w = np.concatenate(rows), np.concatenate(truth).astype(float), np.concatenate(counts)
    w /= w.sum()
    beta = np.zeros(4)
    for _ in range(50):  # Newton's method with a little ridge
        p = 1 / (1 + np.exp(-X @ beta))
        gradient = X.T @ (w * (p - y)) + 1e-4 * beta
        hessian = (X * (w * p * (1 - p))[:, None]).T @ X + 1e-4 * np.eye(4)
        beta -= np.linalg.solve(hessian, gradient)
    return beta


def first_ten(
    sample: Sample, weights: NDArray[np.float64], removed: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores of the ten best rows and which of them answer; with `removed`, of the pool without the answers."""
    pool = np.flatnonzero(~sample.right) if removed else np.arange(len(sample.right))
    scores = (sample.signals @ weights).astype(np.float32)
    order = pool[np.argsort(-scores[pool], kind="stable")][:10]
    return scores[order], sample.right[order]


def trust(group: list[Sample], weights: NDArray[np.float64], beta: NDArray[np.float64]) -> list[float]:
    """Mean confidence of the first result: of the queries as they are, and with their answers removed."""
    tops = [[first_ten(sample, weights, removed)[0] for sample in group] for removed in (False, True)]
    return [float(np.mean([1 / (1 + np.exp(-fusion.standing(t)[0] @ beta)) for t in some])) for some in tops]


def hits(group: list[Sample], weights: NDArray[np.float64], k: int) -> float:
    """hit@k: how often one of the first k rows answers; ties in row order."""
    best = [np.argsort(-(s.signals @ weights), kind="stable")[:k] for s in group]
    return float(np.mean([s.right[rows].any() for s, rows in zip(group, best, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="indexes and words read are kept here between runs")
    parser.add_argument("--dry-run", action="store_true", help="report, but leave fusion.json as it is")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    reader = KeptReader(options.work / "words.json")
    found: list[tuple[Task, list[Sample]]] = []
    for task in tasks(options.data, options.work):
        found.append((task, samples(task, options.work, reader)))
        print(f"{task.name}: {len(task.asked)} queries", flush=True)
    record: dict[str, Any] = {}
    heads = "task | queries | hit@1 vector | hit@1 fused | hit@5 vector | hit@5 fused | confidence | answers removed"
    print(f"\n| {heads} |\n{'|---' * 8}|")
    for modality in ("text", "image", "image,text"):
        ours = [(task, group) for task, group in found if task.modality == modality]
        fit = [group for task, group in ours if not task.held_out]
        weights = fitted_weights(fit, USED[modality])
        beta = fitted_confidence(fit, weights)
        slope, lead, fade, offset = (round(float(b), 4) for b in (beta[0], beta[1], -beta[2], beta[3]))
        signals = {name: round(float(w), 4) for name, w in zip(fusion.SIGNALS, weights, strict=True) if w > 0.002}
        record[modality] = {"signals": signals, "slope": slope, "lead": lead, "fade": fade, "offset": offset}
        alone = np.eye(len(fusion.SIGNALS))[0]
        for task, group in ours:
            numbers = [hits(group, w, k) for k in (1, 5) for w in (alone, weights)] + trust(group, weights, beta)
            name = task.name + (" (held out)" if task.held_out else "")
            print(f"| {name} | {len(group)} | " + " | ".join(f"{n:.3f}" for n in numbers) + " |")
    print(json.dumps(record, indent=1))
    if not options.dry_run:
        made = {
            "command": "python -m runs.fusion.fit DATA --work FOLDER",
            "embedder": f"lite {_lite().fingerprint[:12]}",
        }
        OUTPUT.write_text(json.dumps({"fitted": made, "modalities": record}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

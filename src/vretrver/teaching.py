"""Lessons: a few labels or captions of the user's own make an index's embedder know their things. Undoable.

Labels accumulate: a second file adds to the first, and a picture labelled again takes its new label. Each lesson is a
state under `taught/` (`0002.npz` with its `0002.jsonl` of labels). Rows are projected anew from their stored features,
so no picture is opened; new vectors and the new state count from one manifest write on, so a cut leaves the old index.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vretrver.embedders import Teachable, checked, load_embedder
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.indexes import embedder_of
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import storage_errors, sync, write_atomically
from vretrver.listing import LISTINGS, Listing, read_records, split
from vretrver.types import Document, ImageRef

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_LABEL = 1000  # characters
_ITEM = ("id", "path", "image", "img_path", "file_name")
_LABEL = ("label", "caption", "text", "description")
Labels: TypeAlias = str | os.PathLike[str] | Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class TeachReport:
    """What a lesson, or undoing one, did.

    Args:
        lesson: the state that now counts, 0 for the embedder as it comes.
        labels: examples that state knows, earlier lessons included; `classes`: different labels among them.
        updated: documents with new vectors.
        skipped: (where, reason) of labels that could not be used.
        seconds: the whole run.
    """

    lesson: int
    labels: int = 0
    classes: int = 0
    updated: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> str:
        """The report for people."""
        head = (
            f"lesson {self.lesson}: {self.labels} labels of {self.classes} kinds" if self.lesson else "nothing taught"
        )
        head += f"; {self.updated} documents have new vectors ({self.seconds:.1f} s)"
        return "\n".join([head, *(f"skipped {where}: {reason}" for where, reason in self.skipped)])

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self) | {"skipped": [list(item) for item in self.skipped]}


def teach(index_path: str | os.PathLike[str], labels: Labels) -> TeachReport:
    """Teach an index labels or captions.

    Args:
        labels: a .csv, .jsonl or .parquet file, or its rows as mappings. Columns: `id`, `path` or `image` (an indexed
            id, an indexed file, or a picture outside the index, relative to the file) and `label`, `caption` or `text`.

    Raises:
        MissingPath: no index, or no label file. RecordError: the label file does not parse.
        InvalidInput: the embedder cannot be taught, or no label can be used.
        IndexMismatch: the index was built by another version or embedder.
        StorageError: the disk is full or read-only, or another process is writing.
    """
    started = time.monotonic()
    index = LanceIndex.open(index_path)
    model = _teachable(index)
    said, skipped = _read(labels)
    with index.writing():
        lesson = index.manifest.taught + 1
        examples = _Examples.of(index, said, skipped)
        features, texts = examples.features(index, model, skipped)
        if not texts:
            why = f"; the first one: {': '.join(skipped[0])}" if skipped else ""
            raise InvalidInput(f"none of the {len(said)} labels can be used{why}")
        taught = model.taught(features, texts)
        _save(index, lesson, taught, examples)
        updated = _project(index, taught, lesson)
    _ = index.snapshot
    return TeachReport(lesson, len(texts), len(set(texts)), updated, skipped, time.monotonic() - started)


def undo(index_path: str | os.PathLike[str]) -> TeachReport:
    """Go back to the state before the last lesson.

    Raises:
        InvalidInput: nothing was taught.
        MissingPath, IndexMismatch, StorageError: as `teach`.
    """
    started = time.monotonic()
    index = LanceIndex.open(index_path)
    with index.writing():
        lesson = index.manifest.taught - 1
        if lesson < 0:
            raise InvalidInput(f"{index.folder} was taught nothing, so there is nothing to undo")
        model = load_embedder(index.embedder, taught=index.taught_file(lesson))
        assert isinstance(model, Teachable)
        updated = _project(index, model, lesson)
        labels = list(_Examples.read(index, lesson).labels.values())
    _ = index.snapshot
    return TeachReport(lesson, len(labels), len(set(labels)), updated, seconds=time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Examples:
    """What was taught: a label per indexed id, or per path of a picture outside the index."""

    labels: dict[tuple[str, str], str]  # ("id" or "path", its value) -> label

    @classmethod
    def read(cls, index: LanceIndex, lesson: int) -> _Examples:
        """The labels of an earlier lesson."""
        if not lesson:
            return cls({})
        lines = _labels_file(index, lesson).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return cls({(record["kind"], record["item"]): record["label"] for record in records})

    @classmethod
    def of(cls, index: LanceIndex, said: Sequence[_Said], skipped: list[tuple[str, str]]) -> _Examples:
        """The labels of the last lesson and new ones; what cannot be found is told to `skipped`."""
        ids = set(index.ids())
        places = {} if all(label.item in ids for label in said) else _places(index)
        labels = cls.read(index, index.manifest.taught).labels
        for label in said:
            file = (label.root / label.item).resolve()
            if label.item in ids:
                labels[("id", label.item)] = label.label
            elif str(file) in places:
                labels[("id", places[str(file)])] = label.label
            elif file.is_file():
                labels[("path", str(file))] = label.label
            else:
                skipped.append((label.where, f"{label.item} is neither in the index nor a file"))
        return cls(labels)

    def features(
        self, index: LanceIndex, model: Teachable, skipped: list[tuple[str, str]]
    ) -> tuple[NDArray[np.float16], list[str]]:
        """Features, shape (N, F), and labels of all examples that can still be found."""
        import numpy as np
        from tqdm import tqdm

        rows: list[NDArray[np.float16]] = []
        texts: list[str] = []
        for ids, features_B_F in index.features():
            for name, features_F in zip(ids, features_B_F, strict=True):
                if ("id", name) in self.labels:
                    rows.append(features_F)
                    texts.append(self.labels[("id", name)])
        outside = [(item, label) for (kind, item), label in self.labels.items() if kind == "path"]
        for item, label in tqdm(outside, unit="image", desc="opening", disable=None if outside else True):
            try:
                rows.append(model.features([Document(item, image=ImageRef(path=item))])[0])
                texts.append(label)
            except (ImageError, MissingPath) as fault:
                skipped.append((item, str(fault)))
        width = index.manifest.features
        return (np.stack(rows) if rows else np.zeros((0, width), np.float16)), texts


@dataclass(frozen=True, slots=True)
class _Said:
    """One label as it was given: of what, and where a relative path starts."""

    where: str
    item: str
    label: str
    root: Path


def _read(labels: Labels) -> tuple[list[_Said], list[tuple[str, str]]]:
    if isinstance(labels, str | os.PathLike):
        file = Path(labels).absolute()
        if not file.is_file():
            raise MissingPath(f"no such label file: {labels}")
        if file.suffix.lower() not in LISTINGS:
            raise InvalidInput(f"{labels} is no label file; one is a {', '.join(sorted(LISTINGS))}")
        told = Listing(file, file.parent)
        records, root = list(read_records(file, told)), file.parent
        skipped = told.skipped
    else:
        records, root, skipped = [(f"row {n}", dict(row)) for n, row in enumerate(labels, 1)], Path.cwd(), []
    said = []
    for where, record in records:
        item, rest = split(record, _ITEM)
        label, _ = split(rest, _LABEL)
        text = " ".join(str(label or "").split())[:MAX_LABEL]
        if not item or not text or "\x00" in str(item):
            skipped.append((where, f"needs one of {', '.join(_ITEM)} and one of {', '.join(_LABEL)}"))
        else:
            said.append(_Said(where, str(item), text, root))
    return said, skipped


def _teachable(index: LanceIndex) -> Teachable:
    """The index's embedder as it comes: every lesson starts there with all labels, so their order does not matter."""
    embedder_of(index)  # refuses an index whose vectors another embedder made
    model = load_embedder(index.embedder)
    if not isinstance(model, Teachable) or not index.manifest.features:
        raise InvalidInput(f"embedder {index.embedder!r} cannot be taught; build an index with lite to teach it")
    return model


def _places(index: LanceIndex) -> dict[str, str]:
    """Indexed ids by the absolute path of their pictures."""
    rows = index.snapshot.rows.select(["id", "path", "source"]).to_pylist()
    return {str(Path(index.located(r["path"], r["source"])).resolve()): r["id"] for r in rows if r["path"] is not None}


def _labels_file(index: LanceIndex, lesson: int) -> Path:
    return index.folder / "taught" / f"{lesson:04}.jsonl"


def _save(index: LanceIndex, lesson: int, taught: Teachable, examples: _Examples) -> None:
    state, labels = index.taught_file(lesson), _labels_file(index, lesson)
    assert state is not None
    lines = [{"kind": kind, "item": item, "label": label} for (kind, item), label in examples.labels.items()]
    with storage_errors(index.folder):
        labels.parent.mkdir(exist_ok=True)
        taught.save_taught(state)
        sync(Path(state))
        write_atomically(labels, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _project(index: LanceIndex, model: Teachable, lesson: int) -> int:
    """New vectors for every row, from stored features; they count together with the lesson or not at all."""
    updated = 0

    def batches() -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        nonlocal updated
        for ids, features in index.features():
            updated += len(ids)
            yield ids, checked(model.project(features, queries=False), len(ids), model.dim, model.name)

    index.revector(batches(), replace(index.manifest, fingerprint=model.fingerprint, dim=model.dim, taught=lesson))
    return updated

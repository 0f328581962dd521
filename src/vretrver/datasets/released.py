"""The data that V-Retrver's authors released: eval parquet with each query's first 50 hits, RL parquet with a window.

A row holds `extra_info` {qid, ground_truth_position (1 for the first), query_image, query_text, candidate_images,
candidate_texts}; a row of the eval files adds `hit`, a list of {candidate_images, candidate_texts} in the coarse
stage's order. Candidates have no ids there: a document's id here is a hash of its picture's path and its text.

Topics keep the order that was released, so the coarse stage is `given`. What could not be confirmed against the files
themselves (they are not redistributed with their code): whether ground_truth_position of an eval row counts in `hit` or
in extra_info's lists. Where both are there and disagree, the candidate of extra_info's position is looked for in `hit`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.mbeir import CELLS
from vretrver.datasets.records import id_of, list_of, object_of, picture, text_of
from vretrver.errors import MissingPath, RecordError
from vretrver.types import Document, Query

MEASURES = ("hit@5", "hit@1", "hit@10", "mrr@10", "ndcg@10")
_TENS = tuple(name for name, cut in CELLS.items() if cut == 10)
UNFOUND = "(the released list does not hold the answer)"
CARD = Card(
    title="V-Retrver's released lists",
    source="https://huggingface.co/datasets/V-Retrver/V-Retrver-eval-data, .../V-Retrver-train-data",
    licence="not stated where it could be read; the contents are M-BEIR's, whose sources keep their licences",
    metric="hit@5 over the released 50 candidates (hit@10 on Fashion200K and FashionIQ)",
    notes="One answer is known per query, even where M-BEIR's qrels list several, so hit rates are at most M-BEIR's. A "
    "row whose position lies outside its list counts as never found. Whether the position counts in `hit` is not "
    "confirmed; `positions found by content` counts the rows where it mattered. Picture paths are cut to start at "
    "mbeir_images/.",
)

Item: TypeAlias = tuple[str | None, str | None]
"""A candidate's picture path and text."""


def load(root: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> Task:
    """The rows of a parquet file, or of all parquet files of a folder.

    Args:
        root: a .parquet file, or a folder searched for them; each file is a group of the result.
        images: the folder that picture paths start from; the file's own folder, or `root`, when None.

    Raises:
        MissingPath: there is no such file or folder, or no parquet file in it.
        RecordError: a file or row does not parse; names file and row.
    """
    files, base = _files(Path(root))
    place = base if images is None else Path(images)
    reading = _Reading(place)
    found = [
        reading.topic(row, where, file.stem if len(files) > 1 else "") for file in files for where, row in _rows(file)
    ]
    topics = tuple(topic for topic in found if topic is not None)
    _unique(topics)
    pool = tuple(reading.pool.values())
    facts = {what: count for what, count in reading.facts.items() if count}
    stem = Path(root).stem
    measures = tuple(dict.fromkeys(("hit@10" if any(name in stem for name in _TENS) else "hit@5", *MEASURES)))
    return Task(f"released/{stem}", "test", topics, pool, measures, CARD, place, given_order=True, facts=facts)


def _files(root: Path) -> tuple[list[Path], Path]:
    if root.is_file():
        return [root], root.parent
    if not root.is_dir():
        raise MissingPath(f"no such file or folder: {root}")
    files = sorted(root.rglob("*.parquet"))
    if not files:
        raise MissingPath(f"{root} holds no .parquet file")
    return files, root


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, row) a batch at a time, without the prompts; pyarrow is imported here for start-up's sake."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            columns = [name for name in ("extra_info", "hit") if name in table.schema_arrow.names]
            if "extra_info" not in columns:
                raise RecordError(
                    f"{file} has no column extra_info; it has {', '.join(table.schema_arrow.names)[:200]}"
                )
            number = 0
            for batch in table.iter_batches(batch_size=256, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file}: row {number}", row
    except (pa.ArrowException, OSError) as fault:
        raise RecordError(f"{file} is not a readable parquet file: {str(fault).splitlines()[0][:200]}") from fault


class _Reading:
    """What gathers while rows are read: the documents of all lists, and counts of what was odd."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.pool: dict[str, Document] = {}
        self.facts: Counter[str] = Counter()

    def topic(self, row: Mapping[str, Any], where: str, group: str) -> Topic | None:
        """A row's topic; None where its candidates cannot be told apart."""
        info = object_of(row.get("extra_info"), where, "extra_info")
        qid = id_of(info.get("qid"), where, "qid")
        window = _aligned(info, where)
        hits = [_item(hit, where) for hit in list_of(row.get("hit"), where, "hit")]
        items = hits or window
        if not items:
            self.facts["rows left out: candidates cannot be told apart"] += 1
            return None
        documents = [_document(item, where, self._root) for item in items]
        self.pool.update((document.id, document) for document in documents)
        gold = self._gold(_position(info, where), items, window if hits else [])
        relevant = {documents[gold].id if gold is not None else UNFOUND: 1}
        candidates = tuple(dict.fromkeys(document.id for document in documents))
        self.facts["candidates that come twice in their list"] += len(documents) - len(candidates)
        self.facts["queries whose answer is not in their list"] += gold is None
        query = _query(info, where, self._root)
        return Topic(f"{group}/{qid}" if group else qid, query, relevant, candidates, group)

    def _gold(self, at: int, items: Sequence[Item], window: Sequence[Item]) -> int | None:
        """The answer's place in `items`, 0 for the first; None when it is not among them."""
        if 0 <= at < len(window) and (at >= len(items) or items[at] != window[at]):
            self.facts["positions found by content"] += 1
            return items.index(window[at]) if window[at] in items else None
        return at if 0 <= at < len(items) else None


def _position(info: Mapping[str, Any], where: str) -> int:
    """The answer's place as released, 0 for the first; -1 where none is given."""
    position = info.get("ground_truth_position")
    if position is None:
        return -1
    if isinstance(position, bool) or not isinstance(position, int | float) or position % 1:
        raise RecordError(f"{where}: ground_truth_position is {position!r}; it must be an integer, 1 for the first")
    return int(position) - 1


def _query(info: Mapping[str, Any], where: str, root: Path) -> Query:
    shown, text = _path(info.get("query_image")), text_of(info.get("query_text"), where, "query_text")
    if shown is None and text is None:
        raise RecordError(f"{where}: the query has neither a picture nor a text")
    return Query(text, () if shown is None else (picture(root, shown, where),))


def _aligned(info: Mapping[str, Any], where: str) -> list[Item]:
    """extra_info's candidates; empty where its two lists are of different lengths, which says not who has which."""
    images = [_path(one) for one in list_of(info.get("candidate_images"), where, "candidate_images")]
    texts = [text_of(one, where, "a candidate text") for one in list_of(info.get("candidate_texts"), where, "texts")]
    if images and texts and len(images) != len(texts):
        return []
    count = max(len(images), len(texts))
    return list(zip(images or [None] * count, texts or [None] * count, strict=True))


def _item(hit: Any, where: str) -> Item:
    record = object_of(hit, where, "a hit")
    return _path(record.get("candidate_images")), text_of(record.get("candidate_texts"), where, "candidate_texts")


def _path(value: Any) -> str | None:
    """A path as it starts under the images' folder: its makers' own folder is cut away."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    return text[text.index("mbeir_images/") :] if "mbeir_images/" in text else text or None


def _document(item: Item, where: str, root: Path) -> Document:
    path, text = item
    if path is None and text is None:
        raise RecordError(f"{where}: a candidate has neither a picture nor a text")
    name = hashlib.sha256(f"{path or ''}\n{text or ''}".encode()).hexdigest()[:16]
    return Document(name, text, None if path is None else picture(root, path, where))


def _unique(topics: Sequence[Topic]) -> None:
    counts = Counter(topic.id for topic in topics)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise RecordError(f"the query {twice} comes more than once; qids must be unique in a file")
    if not topics:
        raise RecordError("there is no usable row")

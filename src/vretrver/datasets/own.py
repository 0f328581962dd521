"""A user's own benchmark in plain files: the form to write when there is no other.

    queries.jsonl       {"id": "q1", "text": "...", "image": "photos/a.jpg", "relevant": ["d7"]}     one query a line
    documents.jsonl     {"id": "d7", "text": "...", "image": "photos/b.jpg"}                         one document a line
    qrels.txt           q1 0 d7 1                     instead of "relevant", if you have TREC's four columns already

A query has text, a picture or several ("images"), or both; "relevant" is a list of document ids or {id: grade}; without
it, nothing is judged and only the ranking is kept. Further fields of a query: "candidates" (a gallery of its own),
"excluded", "instruction", "group", and "answers": texts that answer it as a question, one as good as another. Documents
may also be documents.csv or documents.parquet with the same columns, or a folder documents/ of pictures, where a.txt
beside a.jpg is its text. Picture paths start at the folder.

Everything is checked when it is loaded, since a typing error in an id would otherwise be a wrong number in a table.
"""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.datasets import Card, Expected, Pool, Task, Topic
from vretrver.datasets.records import (
    MAX_LINE,
    MAX_TEXT,
    RecordPool,
    folder,
    id_of,
    kind,
    list_of,
    picture,
    read_jsonl,
    read_lines,
    text_of,
)
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.images import EXTENSIONS
from vretrver.types import Document, ImageRef, Query

MEASURES = ("hit@1", "hit@5", "hit@10", "recall@5", "recall@10", "map@10", "ndcg@10", "mrr@10")
QUERY_FIELDS = ("id", "text", "image", "images", "relevant", "candidates", "excluded", "instruction", "group",
                "answers")  # fmt: skip
IDS = ("id", "did")
PATHS = ("image", "path", "img_path", "image_path", "file_name", "filename")
TEXTS = ("text", "caption", "txt", "description")
"""A document's fields, by the names that `vretrver index` takes in a listing; the first that holds something counts."""

Rows: TypeAlias = Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]
Grades: TypeAlias = dict[str, dict[str, int]]


def load(root: str | os.PathLike[str], split: str | None = None) -> Task:
    """The benchmark in a folder.

    Args:
        root: the folder.
        split: reads `queries.SPLIT.jsonl` and `qrels.SPLIT.txt` instead of `queries.jsonl` and `qrels.txt`.

    Raises:
        MissingPath: there are no queries or no documents; says what to write.
        RecordError: something does not parse, an id comes twice, or an id is named that no document has.
    """
    place = folder(root)
    ending = f".{split}" if split else ""
    path = place / f"queries{ending}.jsonl"
    if not path.is_file():
        example = '{"id": "q1", "text": "a red kite", "relevant": ["d7"]}'
        raise MissingPath(f"no file {path}; write one query a line, such as {example}")
    pool = _pool(place)
    ids = _ids(pool)
    qrels = _qrels(place / f"qrels{ending}.txt")
    topics = tuple(_topic(place, record, where, ids, qrels) for where, record in read_jsonl(path))
    _check(topics, qrels, path)
    card = Card(
        title=place.resolve().name,
        source="the user's own files",
        licence="its owner's",
        metric="hit rate@1; recall, AP and nDCG count every relevant document",
    )
    facts = {"judged": any(topic.relevant for topic in topics)}
    return Task(f"jsonl/{place.resolve().name}", split or "all", topics, pool, MEASURES, card, place, facts=facts)


# -- queries ----------------------------------------------------------------------------------------------------


def _topic(root: Path, record: Mapping[str, Any], where: str, ids: Mapping[str, None], qrels: Grades | None) -> Topic:
    _spelled(record, where)
    name = id_of(record.get("id"), where, "id")
    text = text_of(record.get("text"), where, "text")
    images = _images(root, record, where)
    if text is None and not images:
        raise RecordError(f'{where}: query {name} has neither "text" nor "image"; give one of them')
    instruction = text_of(record.get("instruction"), where, "instruction")
    candidates = _named(record.get("candidates"), where, "candidates", ids)
    relevant = _relevant(record, where, ids) if qrels is None else _from_qrels(record, name, where, ids, qrels)
    if candidates and (outside := relevant.keys() - set(candidates)):
        raise RecordError(f"{where}: {sorted(outside)[0]!r} is relevant but not among the query's candidates")
    return Topic(
        id=name,
        query=Query(text, images, instruction),
        relevant=relevant,
        candidates=candidates or None,
        group=text_of(record.get("group"), where, "group") or "",
        excluded=_named(record.get("excluded"), where, "excluded", ids),
        expected=_expected(record, where),
    )


def _expected(record: Mapping[str, Any], where: str) -> Expected | None:
    """What answers a query that is a question."""
    given = record.get("answers")
    if given is None:
        return None
    if isinstance(given, str):
        raise RecordError(f'{where}: "answers" is a text; write a list, even of one: ["{given[:60]}"]')
    answers = [text_of(one, where, "an answer") for one in list_of(given, where, "answers")]
    said = tuple(one for one in answers if one)
    if not said:
        raise RecordError(f'{where}: "answers" holds no text; leave it out where nobody knows the answer')
    return Expected("exact", said, tuple(dict.fromkeys(one.lower() for one in said)))


def _spelled(record: Mapping[str, Any], where: str) -> None:
    """A field that is nearly one of ours is a typing error; others are the user's own and are left alone."""
    for name in record:
        near = difflib.get_close_matches(name.lower(), QUERY_FIELDS, 1, cutoff=0.8)
        if near and name not in QUERY_FIELDS:
            raise RecordError(f"{where}: unknown field {name!r}; did you mean {near[0]!r}?")


def _images(root: Path, record: Mapping[str, Any], where: str) -> tuple[ImageRef, ...]:
    one, several = record.get("image") or None, record.get("images")
    if one is not None and several:
        raise RecordError(f'{where}: both "image" and "images" are given; keep one')
    if isinstance(one, list):
        raise RecordError(f'{where}: "image" is a list; several pictures go into "images"')
    paths = [one] if one is not None else list_of(several, where, "images")
    return tuple(picture(root, path, where) for path in paths)


def _relevant(record: Mapping[str, Any], where: str, ids: Mapping[str, None]) -> dict[str, int]:
    given = record.get("relevant")
    if isinstance(given, str):
        raise RecordError(f'{where}: "relevant" is a text; write a list, even of one id: ["{given[:60]}"]')
    if given is not None and not isinstance(given, list | Mapping):
        raise RecordError(f'{where}: "relevant" is {kind(given)}; write a list of ids, or {{id: grade}}')
    if not isinstance(given, Mapping):
        return dict.fromkeys(_named(given, where, "relevant", ids), 1)
    for name, grade in given.items():
        if isinstance(grade, bool) or not isinstance(grade, int) or grade < 0:
            raise RecordError(f"{where}: the grade of {name!r} is {grade!r}; it must be 0 (not relevant), 1, 2, ...")
    _named(list(given), where, "relevant", ids)
    return {str(name): grade for name, grade in given.items() if grade > 0}


def _from_qrels(
    record: Mapping[str, Any], name: str, where: str, ids: Mapping[str, None], qrels: Grades
) -> dict[str, int]:
    if record.get("relevant"):
        raise RecordError(f'{where}: "relevant" is given and there is a qrels file as well; keep one of the two')
    return {_known(did, "qrels", ids): grade for did, grade in qrels.get(name, {}).items()}


def _named(value: Any, where: str, field: str, ids: Mapping[str, None]) -> tuple[str, ...]:
    """Ids of documents that exist, each once."""
    names = [_known(id_of(one, where, f"an id of {field}"), f"{where}: {field}", ids)
             for one in list_of(value, where, field)]  # fmt: skip
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RecordError(f"{where}: {field} names {twice!r} twice")
    return tuple(names)


def _known(name: str, where: str, ids: Mapping[str, None]) -> str:
    if name not in ids:
        near = difflib.get_close_matches(name, list(ids)[:20_000], 1, cutoff=0.6)
        raise RecordError(
            f"{where}: no document has the id {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    return name


def _qrels(path: Path) -> Grades | None:
    """TREC's qrels; a fifth column, as M-BEIR writes it, is read over. None where there is no file."""
    if not path.is_file():
        return None
    found: Grades = {}
    for where, line in read_lines(path):
        parts = line.split()
        try:
            name, _iteration, did, grade, *_more = parts
            if int(grade) > 0:
                found.setdefault(name, {})[did] = int(grade)
        except ValueError as fault:
            raise RecordError(f"{where}: {line[:80]!r}; four columns are due: query 0 document grade") from fault
    return found


def _check(topics: Sequence[Topic], qrels: Grades | None, path: Path) -> None:
    seen: set[str] = set()
    for topic in topics:
        if topic.id in seen:
            raise RecordError(f"{path}: the query id {topic.id!r} comes twice; ids must be unique")
        seen.add(topic.id)
    if not topics:
        raise RecordError(f"{path} holds no query")
    if qrels is not None and (strangers := qrels.keys() - seen):
        raise RecordError(
            f"the qrels judge {len(strangers)} queries that are not asked, such as {sorted(strangers)[0]!r}"
        )
    bare = [topic.id for topic in topics if not topic.relevant]
    if bare and len(bare) < len(topics):
        raise RecordError(
            f"{path}: {len(bare)} of {len(topics)} queries have nothing relevant, such as {bare[0]!r}; judge them, "
            "take them out, or judge none"
        )


# -- documents --------------------------------------------------------------------------------------------------


def _pool(root: Path) -> Pool:
    """The documents, read again at each pass; a folder's are listed once."""
    sources: dict[str, Callable[[Path], Rows]] = {
        "documents.jsonl": lambda path: partial(read_jsonl, path),
        "documents.csv": lambda path: partial(_csv, path),
        "documents.parquet": lambda path: partial(_parquet, path),
    }
    there = [name for name in sources if (root / name).is_file()]
    there += ["documents/"] if (root / "documents").is_dir() else []
    if len(there) > 1:
        raise InvalidInput(f"{root} has {' and '.join(there)}; keep one of them")
    if not there:
        example = '{"id": "d7", "image": "photos/b.jpg", "text": "a kite"}'
        raise MissingPath(f"{root} has no documents; write documents.jsonl, one a line, such as {example}")
    if there == ["documents/"]:
        return tuple(_folder(root))
    rows = sources[there[0]](root / there[0])
    return RecordPool(rows, partial(_document, root), lambda: sum(1 for _ in rows()))


def _ids(pool: Pool) -> dict[str, None]:
    """Every id in order; reading them all checks every document."""
    ids: dict[str, None] = {}
    located = pool.located() if isinstance(pool, RecordPool) else (("", document) for document in pool)
    for where, document in located:
        if document.id in ids:
            raise RecordError(f"{where}: the document id {document.id!r} comes twice; ids must be unique")
        ids[document.id] = None
    if not ids:
        raise RecordError("there is no document to find")
    return ids


def _document(root: Path, record: Mapping[str, Any], where: str) -> Document:
    path, found = (next((record[name] for name in names if record.get(name)), None) for names in (PATHS, TEXTS))
    name = next((record[one] for one in IDS if record.get(one) not in (None, "")), path)
    identity = id_of(name, where, "id")
    text = text_of(found, where, "text")
    if text is None and not path:
        raise RecordError(f'{where}: document {identity} has neither "text" nor "image"; give one of them')
    return Document(identity, text, picture(root, path, where) if path else None)


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with open(path, encoding="utf-8-sig", newline="") as handle:
        try:
            header = handle.readline(MAX_LINE)
            handle.seek(0)
            bounded = iter(lambda: handle.readline(MAX_LINE), "")
            reader = csv.DictReader(bounded, delimiter=max(",;\t", key=header.count))
            for record in reader:
                yield f"{path}:{reader.line_num}", {name: value for name, value in record.items() if name and value}
        except (csv.Error, UnicodeDecodeError) as fault:
            raise RecordError(f"{path} does not parse: {fault}; save it as UTF-8 with a header line") from fault


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            wanted = [name for name in table.schema_arrow.names if name in (*IDS, *PATHS, *TEXTS)]
            number = 0
            for batch in table.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (pa.ArrowException, OSError) as fault:
        raise RecordError(f"{path} is not a readable parquet file: {str(fault).splitlines()[0][:200]}") from fault


def _folder(root: Path) -> Iterator[Document]:
    """Pictures below documents/, by their path from there; hidden ones are left out."""
    place = root / "documents"
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.suffix.lower() not in EXTENSIONS or any(part.startswith(".") for part in name.split("/")):
            continue
        sides = (path.with_suffix(".txt"), path.with_name(path.name + ".txt"))
        side = next((one for one in sides if one.is_file()), None)
        text = " ".join(line for _where, line in islice(read_lines(side), MAX_TEXT)) if side else None
        yield Document(name, text_of(text, str(side), "the text"), picture(root, f"documents/{name}", str(path)))

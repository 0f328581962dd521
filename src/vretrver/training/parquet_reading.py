"""Rows of the released parquet layout, read: what each column means is `parquet`. Files are untrusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vretrver.datasets.records import id_of, kind, list_of, object_of, picture, text_of
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.images import image_size
from vretrver.training.examples import MARK
from vretrver.training.parquet import Row
from vretrver.types import Candidate, Document, ImageRef, Query, Window

_ROWS_AT_ONCE = 256
_MARKS_FOLDER = "mbeir_images/"


def read_rows(path: Path, root: Path | None = None, *, check: bool = True) -> Iterator[Row]:
    """The rows of a file of the released layout.

    Args:
        root: the folder that paths start from; the file's own when None.
        check: read every picture's header, so that what is missing is found here.

    Raises:
        MissingPath: the file does not exist.
        RecordError: it is no parquet file, holds no row, or a row does not parse, has another number of marks than of
            images, or a picture that is missing, damaged or outside the root. Names file and row.
    """
    place = path.parent if root is None else root
    number = 0
    for number, record in enumerate(_records(path), start=1):
        where = f"{path}: row {number}"
        row = row_of(record, where, place)
        if check:
            _check_pictures(row, where)
        yield row
    if not number:
        raise RecordError(f"{path} holds no row")


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise MissingPath(f"no such file: {path}")
    try:
        with pq.ParquetFile(path) as table:
            names = table.schema_arrow.names
            if "extra_info" not in names:
                raise RecordError(f"{path} has no column extra_info; it has {', '.join(names)[:200]}")
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as fault:
        raise RecordError(f"{path} is not a readable parquet file: {str(fault).splitlines()[0][:200]}") from fault


def row_of(record: Mapping[str, Any], where: str, root: Path) -> Row:
    """One row of the released layout; `prompt`, `images` and `hit` may be missing.

    Args:
        where: opens every message. root: the folder that paths start from.

    Raises:
        RecordError: it does not parse.
    """
    info = object_of(record.get("extra_info"), where, "extra_info")
    documents = _documents(info, where, root)
    prompt = {said.get("role"): said.get("content") for said in _objects(record.get("prompt"), where, "prompt")}
    system, user = (text_of(prompt.get(role), where, f"the {role} prompt") or "" for role in ("system", "user"))
    images = [one.get("image") for one in _objects(record.get("images"), where, "images")]
    if user and system.count(MARK) + user.count(MARK) != len(images):
        marks = system.count(MARK) + user.count(MARK)
        raise RecordError(f"{where}: {marks} {MARK} marks came with {len(images)} images; each mark needs one")
    hits = _objects(record.get("hit"), where, "hit")
    return Row(
        id_of(info.get("qid"), where, "qid"),
        Window(
            _query(info, where, root), tuple(Candidate(one, 1 / at, at) for at, one in enumerate(documents, start=1))
        ),
        _relevant(record, info, len(documents), where),
        system,
        user,
        tuple(_image(one, where, root) for one in images),
        text_of(record.get("data_source"), where, "data_source") or "",
        text_of(record.get("ability"), where, "ability") or "",
        tuple(
            _document(str(at), one.get("candidate_texts"), one.get("candidate_images"), where, root)
            for at, one in enumerate(hits, start=1)
        ),
    )


def _objects(value: Any, where: str, name: str) -> list[Mapping[str, Any]]:
    return [object_of(one, where, f"an item of {name}") for one in list_of(value, where, name)]


def _documents(info: Mapping[str, Any], where: str, root: Path) -> list[Document]:
    images = list_of(info.get("candidate_images"), where, "candidate_images")
    texts = list_of(info.get("candidate_texts"), where, "candidate_texts")
    if images and texts and len(images) != len(texts):
        raise RecordError(f"{where}: {len(images)} candidate_images came with {len(texts)} candidate_texts")
    count = max(len(images), len(texts))
    given = list_of(info.get("candidate_ids"), where, "candidate_ids")
    ids = (
        [id_of(one, where, "a candidate's id") for one in given]
        if len(given) == count
        else map(str, range(1, count + 1))
    )
    pairs = zip(ids, texts or [None] * count, images or [None] * count, strict=True)
    return [_document(name, text, path, where, root) for name, text, path in pairs]


def _document(name: str, text: Any, path: Any, where: str, root: Path) -> Document:
    try:
        return Document(name, text_of(text, where, "a text"), None if path in (None, "") else _image(path, where, root))
    except RecordError:
        raise
    except InvalidInput as fault:
        raise RecordError(f"{where}: {fault}") from fault


def _query(info: Mapping[str, Any], where: str, root: Path) -> Query:
    shown, text = info.get("query_image"), text_of(info.get("query_text"), where, "query_text")
    if not shown and text is None:
        raise RecordError(f"{where}: the query has neither a picture nor a text")
    instruction = text_of(info.get("instruction"), where, "instruction")
    return Query(text, (_image(shown, where, root),) if shown else (), instruction)


def _relevant(record: Mapping[str, Any], info: Mapping[str, Any], count: int, where: str) -> tuple[int, ...]:
    judged = object_of(record.get("reward_model") or {}, where, "reward_model")
    position = info.get("ground_truth_position", judged.get("ground_truth"))
    given = list_of(info.get("relevant"), where, "relevant") or ([] if position is None else [position])
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | float) or one % 1 or not 1 <= one <= count:
            said = one if isinstance(one, int | float) else kind(one)
            raise RecordError(f"{where}: the right position is {said}; it must be 1 to {count}, the candidates' number")
    return tuple(int(one) - 1 for one in given)


def _image(path: Any, where: str, root: Path) -> ImageRef:
    if isinstance(path, str) and _MARKS_FOLDER in path:
        path = path[path.index(_MARKS_FOLDER) :]  # the released files name their makers' own folder
    return picture(root, path, where)


def _check_pictures(row: Row, where: str) -> None:
    candidates = [candidate.document.image for candidate in row.window.candidates]
    for image in dict.fromkeys([*row.images, *row.window.query.images, *candidates]):
        if image is not None:
            try:
                image_size(image)
            except (InvalidInput, MissingPath) as fault:
                raise RecordError(f"{where}: {fault}") from fault

"""Corpora of passages, as benchmarks of questions publish them: a passage a row, or articles that are cut.

Rows are .csv (Google Search corpus: kid, text), .jsonl or .parquet (M2KR: passage_id, passage_content). Articles are
cut into runs of so many words, each led by the title, as M-BEIR cuts InfoSeek's. It leaves out which article answers
what.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.datasets.records import MAX_LINE, RecordPool, first_of, id_of, picture, read_jsonl, text_of
from vretrver.errors import InvalidInput, RecordError
from vretrver.types import Document, ImageRef

WORDS = 100
IDS = ("kid", "passage_id", "id", "did")
TEXTS = ("text", "passage_content", "contents", "content")
TITLES = ("title",)
PICTURES = ("image", "img_path")

Rows: TypeAlias = Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Article:
    """An article, before it is cut.

    Args:
        key: what questions name it by. where: its place in its file, for messages.
        sections: (heading, text); the heading of the first is not repeated where it is the title.
    """

    key: str
    where: str
    title: str
    sections: Sequence[tuple[str, str]]
    image: ImageRef | None = None


class ArticlePool:
    """Articles as passages, read again at each pass; passage p of section s is `key#s.p`, both from 0.

    Args:
        articles: opens the source. words: of a passage, at most.
    """

    def __init__(self, articles: Callable[[], Iterable[Article]], words: int = WORDS) -> None:
        if words < 1:
            raise InvalidInput(f"a passage of {words} words; it must have at least 1")
        self._articles, self._words = articles, words
        self._length: int | None = None

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for article in self._articles() for _one in cut(article, self._words))
        return self._length

    def __iter__(self) -> Iterator[Document]:
        for article in self._articles():
            for _section, document in cut(article, self._words):
                yield document

    def sections_of(self, keys: Collection[str]) -> dict[str, dict[str, int]]:
        """The passages of some articles: key -> passage id -> its section. One pass, which counts all passages too.

        Raises:
            RecordError: two articles have one key.
        """
        found: dict[str, dict[str, int]] = {}
        seen: set[str] = set()
        length = 0
        for article in self._articles():
            if article.key in seen:
                raise RecordError(f"{article.where}: the article {article.key!r} comes twice; keep one")
            seen.add(article.key)
            passages = [(document.id, section) for section, document in cut(article, self._words)]
            length += len(passages)
            if article.key in keys:
                found[article.key] = dict(passages)
        self._length = length
        return found


def cut(article: Article, words: int) -> Iterator[tuple[int, Document]]:
    """(section's number, passage) of every passage of an article."""
    for number, (heading, text) in enumerate(article.sections):
        lead = article.title if not heading or heading == article.title else f"{article.title}. {heading}"
        said = text.split()
        for at in range(0, len(said), words):
            piece = " ".join(said[at : at + words])
            yield number, Document(f"{article.key}#{number}.{at // words}", f"{lead}. {piece}", article.image)


def rows_of(place: Path, *names: str, what: str) -> tuple[RecordPool, Path]:
    """The pool in the first of some files that is there.

    Args:
        names: paths below `place`; .csv, .tsv, .jsonl or .parquet.

    Raises:
        MissingPath: none is there; names all of them.
    """
    path = first_of(*(place / name for name in names), what=what)
    reader = {".jsonl": read_jsonl, ".parquet": _parquet}.get(path.suffix, _csv)
    rows: Rows = partial(reader, path)
    return RecordPool(rows, partial(_document, place), lambda: sum(1 for _row in rows())), path


def checked_ids(pool: RecordPool) -> set[str]:
    """Every id of a pool; reading them all checks every passage.

    Raises:
        RecordError: an id comes twice, or there is no passage.
    """
    ids: set[str] = set()
    for where, document in pool.located():
        if document.id in ids:
            raise RecordError(f"{where}: the passage id {document.id!r} comes twice; ids must be unique")
        ids.add(document.id)
    if not ids:
        raise RecordError("there is no passage to find")
    return ids


def read_csv(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(where, record) of every row of a .csv file with a header; a file whose name ends in .tsv is split at tabs.

    Raises:
        MissingPath: as `read_lines`. RecordError: it does not parse, is not UTF-8, or a row has more cells than the
            header.
    """
    first_of(path, what="the file")
    delimiter = "\t" if path.suffix == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_bounded(file, path), delimiter=delimiter)
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if len(row) > len(header):
                    raise RecordError(f"{where}: {len(row)} cells under a header of {len(header)}")
                if any(row):
                    yield where, dict(zip(header, row, strict=False))
    except (csv.Error, UnicodeDecodeError) as fault:
        raise RecordError(f"{path} does not parse: {fault}; save it as UTF-8 with a header line") from fault
    except OSError as fault:
        raise RecordError(f"{path} cannot be read: {fault.strerror}") from fault


def _bounded(file: io.TextIOBase | Any, path: Path) -> Iterator[str]:
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise RecordError(f"{path}: a line is longer than {MAX_LINE} characters; is this a text file?")
        yield line


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return read_csv(path)


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = (*IDS, *TEXTS, *TITLES, *PICTURES)
    try:
        with pq.ParquetFile(path) as table:
            wanted = [name for name in table.schema_arrow.names if name in known]
            number = 0
            for batch in table.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (pa.ArrowException, OSError) as fault:
        raise RecordError(f"{path} is not a readable parquet file: {str(fault).splitlines()[0][:200]}") from fault


def _document(root: Path, record: Mapping[str, Any], where: str) -> Document:
    def held(names: Sequence[str]) -> Any:
        return next((record[name] for name in names if record.get(name) not in (None, "")), None)

    name = id_of(held(IDS), where, " or ".join(IDS[:3]))
    text, title = (text_of(held(names), where, names[0]) for names in (TEXTS, TITLES))
    path = held(PICTURES)
    if text is None and path is None:
        raise RecordError(f"{where}: passage {name} has no {' or '.join(TEXTS[:2])}")
    made = Document(name, text or title, picture(root, path, where) if path is not None else None)
    return made if text is None or title is None else replace(made, text=f"{title}. {text}")

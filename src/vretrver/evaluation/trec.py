"""Runs and qrels as the field's tools read and write them: TREC's columns, and M-BEIR's with one more.

    run     topic Q0 document rank score tag            UniIR adds the number of the task
    qrels   topic 0 document grade                      M-BEIR adds the number of the task

Evaluators sort by the score, whatever the rank column says; trec_eval and pytrec_eval hold it in single precision and
break ties by document id, descending. So what is written falls strictly even in single precision: an order that
leaves here is the order that is measured elsewhere. It leaves out measures (`vretrver.metrics`).
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from vretrver.errors import InvalidInput, MissingPath, RecordError, StorageError, VretrverError

Scored: TypeAlias = Sequence[tuple[str, float]]
MAX_LINE = 1 << 14  # bytes
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNWRITABLE = re.compile(r"\s|[\x1c-\x1f\x85]|[\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})")


def read_run(path: str | os.PathLike[str]) -> dict[str, list[tuple[str, float]]]:
    """A run of six or seven columns: per topic, (document, score) by falling score.

    The rank column is not looked at. Documents of equal score come by id in descending order of its bytes, as
    trec_eval takes them. Topics come in the file's order.

    Raises:
        MissingPath: there is no such file.
        RecordError: a line does not parse, or ranks a document again; names file and line.
    """
    found: dict[str, dict[str, float]] = {}
    for place, row in _rows(path, (6, 7), "a run has: topic Q0 document rank score tag"):
        topic, _q0, document, _rank, text = row[:5]
        scores = found.setdefault(topic, {})
        if document in scores:
            raise RecordError(f"{place} ranks document {document!r} for topic {topic!r} again; each comes once")
        scores[document] = _score(text, place)
    return {topic: sorted(scores.items(), key=_descending, reverse=True) for topic, scores in found.items()}


def write_run(
    path: str | os.PathLike[str],
    rankings: Mapping[str, Scored] | Iterable[tuple[str, Scored]],
    tag: str = "vretrver",
    task_id: int | None = None,
) -> None:
    """Write a run in the order given, ranks from 1, scores strictly falling (`falling`); appears whole or not at all.

    Args:
        rankings: (document, score) best first, per topic; pairs are taken one by one, so a generator need not fit.
        tag: the name of the run.
        task_id: M-BEIR's number of the task, for UniIR's seven columns.

    Raises:
        InvalidInput: an id or the tag is empty or holds a blank, or a score cannot be written.
        StorageError: the disk refuses.
    """
    last = f"{_word(tag, 'tag')}\n" if task_id is None else f"{_word(tag, 'tag')} {int(task_id)}\n"
    with _written(Path(path)) as file:
        for topic, ranking in rankings.items() if isinstance(rankings, Mapping) else rankings:
            first = f"{_word(topic, 'topic')} Q0"
            scores = falling([score for _document, score in ranking])
            for rank, ((document, _score), score) in enumerate(zip(ranking, scores, strict=True), start=1):
                file.write(f"{first} {_word(document, 'document')} {rank} {score!r} {last}")


def read_qrels(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Qrels of four or five columns: per topic, the grade of each judged document; 0 or less is not relevant.

    Raises:
        MissingPath: there is no such file.
        RecordError: a line does not parse, or grades a document again and differently; names file and line.
    """
    found: dict[str, dict[str, int]] = {}
    for place, row in _rows(path, (4, 5), "qrels have: topic 0 document grade"):
        topic, _zero, document, text = row[:4]
        if not (text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) < 10):
            raise RecordError(f"{place} has the grade {text[:20]!r}; a grade is a whole number")
        grades = found.setdefault(topic, {})
        if grades.setdefault(document, int(text)) != int(text):
            raise RecordError(
                f"{place} grades document {document!r} of topic {topic!r} {text}; before it was {grades[document]}"
            )
    return found


def write_qrels(
    path: str | os.PathLike[str], qrels: Mapping[str, Mapping[str, int]] | Iterable[tuple[str, Mapping[str, int]]]
) -> None:
    """Write qrels of four columns; the file appears whole or not at all.

    Raises:
        InvalidInput: an id is empty or holds a blank.
        StorageError: the disk refuses.
    """
    with _written(Path(path)) as file:
        for topic, grades in qrels.items() if isinstance(qrels, Mapping) else qrels:
            for document, grade in grades.items():
                file.write(f"{_word(topic, 'topic')} 0 {_word(document, 'document')} {int(grade)}\n")


def falling(scores: Sequence[float]) -> list[float]:
    """Scores that fall strictly in single precision, each kept to the last bit where it already does.

    One that does not becomes the next smaller single-precision number below the score before it.

    Raises:
        InvalidInput: a score is not a number, or too large for single precision (3.4e38).
    """
    kept: list[float] = []
    before = math.inf
    for given in scores:
        score, single = float(given), _single(given)
        if single >= before:
            single = _next_below(before)
            score = float(f"{single:.9g}")  # nine digits name a single-precision number
        kept.append(score)
        before = single
    return kept


def by_place(order: Sequence[str]) -> list[tuple[str, float]]:
    """An order that has no scores, with n, n - 1, ..., 1."""
    return [(name, float(len(order) - at)) for at, name in enumerate(order)]


def one_word(name: str) -> str:
    """A name that can be a column: blanks as %20 and so on, and % itself where it would be read as such.

    Most names stay as they are, and no two become the same; `from_one_word` is the inverse.
    """
    return _UNWRITABLE.sub(lambda found: _escaped(found[0]), name)


def from_one_word(word: str) -> str:
    """The name that `one_word` made this of."""

    def name(found: re.Match[str]) -> str:
        return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogatepass")

    try:
        return re.sub("(?:%[0-9A-Fa-f]{2})+", name, word)
    except UnicodeDecodeError:
        return word  # not ours


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _rows(path: str | os.PathLike[str], widths: tuple[int, int], wanted: str) -> Iterator[tuple[str, list[str]]]:
    """(file:line, columns) of each line that is not blank; every line is as wide as the first."""
    if not Path(path).is_file():
        raise MissingPath(f"no such file: {path}; {wanted}")
    width = None
    with open(path, "rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), b""), start=1):
            place = f"{path}:{number}"
            if len(line) > MAX_LINE:
                raise RecordError(f"{place} is longer than {MAX_LINE} bytes; {wanted}")
            try:
                row = [part.decode("utf-8") for part in line.split()]  # of bytes: at ASCII's blanks alone, as trec_eval
            except UnicodeDecodeError as fault:
                raise RecordError(f"{place} is not UTF-8 ({fault.reason} at byte {fault.start})") from fault
            if not row:
                continue
            width = width or len(row)
            if width not in widths or len(row) != width:
                others = "" if width == len(row) else f" where the first has {width}"
                raise RecordError(f"{place} has {len(row)} columns{others}; {wanted}, and one more in M-BEIR's files")
            yield place, row


def _score(text: str, place: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise RecordError(f"{place} has the score {text[:40]!r}; a score is a finite number")
    return score


def _descending(item: tuple[str, float]) -> tuple[float, bytes]:
    return item[1], item[0].encode()


def _word(name: str, what: str) -> str:
    if name.split() != [name] or _SURROGATE.search(name):
        raise InvalidInput(
            f"the {what} {name[:80]!r} is empty or holds a blank or half a character; TREC's columns are separated "
            "by blanks, so each name must be one word (`one_word` makes it one)"
        )
    return name


def _single(value: float) -> float:
    """Rounded to single precision."""
    try:
        rounded = float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        rounded = math.inf
    if not math.isfinite(rounded):
        raise InvalidInput(f"the score {value!r} cannot be written; a score is a finite number below 3.4e38")
    return rounded


def _next_below(single: float) -> float:
    """The largest single-precision number that is smaller."""
    if single == 0:
        return -_single(2.0**-149)
    bits = struct.unpack("<I", struct.pack("<f", single))[0]
    below = float(struct.unpack("<f", struct.pack("<I", bits - 1 if single > 0 else bits + 1))[0])
    return _single(below)


@contextmanager
def _written(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name only when it is complete and on disk."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(aside, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except VretrverError:
        raise  # of whoever makes the rankings: some of ours are OSErrors too
    except OSError as fault:
        raise StorageError(f"cannot write {path}: {fault.strerror or fault}") from fault
    finally:
        aside.unlink(missing_ok=True)

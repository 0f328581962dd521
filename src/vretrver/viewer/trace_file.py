"""Trace files: one ranking a line (JSON Lines), the pictures it speaks of beside it as thumbnails.

A line is `Ranking.to_record()` with two more keys: `pictures` (see `viewer.pictures`) and `originals`, the bytes
of pictures that never had a path, once each by label; where the record held those bytes it says
`{"bytes": label}`. A trace file is untrusted when it is read: sizes are bounded, values are parsed and checked.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Container, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

from vretrver.errors import InvalidInput, MissingPath, RecordError, StorageError
from vretrver.trace import Ranking
from vretrver.types import ImageRef
from vretrver.viewer.pictures import pictures_of

MAX_LINE_BYTES = 256 * 2**20
MAX_FILE_BYTES = 2 * 2**30


def write_traces(path: str | PathLike[str], rankings: Iterable[Ranking]) -> int:
    """Write a trace file, replacing what was there once all of it is written.

    Returns:
        How many rankings were written.

    Raises:
        StorageError: the file cannot be written; what was there before stays.
        InvalidInput: a ranking holds a value that JSON has no word for, such as NaN.
    """
    return replace_file(path, map(line_of, rankings))


def append_trace(path: str | PathLike[str], ranking: Ranking) -> None:
    """Add one ranking to the end of a trace file, which is made if it does not exist.

    Raises:
        StorageError, InvalidInput: as `write_traces`.
    """
    line = line_of(ranking)
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(line)
    except OSError as fault:
        raise StorageError(f"cannot write traces to {os.fspath(path)}: {fault.strerror or fault}") from fault


def read_traces(path: str | PathLike[str]) -> list[Ranking]:
    """The rankings of a trace file, in order.

    Raises:
        MissingPath: no such file.
        RecordError: a line is not a trace of this version, or the file is over the caps; names the line.
    """
    return [ranking for _record, ranking in records_of(path)]


def records_of(
    path: str | PathLike[str], lines: Container[int] | None = None
) -> Iterator[tuple[dict[str, Any], Ranking]]:
    """Each line's record as it is in the file, and the ranking it parses to.

    Args:
        lines: numbers of the lines wanted, the first is 1; the others are passed over unread, and the file may then
            have any size. All when None.

    Raises:
        MissingPath, RecordError: as `read_traces`.
    """
    path = os.fspath(path)
    try:
        if lines is None and os.path.getsize(path) > MAX_FILE_BYTES:
            raise RecordError(f"{path} has more than {MAX_FILE_BYTES} bytes; split it by lines")
        with open(path, "rb") as file:
            number = 0
            while raw := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES or (raw.strip() and (lines is None or number in lines)):
                    record = _parsed(raw, f"{path} line {number}")
                    yield record, _ranking(record, f"{path} line {number}")
    except FileNotFoundError as fault:
        raise MissingPath(f"no such trace file: {path}") from fault
    except OSError as fault:
        raise RecordError(f"cannot read trace file {path}: {fault.strerror or fault}") from fault


def replace_file(path: str | PathLike[str], pieces: Iterable[str]) -> int:
    """Write text beside `path` and put it in place once it is complete; returns how many pieces it had.

    Raises:
        StorageError: the file cannot be written; what was there before stays.
    """
    half = Path(f"{os.fspath(path)}.{os.getpid()}.part")
    count = 0
    try:
        with half.open("w", encoding="utf-8", newline="\n") as file:
            for piece in pieces:
                file.write(piece)
                count += 1
        half.replace(path)
    except OSError as fault:
        raise StorageError(f"cannot write {os.fspath(path)}: {fault.strerror or fault}") from fault
    finally:
        half.unlink(missing_ok=True)
    return count


def line_of(ranking: Ranking, *, pictures: bool = True, topic: str | None = None) -> str:
    """One line of a trace file, its end included.

    Args:
        pictures: with thumbnails; without, the line is a tenth as long and a page shows no picture.
        topic: the evaluated topic's id, kept under that key.

    Raises:
        InvalidInput: as `write_traces`.
    """
    record = ranking.to_record() | ({} if topic is None else {"topic": topic})
    originals: dict[str, str] = {}
    for spot in _image_spots(record):
        if "data" in spot:
            data = spot.pop("data")
            spot["bytes"] = ImageRef(data=base64.b64decode(data)).label
            originals[spot["bytes"]] = data
    record["pictures"] = pictures_of(ranking) if pictures else {}
    record["originals"] = originals
    try:
        # ASCII only: a file name that is not UTF-8 (lone surrogates) survives, and no line separator hides in a line.
        return json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n"
    except (TypeError, ValueError) as fault:
        raise InvalidInput(f"this ranking cannot be written as JSON: {fault}; check its metadata and scores") from fault


def _parsed(raw: bytes, where: str) -> dict[str, Any]:
    if len(raw) > MAX_LINE_BYTES:
        raise RecordError(f"{where} is longer than {MAX_LINE_BYTES} bytes")
    try:
        record = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise RecordError(f"{where} is not JSON: {fault}") from fault
    if not isinstance(record, dict):
        raise RecordError(f"{where} holds a {type(record).__name__}; a trace is a JSON object")
    return record


def _ranking(record: dict[str, Any], where: str) -> Ranking:
    whole = {key: value for key, value in record.items() if key not in ("pictures", "originals")}
    try:
        if record.get("originals"):
            whole = json.loads(json.dumps(whole))  # the caller's record keeps its labels
            for spot in _image_spots(whole):
                if "bytes" in spot:
                    spot["data"] = record["originals"][spot.pop("bytes")]
        return Ranking.from_record(whole)
    except RecordError as fault:
        raise RecordError(f"{where}: {fault}") from fault
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as fault:
        raise RecordError(f"{where} does not parse: {type(fault).__name__}: {fault}") from fault


def _image_spots(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each place of a record that names a picture. Not metadata, whose keys are the owner's."""
    yield from record["query"]["images"]
    yield from (result["image"] for result in record["results"] if result["image"])
    for trace in record["traces"]:
        parts = list(trace["prompt"])
        for turn in trace["turns"]:
            parts += turn["observation"]["parts"] if turn["observation"] else []
        yield from (part["image"] for part in parts if "image" in part)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")

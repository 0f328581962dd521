"""The records of a .jsonl, .csv, .tsv or .parquet file, line by line; what does not parse is skipped and named."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vretrver.errors import RecordError
from vretrver.listing.entries import Listing
from vretrver.listing.texts import parsed

LISTINGS = frozenset({".jsonl", ".csv", ".tsv", ".parquet"})
MAX_LINE = 4 << 20


def read_records(file: Path, listing: Listing) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, record) of every line or row of a .jsonl, .csv, .tsv or .parquet file that parses.

    Args:
        listing: told of what was skipped or replaced.

    Raises:
        RecordError: the file does not parse at all.
    """
    try:
        match file.suffix.lower():
            case ".jsonl":
                yield from _json_lines(file, listing)
            case ".parquet":
                yield from _parquet(file)
            case _:
                yield from _csv(file, listing)
    except (OSError, csv.Error) as fault:
        raise RecordError(f"{file} cannot be read: {str(fault).splitlines()[0][:200]}") from fault


def _json_lines(file: Path, listing: Listing) -> Iterator[tuple[str, dict[str, Any]]]:
    with open(file, "rb") as handle:
        number = 0
        while line := handle.readline(MAX_LINE):
            number += 1
            where = f"{file.name}:{number}"
            text = line.decode("utf-8-sig", errors="replace").strip()
            if not text:
                continue
            if "\ufffd" in text:
                listing.warnings.append(f"{where}: not UTF-8; unreadable characters were replaced")
            record = parsed(text)
            if isinstance(record, dict):
                yield where, record
            else:
                listing.skipped.append((where, "not a JSON object"))


def _csv(file: Path, listing: Listing) -> Iterator[tuple[str, dict[str, Any]]]:
    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    if "\ufffd" in text:
        listing.warnings.append(f"{file.name}: not UTF-8; unreadable characters were replaced")
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter)
    for record in reader:
        yield f"{file.name}:{reader.line_num}", {k: v for k, v in record.items() if isinstance(k, str) and v}


def _parquet(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(file).to_pylist()
    except pa.ArrowException as fault:
        raise RecordError(f"{file} is not a readable parquet file: {str(fault).splitlines()[0][:200]}") from fault
    for number, record in enumerate(rows, 1):
        yield f"{file.name}:{number}", record


def split(record: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    """The first named field that holds something, and all other fields that do, as JSON values."""
    taken = next((name for name in names if record.get(name) not in (None, "")), None)
    rest = {str(k): _plain(v) for k, v in record.items() if k not in names and v is not None and v != ""}
    return (record[taken] if taken else None), rest


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if value is None or isinstance(value, bytes) else str(value)

"""How every loader reads: bounded JSON and JSON lines, errors that name file and line, pictures that stay under a root.

A benchmark's files are untrusted: lines and files have a size cap, NaN and infinity are refused, nothing is evaluated
or unpickled. Tolerated are a byte order mark, Windows line ends and blank lines. A picture's path may not leave the
root by its words; a link that the user put inside the root is followed. It leaves out what the fields mean.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.types import Document, ImageRef

MAX_LINE = 8 << 20
MAX_JSON = 1 << 30
MAX_NAME = 1024
MAX_TEXT = 100_000


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(where, text) of every line that is not blank; `where` is `file:line`.

    Raises:
        MissingPath: the file does not exist.
        RecordError: a line is longer than `MAX_LINE` bytes or is not UTF-8.
    """
    with _opened(path) as handle:
        number = 0
        while line := handle.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise RecordError(f"{path}:{number}: the line is longer than {MAX_LINE} bytes; is this a text file?")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as fault:
                reason = f"byte {fault.start + 1} is not UTF-8"
                raise RecordError(f"{path}:{number}: {reason}; save the file as UTF-8") from fault
            if text:
                yield f"{path}:{number}", text


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, record) of every line of a .jsonl file.

    Raises:
        MissingPath: the file does not exist.
        RecordError: a line is no JSON object, too long, not UTF-8, or holds NaN or infinity; names file and line.
    """
    for where, text in read_lines(path):
        record = parsed(text, where)
        if not isinstance(record, dict):
            raise RecordError(f"{where}: this is {kind(record)}; each line must be one JSON object: {{...}}")
        yield where, record


def count_lines(path: Path) -> int:
    """How many records `read_jsonl` would give, without parsing them."""
    with _opened(path) as handle:
        return sum(1 for line in iter(lambda: handle.readline(MAX_LINE), b"") if not line.isspace())


def read_json(path: Path) -> Any:
    """The value of a .json file of at most `MAX_JSON` bytes.

    Raises:
        MissingPath: the file does not exist.
        RecordError: it does not parse, is too large, or holds NaN or infinity.
    """
    with _opened(path) as handle:
        data = handle.read(MAX_JSON + 1)
    if len(data) > MAX_JSON:
        raise RecordError(f"{path} is larger than {MAX_JSON} bytes")
    try:
        return parsed(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as fault:
        raise RecordError(f"{path}: byte {fault.start + 1} is not UTF-8; save the file as UTF-8") from fault


def parsed(text: str, where: str) -> Any:
    """JSON, strictly: no NaN, no infinity.

    Raises:
        RecordError: it does not parse.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as fault:
        place = f"column {fault.colno}" if fault.lineno == 1 else f"line {fault.lineno}, column {fault.colno}"
        raise RecordError(f"{where}: not valid JSON at {place}: {fault.msg}") from fault
    except (ValueError, RecursionError) as fault:
        raise RecordError(f"{where}: not valid JSON: {str(fault)[:200]}") from fault


def read_members(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(where, key, record) of every member of a .json file that is one object of objects, however large the file is.

    Raises:
        MissingPath: the file does not exist.
        RecordError: it is not such an object, a member is longer than `MAX_LINE` characters, or it holds NaN.
    """
    import io

    with io.TextIOWrapper(_opened(path), encoding="utf-8-sig") as file:
        held, number, opened = "", 0, False
        try:
            while True:
                chunk = file.read(1 << 20)
                held += chunk
                at, last = 0, not chunk
                while (found := _member(held, at, opened, last, f"{path}: member {number}")) is not None:
                    at, key, record = found
                    if record is None:
                        return
                    opened = True
                    yield f"{path}: member {number}", key, record
                    number += 1
                held = held[at:]
                if len(held) > MAX_LINE:
                    raise RecordError(f"{path}: member {number} is longer than {MAX_LINE} characters, or no JSON")
        except UnicodeDecodeError as fault:
            raise RecordError(f"{path} is not UTF-8 near member {number}; save the file as UTF-8") from fault


def _member(text: str, at: int, opened: bool, last: bool, where: str) -> tuple[int, str, dict[str, Any] | None] | None:
    """The member that begins at a place: where it ends, its key, its record; a record of None at the object's end.

    None where the text ends before it does and more is to come.
    """
    found = _BETWEEN[opened].match(text, at)
    if found is not None and found[0].endswith("}"):
        return found.end(), "", None
    try:
        if found is None:
            raise json.JSONDecodeError("expected a member of one large object", text[:80], 0)
        key, end = _DECODER.raw_decode(text, found.end())
        colon = _COLON.match(text, end)
        if colon is None:
            raise json.JSONDecodeError("expected ':'", text[end : end + 80], 0)
        record, end = _DECODER.raw_decode(text, colon.end())
    except (ValueError, RecursionError) as fault:
        if not last:
            return None
        raise RecordError(f"{where} is not valid JSON: {str(fault)[:200]}") from fault
    if not isinstance(key, str) or not isinstance(record, dict):
        raise RecordError(f"{where}: {str(key)[:60]!r} is {kind(record)}; each member must be an object")
    return end, key, record


class RecordPool:
    """A pool whose documents are read again at each pass, so that millions of them need no memory.

    Args:
        rows: opens the source; gives (where, record).
        document: makes a record a document.
        count: the number of records, asked once and only when somebody wants the length.
    """

    def __init__(
        self,
        rows: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]],
        document: Callable[[Mapping[str, Any], str], Document],
        count: Callable[[], int],
    ) -> None:
        self._rows, self._document, self._count = rows, document, count
        self._length: int | None = None

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._count()
        return self._length

    def __iter__(self) -> Iterator[Document]:
        for where, record in self._rows():
            yield self._document(record, where)

    def located(self) -> Iterator[tuple[str, Document]]:
        """(where, document), for who checks them and must name the place."""
        for where, record in self._rows():
            yield where, self._document(record, where)


# -- fields -----------------------------------------------------------------------------------------------------


def text_of(value: Any, where: str, name: str, most: int = MAX_TEXT) -> str | None:
    """A text, or None for null and blanks; NUL and lone surrogates are replaced.

    Raises:
        RecordError: it is no text, or longer than `most` characters.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise RecordError(f"{where}: {name} is {kind(value)}; it must be a text or null")
    if len(value) > most:
        raise RecordError(f"{where}: {name} has {len(value)} characters; at most {most} are allowed")
    clean = value.replace("\x00", " ").strip()
    return (clean if clean.isascii() else clean.encode("utf-8", "replace").decode()) or None


def id_of(value: Any, where: str, name: str) -> str:
    """An id as a text: a text without blanks at its ends, or an integer.

    Raises:
        RecordError: there is none, or it cannot be an id.
    """
    if value is None or value == "":
        raise RecordError(f"{where}: {name} is missing; every record needs one")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RecordError(f"{where}: {name} is {kind(value)}; it must be a text or an integer")
    name_ = str(value).strip()
    if not name_ or len(name_) > MAX_NAME or not name_.isprintable():
        raise RecordError(f"{where}: {name} must be 1 to {MAX_NAME} printable characters; it is {str(value)[:60]!r}")
    return name_


def list_of(value: Any, where: str, name: str) -> list[Any]:
    """A JSON array; None counts as an empty one.

    Raises:
        RecordError: it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise RecordError(f"{where}: {name} is {kind(value)}; it must be a list")
    return list(value)


def object_of(value: Any, where: str, name: str) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        RecordError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise RecordError(f"{where}: {name} is {kind(value)}; it must be an object: {{...}}")
    return value


def picture(root: Path, path: Any, where: str) -> ImageRef:
    """A picture under a root, by its path from there; whether it exists is not asked.

    Raises:
        RecordError: the path is no text, is absolute, or leaves the root.
    """
    if not isinstance(path, str) or not path:
        raise RecordError(f"{where}: the picture's path is {kind(path)}; it must be a text")
    parts = _SLASHES.split(path)
    if len(path) > 4 * MAX_NAME or "\x00" in path:
        raise RecordError(f"{where}: {path[:60]!r} cannot be a path")
    if not parts[0] or parts[0].endswith(":") or ".." in parts:
        raise RecordError(
            f"{where}: the picture {path[:200]!r} lies outside {root}; write its path from there, without '..'"
        )
    return ImageRef(path=os.path.join(root, path))


def kind(value: Any) -> str:
    """JSON's name for what a value is, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return (
        "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, list | tuple) else "no JSON value"
    )


# -- arguments --------------------------------------------------------------------------------------------------


def folder(root: str | os.PathLike[str]) -> Path:
    """A folder that exists.

    Raises:
        MissingPath: it does not, or is a file.
    """
    place = Path(root)
    if not place.is_dir():
        raise MissingPath(f"no such folder: {root}")
    return place


def first_of(*places: Path, what: str) -> Path:
    """The first of several places that exists.

    Raises:
        MissingPath: none does; names all of them.
    """
    for place in places:
        if place.exists():
            return place
    more = f" (nor {', nor '.join(str(place) for place in places[1:])})" if places[1:] else ""
    raise MissingPath(f"{what} is not there: {places[0]}{more}")


def chosen(value: str, allowed: Iterable[str], what: str) -> str:
    """A value that is one of those allowed.

    Raises:
        InvalidInput: it is not; says which are.
    """
    names = list(allowed)
    if value not in names:
        raise InvalidInput(f"unknown {what} {value!r}; choose from {', '.join(names)}")
    return value


_SLASHES = re.compile(r"[/\\]")
_COLON = re.compile(r"\s*:\s*")
_BETWEEN = {False: re.compile(r"\s*\{\s*\}?"), True: re.compile(r"\s*(?:,\s*|\})")}
"""What stands before a large object's first member, and before each later one."""


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is no finite number")
    return number


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_finite)


def _opened(path: Path) -> Any:
    try:
        return open(path, "rb")
    except FileNotFoundError as fault:
        raise MissingPath(f"no such file: {path}") from fault
    except OSError as fault:
        raise RecordError(f"{path} cannot be read: {fault.strerror}") from fault

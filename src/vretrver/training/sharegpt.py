"""Examples as files: the released ShareGPT layout, and the pictures beside it exactly as they were shown.

    sft.jsonl    one example a line (a .json file holds a list of them): `conversations`, a list of
                 {"from": "system" | "human" | "gpt", "value": text with <image> marks}, and `images`, their paths
    images/      each picture at its shown size, named by its content: a folder is whole by itself

Ours adds two keys that readers of the released layout pass over: `facts` (`Example.facts`) and `numbers`, the pictures'
numbers on the wire. A file is untrusted when it is read: texts are bounded, paths stay under the root, a picture that
is missing or damaged is an error that names file and row. Which part of which original a picture shows is not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from vretrver.datasets.records import kind, list_of, object_of, picture, read_json, read_jsonl
from vretrver.errors import ImageError, InvalidInput, MissingPath, RecordError, StorageError
from vretrver.images import encode_jpeg, from_pil, image_size, open_image, render, view_key
from vretrver.messages import ImagePart, Message, Role, View
from vretrver.sizes import shown_size
from vretrver.training.examples import MARK, Example, check_roles, marked, unmarked
from vretrver.types import ImageRef
from vretrver.viewer.trace_file import replace_file

IMAGES = "images"
JPEG_QUALITY = 95
MAX_VALUE = 400_000  # characters of one turn
_REMEMBERED = 4096
_ROLES: Mapping[str, Role] = {"system": "system", "human": "user", "gpt": "assistant"}
_NAMES = {role: name for name, role in _ROLES.items()}


class ShownPictures:
    """Writes views as pictures into a folder's `images/`, each content once; from several threads if need be.

    Args:
        folder: the data folder.
        encoding: `png` keeps every pixel; `jpeg` (quality 95, colour not halved) takes less than half the room.
    """

    def __init__(self, folder: Path, encoding: Literal["png", "jpeg"] = "jpeg") -> None:
        self._folder, self._encoding = folder, encoding
        self._written: OrderedDict[Hashable, str] = OrderedDict()

    def path(self, view: View) -> str:
        """The path of a view's picture from the data folder; written if it is not there yet.

        Raises:
            MissingPath, ImageError: its original cannot be read.
            StorageError: the disk refuses.
        """
        key = (view_key(view), view.width, view.height, view.box)
        path = self._written.get(key)
        if path is None:
            path = self._written[key] = self._write(view)
            if len(self._written) > _REMEMBERED:
                self._written.popitem(last=False)
        return path

    def _write(self, view: View) -> str:
        shown = render(view)
        lossless = self._encoding == "png"
        data = from_pil(shown).data if lossless else encode_jpeg(shown, JPEG_QUALITY, full_colour=True)
        assert data is not None
        digest = hashlib.sha256(data).hexdigest()[:32]
        name = f"{IMAGES}/{digest[:2]}/{digest}.{'png' if lossless else 'jpg'}"
        place = self._folder / name
        if not (place.is_file() and place.stat().st_size == len(data)):
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                part = place.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
                part.write_bytes(data)
                part.replace(place)
            except OSError as fault:
                raise StorageError(f"cannot write {place}: {fault.strerror or fault}") from fault
        return name


def row_of(example: Example, path: Callable[[View], str]) -> dict[str, Any]:
    """An example as a record of the released layout.

    Args:
        path: where a view's picture lies, from the data folder; such as `ShownPictures.path`.
    """
    return {
        "conversations": [
            {"from": _NAMES[message.role], "value": marked(message).encode("utf-8", "replace").decode()}
            for message in example.messages
        ],
        "images": [path(part.view) for part in example.pictures],
        "numbers": [part.index for part in example.pictures],
        "facts": dict(example.facts),
    }


def write_sharegpt(path: Path, examples: Iterable[Example], encoding: Literal["png", "jpeg"] = "jpeg") -> int:
    """Write a .jsonl (or .json) file and its pictures; what was there is replaced once all of it is written.

    Returns:
        How many examples were written.

    Raises:
        RecordError: a picture cannot be read; says of which example. StorageError: the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise StorageError(f"cannot make {path.parent}: {fault.strerror or fault}") from fault
    lines = _lines(examples, ShownPictures(path.parent, encoding))
    if path.suffix != ".json":
        return replace_file(path, (f"{line}\n" for line in lines))
    rows = list(lines)
    replace_file(path, ["[\n", ",\n".join(rows), "\n]\n"])
    return len(rows)


def _lines(examples: Iterable[Example], pictures: ShownPictures) -> Iterator[str]:
    for number, example in enumerate(examples, start=1):
        try:
            yield json.dumps(row_of(example, pictures.path), ensure_ascii=False)
        except (ImageError, MissingPath) as fault:
            raise RecordError(f"example {number}: {fault}") from fault


def read_sharegpt(path: Path, root: Path | None = None, *, decode: bool = True) -> Iterator[Example]:
    """The examples of a file in the released layout, one after another.

    Args:
        root: the folder that picture paths start from; the file's own when None.
        decode: open every picture now, so that a truncated one is found here; else only headers are read.

    Raises:
        MissingPath: the file does not exist.
        RecordError: it holds no example; or one does not parse, its turns are out of order, marks and pictures differ
            in number, or a picture is missing, damaged or outside the root. Names file and row.
    """
    place = path.parent if root is None else root
    count = 0
    for where, record in _records(path):
        count += 1
        try:
            yield _example(record, where, place, decode)
        except RecordError:
            raise
        except (InvalidInput, MissingPath) as fault:
            raise RecordError(f"{where}: {fault}") from fault
    if not count:
        raise RecordError(f"{path} holds no example")


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix != ".json":
        yield from read_jsonl(path)
        return
    rows = read_json(path)
    if not isinstance(rows, list):
        raise RecordError(f"{path} is {kind(rows)}; it must be a list of examples")
    for number, row in enumerate(rows, start=1):
        where = f"{path}: row {number}"
        yield where, object_of(row, where, "the example")


def _example(record: Mapping[str, Any], where: str, root: Path, decode: bool) -> Example:
    turns = [_turn(turn, where, at) for at, turn in enumerate(list_of(record.get("conversations"), where, "turns"), 1)]
    check_roles([role for role, _value in turns])
    paths = list_of(record.get("images"), where, "images")
    marks = sum(value.count(MARK) for _role, value in turns)
    if marks != len(paths):
        raise RecordError(f"{where}: {marks} {MARK} marks came with {len(paths)} images; each mark needs one")
    numbers = _numbers(record.get("numbers"), [value for role, value in turns if role != "system"], len(paths))
    parts = [ImagePart(_view(one, where, root, decode), number) for one, number in zip(paths, numbers, strict=True)]
    messages = []
    for role, value in turns:
        count = value.count(MARK)
        messages.append(Message(role, unmarked(value, parts[:count])))
        parts = parts[count:]
    return Example(tuple(messages), dict(object_of(record.get("facts") or {}, where, "facts")))


def _turn(turn: Any, where: str, at: int) -> tuple[Role, str]:
    said = object_of(turn, where, f"turn {at}")
    role, value = said.get("from"), said.get("value")
    if not isinstance(role, str) or role not in _ROLES:
        raise RecordError(f"{where}: turn {at} is from {str(role)[:40]!r}; it must be from {', '.join(_ROLES)}")
    if not isinstance(value, str):
        raise RecordError(f"{where}: turn {at} has {kind(value)} as its value; it must be a text")
    if len(value) > MAX_VALUE:
        raise RecordError(f"{where}: turn {at} has {len(value)} characters; at most {MAX_VALUE} are allowed")
    return _ROLES[role], value


def _view(path: Any, where: str, root: Path, decode: bool) -> View:
    """A picture as the model is shown it. One of ours is at that size already; another is sized by the protocol."""
    if isinstance(path, str) and "mbeir_images/" in path:
        path = path[path.index("mbeir_images/") :]  # the released files name their makers' own folder
    ref: ImageRef = picture(root, path, where)
    try:
        size = open_image(ref).size if decode else image_size(ref)
    except (ImageError, MissingPath) as fault:
        raise RecordError(f"{where}: {fault}") from fault
    return View(ref, *shown_size(*size))


def _numbers(given: Any, values: list[str], count: int) -> list[int]:
    """Numbers on the wire: as given, else by where the marks stand in the opening; 0 for what tools showed."""
    if isinstance(given, list) and len(given) == count and all(type(number) is int for number in given):
        return given
    query, _candidates, shown = values[0].partition("\nCandidates:") if values else ("", "", "")
    asked, listed = query.count(MARK), shown.count(MARK)
    numbers = [*range(0, -asked, -1), *range(1, listed + 1)]
    return numbers + [0] * (count - len(numbers))

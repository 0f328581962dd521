"""Settings of a training stage: a dataclass from a TOML file whose keys are its field names.

    @dataclass(frozen=True)
    class Sft:
        model: str
        epochs: float = 2.0

    settings = read_config("sft.toml", Sft, ["epochs=1"])
    write_resolved("ckpt/sft", settings)     # config.json: every value, defaults too, and the versions it ran with

Fields may be bool, int, float, str, Literal, a dataclass, tuples or string-keyed mappings of these, or None besides.
Values are checked, never converted, but a whole number may stand for a float. Paths are taken as the shell would.
Ranges are the dataclass's own matter (`__post_init__`). Pydantic, dacite and cattrs were weighed: none names the
nearest key, and the first is a large dependency for one page of code.
"""

from __future__ import annotations

import difflib
import json
import os
import platform
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vretrver import __version__
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.evaluation.folder import write_text

CONFIG = "config.json"
LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "peft",
    "datasets",
    "tokenizers",
    "numpy",
    "pillow",
    "pyarrow",
)
_MOST_BYTES = 1 << 20
_T = TypeVar("_T")


def read_config(path: str | os.PathLike[str], kind: type[_T], overrides: Sequence[str] = ()) -> _T:
    """The settings in a TOML file.

    Args:
        kind: the dataclass.
        overrides: `key=value`, `table.key=value` or, in a list of tables, `tables.0.key=value`, where the number that
            follows the last adds a table. The value is written as in TOML; what is no TOML value is a text.

    Raises:
        MissingPath: there is no such file.
        RecordError: it is no TOML.
        InvalidInput: a key is unknown (names the nearest), missing, or of the wrong type; names file and key.
    """
    place = Path(path)
    if not place.is_file():
        raise MissingPath(f"no such settings file: {path}")
    if place.stat().st_size > _MOST_BYTES:
        raise RecordError(f"{path} is larger than {_MOST_BYTES} bytes; is it a settings file?")
    try:
        values = tomllib.loads(place.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise RecordError(f"{path} is not valid TOML: {fault}") from fault
    for override in overrides:
        _set(values, override)
    return from_mapping(kind, values, str(path))


def from_mapping(kind: type[_T], values: Mapping[str, Any], where: str = "settings") -> _T:
    """The dataclass `kind` from plain values.

    Args:
        where: opens every message: the file, and inside it the table.

    Raises:
        InvalidInput: as `read_config`.
    """
    hints = get_type_hints(kind)
    known = {one.name: one for one in fields(kind) if one.init}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise InvalidInput(f"{where}: unknown key {key!r}; {_nearest(key, list(known))}")
    for name, one in known.items():
        if name not in values and one.default is MISSING and one.default_factory is MISSING:
            raise InvalidInput(f"{where}: the key {name!r} is missing; it must be {_named(hints[name])}")
    given = {key: _checked(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    return kind(**given)


def to_mapping(settings: Any) -> dict[str, Any]:
    """Plain JSON values of a dataclass; the inverse of `from_mapping`, but for None, which TOML cannot write."""
    return {one.name: _plain(getattr(settings, one.name)) for one in fields(settings) if one.init}


def versions() -> dict[str, str]:
    """What it runs with: this package, Python, and the libraries of training that are installed."""
    found = {"vretrver": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_resolved(folder: str | os.PathLike[str], settings: Any, **more: Any) -> Path:
    """Write `config.json`: every setting, `versions`, and what else the stage resolved (JSON values).

    Raises:
        StorageError: the disk refuses.
    """
    place = Path(folder)
    content = {"settings": to_mapping(settings), **more, "versions": versions()}
    write_text(place / CONFIG, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return place / CONFIG


def claim_folder(folder: str | os.PathLike[str], settings: Any, *, ignoring: Sequence[str] = (), **more: Any) -> None:
    """Make a folder the place of these settings (`write_resolved`), or see that it is already.

    Args:
        ignoring: settings that may differ, as they change nothing in the files; `table.key` in a table.
        more: what else is written, and must be the same too.

    Raises:
        InvalidInput: it holds what was made with other settings; says which differ. StorageError: the disk refuses.
    """
    place = Path(folder)
    if not (place / CONFIG).is_file():
        write_resolved(place, settings, **more)
        return
    held = read_resolved(place)
    ours = json.loads(json.dumps({**to_mapping(settings), **more}))
    theirs = {**held["settings"], **{name: held.get(name) for name in more}}
    for path in ignoring:
        _drop(ours, path)
        _drop(theirs, path)
    apart = [name for name in ours if theirs.get(name) != ours[name]]
    if apart:
        said = "; ".join(f"{name} was {json.dumps(theirs.get(name), ensure_ascii=False)[:80]}" for name in apart[:3])
        raise InvalidInput(f"{place} was made with other settings: {said}; take the same settings or another folder")


def read_resolved(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a folder's `config.json`.

    Raises:
        MissingPath: the folder holds none. RecordError: it does not parse.
    """
    from vretrver.datasets.records import read_json

    content = read_json(Path(folder) / CONFIG)
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        raise RecordError(f"{Path(folder) / CONFIG} holds no settings")
    return content


def _drop(values: dict[str, Any], path: str) -> None:
    *tables, name = path.split(".")
    inner: Any = values
    for table in tables:
        inner = inner.get(table) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        inner.pop(name, None)


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *tables, name = key.strip().split(".")
    if not equals or not name:
        raise InvalidInput(f"cannot set {override!r}; write key=value, such as seed=1")
    inner: Any = values
    for table in tables:
        if isinstance(inner, list):
            if table == str(len(inner)):  # one more
                inner.append({})
            inner = inner[int(table)] if table.isdigit() and int(table) < len(inner) else None
        elif isinstance(inner, dict):
            inner = inner.setdefault(table, {})
    if not isinstance(inner, dict):
        raise InvalidInput(f"cannot set {override!r}: {'.'.join(tables)} is no table")
    try:
        inner[name] = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        inner[name] = text.strip()


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(known)}"


def _checked(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [one for one in arguments if one is not type(None)]
        return None if value is None else _checked(inner, value, where)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return from_mapping(hint, value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_checked(arguments[0], item, f"{where}[{at}]") for at, item in enumerate(value))
    if origin is not None and _is_kind(origin, Mapping) and isinstance(value, Mapping):
        return {key: _checked(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if _fits(hint, value):
        return float(value) if hint is float else value
    raise InvalidInput(f"{where} is {_came(value)}; it must be {_named(hint)}")


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == one and type(value) is type(one) for one in get_args(hint))
    if hint is float:
        return type(value) in (int, float)
    return hint is Any or (hint in (bool, int, str) and type(value) is hint)


def _is_kind(kind: Any, parent: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, parent)


def _came(value: Any) -> str:
    names = {bool: "the boolean", int: "the number", float: "the number", str: "the text"}
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(value) if isinstance(value, bool | int | float | str) else str(value)
    return f"{names.get(type(value), type(value).__name__)} {text[:80]}"


def _named(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_named(one) for one in arguments if one is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(json.dumps(one) for one in arguments)
    if origin is tuple:
        return f"a list, each item {_named(arguments[0])}"
    if is_dataclass(hint) or (origin is not None and _is_kind(origin, Mapping)):
        return "a table"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(hint, str(hint))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

"""What there is to index: a folder of pictures, a .jsonl / .csv / .parquet listing, or an M-BEIR candidate pool.

Names, captions and listings are untrusted: captions are bounded and decoded with replacement, paths must stay inside
their root unless that is allowed, a line that does not parse is skipped and named. No picture is opened here.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.images import EXTENSIONS
from vretrver.types import Document, ImageRef

LISTINGS = frozenset({".jsonl", ".csv", ".tsv", ".parquet"})
MAX_CAPTION = 20_000
_MAX_SIDECAR = 1 << 20
_MAX_LINE = 4 << 20
_MAX_ID = 1024

_ID = ("id", "did")
_PATH = ("path", "image", "img_path", "image_path", "file_name", "filename")
_TEXT = ("text", "caption", "txt", "description")


@dataclass(frozen=True, slots=True)
class Entry:
    """One document to index. `path` is its picture as stored (posix, from the listing's root), `file` where it is."""

    id: str
    text: str | None = None
    path: str | None = None
    file: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> Document:
        """The document it describes, its picture unopened."""
        image = None if self.file is None else ImageRef(path=str(self.file))
        return Document(self.id, self.text, image, metadata=self.metadata)


@dataclass(slots=True)
class Listing:
    """What a source holds: its entries in order, and what was left out and why."""

    origin: Path
    root: Path
    entries: list[Entry] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_source(
    source: str | os.PathLike[str],
    captions: str | os.PathLike[str] | None = None,
    image_root: str | os.PathLike[str] | None = None,
    outside: bool = False,
) -> Listing:
    """All entries of a folder or listing.

    Args:
        source: a folder (searched recursively, sorted, hidden names left out, ids are relative paths) or a listing.
        captions: for a folder, a listing with captions and metadata of its pictures, by path from the folder (or from
            `image_root`); it adds to sidecars and wins over them.
        image_root: the folder that a listing's paths start from; its own folder by default, and for an M-BEIR pool
            the nearest folder above it where the pictures are.
        outside: whether a listing may name pictures outside that folder.

    Raises:
        MissingPath: the source or the image root does not exist.
        InvalidInput: nothing to index in it, or a file of another kind.
        RecordError: an id comes twice, or the listing does not parse at all.
    """
    place = Path(source).resolve()  # so that a folder is known again, however it is spelled
    if not place.exists():
        raise MissingPath(f"no such folder or listing: {source}")
    if image_root is not None and not Path(image_root).is_dir():
        raise MissingPath(f"the image root {image_root} is not a folder")
    if captions is not None and not Path(captions).is_file():
        raise MissingPath(f"no such listing: {captions}")
    listing = _folder(place) if place.is_dir() else _listed(place, image_root, outside)
    if captions is not None:
        _add_captions(listing, _listed(Path(captions).resolve(), image_root or listing.root, outside))
    if not listing.entries:
        what = f"no pictures in {source} ({', '.join(sorted(EXTENSIONS))})" if place.is_dir() else f"{source} is empty"
        why = f"; {len(listing.skipped)} skipped, such as {': '.join(listing.skipped[0])}" if listing.skipped else ""
        raise InvalidInput(f"{what}{why}; there is nothing to index")
    counts = Counter(entry.id for entry in listing.entries)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise RecordError(f"{source} names {len(twice)} ids more than once, such as {twice[:5]}; ids must be unique")
    return listing


# -- a folder ---------------------------------------------------------------------------------------------------


def _folder(root: Path) -> Listing:
    listing = Listing(root, root)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.endswith(".vr"))
        for name in sorted(files):
            if name.startswith(".") or Path(name).suffix.lower() not in EXTENSIONS:
                continue
            file = Path(folder, name)
            path = file.relative_to(root).as_posix()
            reason = _unusable(path) or (file.is_symlink() and not _inside(file, root) and "a link out of the folder")
            if reason:
                listing.skipped.append((printable(path), reason))
                continue
            text, metadata = _sidecar(file, listing)
            listing.entries.append(Entry(path, text, path, file, metadata))
    return listing


def _sidecar(file: Path, listing: Listing) -> tuple[str | None, dict[str, Any]]:
    """Caption and metadata beside a picture: `a.txt` or `a.jpg.txt`, `a.json` or `a.jpg.json`."""
    text: str | None = None
    metadata: dict[str, Any] = {}
    for stem in (file.with_suffix(""), file):
        side = stem.with_name(stem.name + ".txt")
        if side.is_file() and not side.is_symlink():
            text = _caption(_decoded(side, listing), side.name, listing)
        side = stem.with_name(stem.name + ".json")
        if side.is_file() and not side.is_symlink():
            record = _parsed(_decoded(side, listing))
            if not isinstance(record, dict):
                listing.warnings.append(f"{side.name}: not a JSON object; not used")
                continue
            found, metadata = split(record, _TEXT)
            text = _caption(found, side.name, listing) or text
    return text, metadata


def _decoded(file: Path, listing: Listing) -> str:
    with open(file, "rb") as handle:
        data = handle.read(_MAX_SIDECAR)
    text = data.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text:
        listing.warnings.append(f"{printable(file.name)}: not UTF-8; unreadable characters were replaced")
    return text


# -- a listing --------------------------------------------------------------------------------------------------


def _listed(file: Path, image_root: str | os.PathLike[str] | None, outside: bool) -> Listing:
    if file.suffix.lower() not in LISTINGS:
        raise InvalidInput(
            f"{file} is neither a folder nor a listing; a listing is one of {', '.join(sorted(LISTINGS))}"
        )
    listing = Listing(file, Path(image_root).resolve() if image_root is not None else file.parent)
    records = list(read_records(file, listing))
    if image_root is None and any("did" in record for _, record in records[:1]):
        listing.root = _pool_root(file, records)
    for where, record in records:
        entry = _entry(record, where, listing, outside)
        if isinstance(entry, Entry):
            listing.entries.append(entry)
        else:
            listing.skipped.append((where, entry))
    return listing


def _entry(record: dict[str, Any], where: str, listing: Listing, outside: bool) -> Entry | str:
    """The entry of a record, or why there is none."""
    name, rest = split(record, _ID)
    path, rest = split(rest, _PATH)
    found, rest = split(rest, _TEXT)
    if path is not None and not isinstance(path, str):
        return f"the picture's path is a {type(path).__name__}, not a text"
    text = _caption(found, where, listing)
    identity = str(name) if name not in (None, "") else (path or "")
    reason = _unusable(identity) or (path and _unusable(path))
    if reason:
        return reason
    if not path:
        return Entry(identity, text, metadata=rest) if text else "neither text nor a picture"
    file = listing.root / path
    if not outside and not _inside(file, listing.root):
        return f"{path} lies outside {listing.root}"
    if not file.is_file():
        return f"no such image: {file}"
    return Entry(identity, text, Path(path).as_posix(), file, rest)


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
        while line := handle.readline(_MAX_LINE):
            number += 1
            where = f"{file.name}:{number}"
            text = line.decode("utf-8-sig", errors="replace").strip()
            if not text:
                continue
            if "\ufffd" in text:
                listing.warnings.append(f"{where}: not UTF-8; unreadable characters were replaced")
            record = _parsed(text)
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


def _pool_root(file: Path, records: list[tuple[str, dict[str, Any]]]) -> Path:
    """The nearest folder above an M-BEIR pool where its first picture is."""
    first = next((str(record["img_path"]) for _, record in records if record.get("img_path")), None)
    if first is None:
        return file.parent
    for folder in file.parents:
        if (folder / first).is_file():
            return folder
    raise MissingPath(f"{first} is in no folder above {file}; say where the pictures are with the image root")


def _add_captions(listing: Listing, captions: Listing) -> None:
    """Give the entries of a folder what a listing says of the same pictures."""
    said = {entry.file.resolve(): entry for entry in captions.entries if entry.file is not None}
    for at, entry in enumerate(listing.entries):
        more = said.pop(entry.file.resolve(), None) if entry.file is not None else None
        if more is not None:
            metadata = {**entry.metadata, **more.metadata}
            listing.entries[at] = replace(entry, text=more.text or entry.text, metadata=metadata)
    listing.skipped.extend(captions.skipped)
    listing.skipped.extend((entry.id, "captioned, but not in the folder") for entry in said.values())
    listing.warnings.extend(captions.warnings)


# -- values -----------------------------------------------------------------------------------------------------


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


def _caption(value: Any, where: str, listing: Listing) -> str | None:
    text = "" if value is None else str(value).replace("\x00", " ").strip()
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    if len(text) > MAX_CAPTION:
        listing.warnings.append(f"{where}: the caption has {len(text)} characters; the first {MAX_CAPTION} were kept")
        text = text[:MAX_CAPTION]
    return text or None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _unusable(name: str) -> str | None:
    """Why a name cannot be an id or path; None if it can."""
    if not name:
        return "no id"
    if len(name) > _MAX_ID:
        return f"a name of {len(name)} characters; at most {_MAX_ID} are allowed"
    if "\x00" in name:
        return "a NUL character in the name"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    return None


def printable(name: str) -> str:
    """A file's name as it can be shown: bytes that are no text become question marks."""
    return name.encode("utf-8", errors="replace").decode()


def _inside(file: Path, root: Path) -> bool:
    return file.resolve().is_relative_to(root.resolve())

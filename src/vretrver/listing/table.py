"""A listing or an M-BEIR candidate pool: its records to entries, and its captions to a folder's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, MissingPath
from vretrver.listing.entries import Entry, Listing
from vretrver.listing.records import LISTINGS, read_records, split
from vretrver.listing.texts import TEXT, caption, inside, unusable

ID = ("id", "did")
PATH = ("path", "image", "img_path", "image_path", "file_name", "filename")


def read_table(file: Path, image_root: str | os.PathLike[str] | None, outside: bool) -> Listing:
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
    name, rest = split(record, ID)
    path, rest = split(rest, PATH)
    found, rest = split(rest, TEXT)
    if path is not None and not isinstance(path, str):
        return f"the picture's path is a {type(path).__name__}, not a text"
    text = caption(found, where, listing)
    identity = str(name) if name not in (None, "") else (path or "")
    reason = unusable(identity) or (path and unusable(path))
    if reason:
        return reason
    if not path:
        return Entry(identity, text, metadata=rest) if text else "neither text nor a picture"
    file = listing.root / path
    if not outside and not inside(file, listing.root):
        return f"{path} lies outside {listing.root}"
    if not file.is_file():
        return f"no such image: {file}"
    return Entry(identity, text, Path(path).as_posix(), file, rest)


def _pool_root(file: Path, records: list[tuple[str, dict[str, Any]]]) -> Path:
    """The nearest folder above an M-BEIR pool where its first picture is."""
    first = next((str(record["img_path"]) for _, record in records if record.get("img_path")), None)
    if first is None:
        return file.parent
    for folder in file.parents:
        if (folder / first).is_file():
            return folder
    raise MissingPath(f"{first} is in no folder above {file}; say where the pictures are with the image root")


def add_captions(listing: Listing, captions: Listing) -> None:
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

"""A folder of pictures and the captions beside them.

What cannot be listed or read is not taken for empty: it is named, and `Listing.unseen` has it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.images import EXTENSIONS
from vretrver.listing.entries import Entry, Listing
from vretrver.listing.records import split
from vretrver.listing.texts import TEXT, caption, inside, parsed, printable, unusable

MAX_SIDECAR = 1 << 20


def read_folder(root: Path) -> Listing:
    """The pictures of a folder and of the folders in it.

    Raises:
        InvalidInput: the folder itself cannot be listed.
    """
    listing = Listing(root, root)
    for folder, folders, files in os.walk(root, onerror=lambda fault: _unlisted(fault, listing)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.endswith(".vr"))
        for name in sorted(files):
            if name.startswith(".") or Path(name).suffix.lower() not in EXTENSIONS:
                continue
            file = Path(folder, name)
            path = file.relative_to(root).as_posix()
            reason = unusable(path) or (file.is_symlink() and not inside(file, root) and "a link out of the folder")
            if reason:
                listing.skipped.append((printable(path), reason))
                continue
            try:
                text, metadata = _sidecar(file, listing)
            except OSError as fault:
                _unseen(path, f"its caption cannot be read ({fault.strerror})", listing)
                continue
            listing.entries.append(Entry(path, text, path, file, metadata))
    return listing


def _unlisted(fault: OSError, listing: Listing) -> None:
    """Told by `os.walk` of a folder that it passes over."""
    place = Path(fault.filename)
    if place == listing.root:
        raise InvalidInput(f"cannot list {place} ({fault.strerror}); nothing is changed") from fault
    if not isinstance(fault, FileNotFoundError | NotADirectoryError):  # these say that the folder has gone
        _unseen(place.relative_to(listing.root).as_posix(), f"cannot be listed ({fault.strerror})", listing)


def _unseen(path: str, reason: str, listing: Listing) -> None:
    listing.unseen.add(path)
    listing.skipped.append((printable(path), f"{reason}; what is indexed of it stays"))


def _sidecar(file: Path, listing: Listing) -> tuple[str | None, dict[str, Any]]:
    """Caption and metadata beside a picture: `a.txt` or `a.jpg.txt`, `a.json` or `a.jpg.json`."""
    text: str | None = None
    metadata: dict[str, Any] = {}
    for stem in (file.with_suffix(""), file):
        side = stem.with_name(stem.name + ".txt")
        if side.is_file() and not side.is_symlink():
            text = caption(_decoded(side, listing), side.name, listing)
        side = stem.with_name(stem.name + ".json")
        if side.is_file() and not side.is_symlink():
            record = parsed(_decoded(side, listing))
            if not isinstance(record, dict):
                listing.warnings.append(f"{side.name}: not a JSON object; not used")
                continue
            found, metadata = split(record, TEXT)
            text = caption(found, side.name, listing) or text
    return text, metadata


def _decoded(file: Path, listing: Listing) -> str:
    with open(file, "rb") as handle:
        data = handle.read(MAX_SIDECAR)
    text = data.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text:
        listing.warnings.append(f"{printable(file.name)}: not UTF-8; unreadable characters were replaced")
    return text

"""Names, captions and JSON from strangers: bounded, decoded, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vretrver.listing.entries import Listing

MAX_CAPTION = 20_000
MAX_ID = 1024
TEXT = ("text", "caption", "txt", "description")


def caption(value: Any, where: str, listing: Listing) -> str | None:
    text = "" if value is None else str(value).replace("\x00", " ").strip()
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    if len(text) > MAX_CAPTION:
        listing.warnings.append(f"{where}: the caption has {len(text)} characters; the first {MAX_CAPTION} were kept")
        text = text[:MAX_CAPTION]
    return text or None


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def unusable(name: str) -> str | None:
    """Why a name cannot be an id or path; None if it can."""
    if not name:
        return "no id"
    if len(name) > MAX_ID:
        return f"a name of {len(name)} characters; at most {MAX_ID} are allowed"
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


def inside(file: Path, root: Path) -> bool:
    return file.resolve().is_relative_to(root.resolve())

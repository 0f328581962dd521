"""What every command prints with: text that cannot drive a terminal, and JSON."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """One line without control characters: a caption must not drive the user's terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))

"""What can be filtered by: the metadata fields that an index has, with their commonest values.

Counted over the whole index, once for each version of it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

FIELDS = 24
VALUES = 30
_LONGEST = 80  # characters of a value that is offered; longer ones are typed
_DISTINCT = 20_000  # values that are counted; an id's field would fill memory for nothing


def fields_of(records: Iterable[str]) -> list[dict[str, Any]]:
    """The fields of metadata, those that most documents have first.

    Args:
        records: metadata as JSON objects, one a document.

    Returns:
        name, documents that have it, kind (`text`, `number` or `choice` for true and false), least and most of
        numbers, the commonest values with their counts, and whether there are others.
    """
    having: Counter[str] = Counter()
    values: dict[str, Counter[Any]] = {}
    for text in records:
        if text == "{}":
            continue
        for name, value in json.loads(text).items():
            if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
                having[name] += 1
                counted = values.setdefault(name, Counter())
                if len(counted) < _DISTINCT or (isinstance(value, bool), value) in counted:
                    # 1 and true are one key of a mapping; they are two values.
                    counted[isinstance(value, bool), value] += 1
    return [_field(name, count, values[name]) for name, count in having.most_common(FIELDS)]


def _field(name: str, count: int, counted: Mapping[tuple[bool, Any], int]) -> dict[str, Any]:
    found = [value for _flag, value in counted]
    kind = "text"
    if all(isinstance(value, bool) for value in found):
        kind = "choice"
    elif all(isinstance(value, int | float) for value in found):
        kind = "number"
    offered = sorted(counted.items(), key=lambda item: (-item[1], str(item[0][1])))
    short = [(value, n) for (_flag, value), n in offered if len(str(value)) <= _LONGEST]
    # Where nearly every document has a value of its own, a list of them helps nobody.
    shown = [] if kind == "text" and len(found) > max(VALUES, count // 2) else short[:VALUES]
    return {
        "name": name,
        "documents": count,
        "kind": kind,
        "least": min(found) if kind == "number" else None,
        "most": max(found) if kind == "number" else None,
        "values": [{"value": value, "documents": n} for value, n in shown],
        "more": len(found) > len(shown),
    }

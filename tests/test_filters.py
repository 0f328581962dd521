from __future__ import annotations

from typing import Any

import pytest

from vretrver.errors import InvalidInput
from vretrver.indexes.filters import ABSENT, mask

ROWS: list[dict[str, Any]] = [
    {"colour": "red", "year": 2019, "tags": ["a", "b"]},
    {"colour": "blue", "year": 2020, "note": None},
    {"colour": "red", "year": "unknown"},
    {},
]


def passing(where: Any) -> list[int]:
    return mask(where, lambda key: [row.get(key, ABSENT) for row in ROWS], len(ROWS)).nonzero()[0].tolist()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"colour": "red"}, [0, 2]),
        ({"colour": ["red", "blue"]}, [0, 1, 2]),
        ({"year": {">=": 2019, "<": 2020}}, [0]),
        ({"year": {">": 0}}, [0, 1]),
        ({"colour": "red", "year": 2019}, [0]),
        ({"colour": {"!=": "red"}}, [1, 3]),
        ({"tags": {"contains": "b"}}, [0]),
        ({"note": None}, [1]),
        ({"colour": "x' OR '1'='1"}, []),
    ],
)
def test_what_passes(where: dict[str, Any], expected: list[int]) -> None:
    assert passing(where) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("colour = 'red'", "a filter is a mapping"),
        ({"year": {"like": 1}}, "unknown operator 'like'.*choose from"),
        ({"year": {"in": 3}}, "takes a list"),
        ({"year": {"=": {"a": 1}}}, "compares with text, numbers"),
        ({3: "x"}, "names of metadata fields"),
        ({str(n): n for n in range(33)}, "at most 32"),
    ],
)
def test_what_is_no_filter(where: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        passing(where)

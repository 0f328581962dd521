"""Metadata filters: a mapping of conditions to a row mask. Never SQL, nothing is evaluated.

`{"colour": "red", "year": {">=": 2020}, "shop": ["ica", "coop"]}`: every key must hold. A value is one of: a
scalar (equal), a list (any of), or a mapping of operators. Besides metadata keys, `id` and `path` can be asked for.
A row without the key passes only `!=`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vretrver.errors import InvalidInput

Where: TypeAlias = Mapping[str, Any]
_MAX_CONDITIONS = 32
ABSENT: Any = object()

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, allowed: value in allowed,
    "contains": lambda value, part: part in value,
}


def checked(where: Where) -> list[tuple[str, str, Any]]:
    """The conditions of a filter as (key, operator, operand).

    Raises:
        InvalidInput: not a mapping, an unknown operator, an operand of the wrong kind, or too many conditions.
    """
    if not isinstance(where, Mapping):
        raise InvalidInput(
            f'a filter is a mapping such as {{"year": {{">=": 2020}}}}; this one is a {type(where).__name__}'
        )
    conditions: list[tuple[str, str, Any]] = []
    for key, wanted in where.items():
        if not isinstance(key, str):
            raise InvalidInput(f"a filter's keys are names of metadata fields; this one is {key!r}")
        if isinstance(wanted, Mapping):
            conditions.extend((key, name, operand) for name, operand in wanted.items())
        elif isinstance(wanted, list | tuple | set | frozenset):
            conditions.append((key, "in", wanted))
        else:
            conditions.append((key, "=", wanted))
    if len(conditions) > _MAX_CONDITIONS:
        raise InvalidInput(f"a filter has at most {_MAX_CONDITIONS} conditions; this one has {len(conditions)}")
    for key, name, operand in conditions:
        _check(key, name, operand)
    return conditions


def _check(key: str, name: str, operand: Any) -> None:
    if name not in _OPERATORS:
        raise InvalidInput(f"unknown operator {name!r} in the filter on {key!r}; choose from {', '.join(_OPERATORS)}")
    several = isinstance(operand, list | tuple | set | frozenset)
    if name == "in" and not several:
        raise InvalidInput(f"the operator 'in' on {key!r} takes a list; got {operand!r}")
    values = operand if name == "in" else [operand]
    if not all(value is None or isinstance(value, str | int | float | bool) for value in values):
        raise InvalidInput(f"a filter compares with text, numbers, true, false or null; {key!r} has {operand!r}")


def mask(where: Where, column: Callable[[str], Sequence[Any]], size: int) -> NDArray[np.bool_]:
    """Which of `size` rows pass: shape (size,).

    Args:
        column: gives a key's value for every row, `filters.ABSENT` where a row has none.

    Raises:
        InvalidInput: as `checked`.
    """
    passed = np.ones(size, np.bool_)
    for key, name, operand in checked(where):
        values, test = column(key), _OPERATORS[name]
        for row in np.flatnonzero(passed).tolist():
            passed[row] = _holds(test, name, values[row], operand)
    return passed


def _holds(test: Callable[[Any, Any], bool], name: str, value: Any, operand: Any) -> bool:
    if value is ABSENT:
        return name == "!="
    try:
        return bool(test(value, operand))
    except TypeError:  # a text against a number: the row does not match
        return False

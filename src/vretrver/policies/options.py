"""Options in a policy's name: `chat:URL#MODEL,stop=false,cache=answers` or `local:MODEL,batch=2`.

So every place that takes a policy's name takes its options: the command line, a server, an evaluation. What an option
does is its policy's matter; here its value is read as what it must be.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from vretrver.errors import InvalidInput

_OPTION = re.compile(r",([a-z_]+)=")
_YES, _NO = ("true", "yes", "on"), ("false", "no", "off")


def split_options(name: str, kinds: Mapping[str, type], optional: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
    """The name before the first `,OPTION=`, and the options behind it.

    Args:
        kinds: what there is, and what each value must be: bool, int, float or str.
        optional: those of numbers that may be `none`.

    Raises:
        InvalidInput: an unknown option (names the nearest), one that comes twice, or a value of another kind.
    """
    plain, *pairs = _OPTION.split(name)
    options: dict[str, Any] = {}
    for option, value in zip(pairs[::2], pairs[1::2], strict=True):
        if option not in kinds:
            close = difflib.get_close_matches(option, kinds, n=1, cutoff=0.5)
            meant = f"did you mean {close[0]}?" if close else f"choose from {', '.join(kinds)}"
            raise InvalidInput(f"unknown option {option!r} in the policy {plain!r}; {meant}")
        if option in options:
            raise InvalidInput(f"the option {option} comes twice in the policy {plain!r}; give it once")
        missing = option in optional and value.strip().lower() == "none"
        options[option] = None if missing else _value(option, value.strip(), kinds[option])
    return plain, options


def _value(option: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in (*_YES, *_NO):
            raise InvalidInput(f"the policy's option {option}={text!r} is neither true nor false")
        return text.lower() in _YES
    try:
        return kind(text)
    except ValueError:
        raise InvalidInput(f"the policy's option {option}={text!r} is no {_NAMES[kind]}") from None


_NAMES: Mapping[type, str] = {int: "whole number", float: "number"}

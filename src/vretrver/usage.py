"""What a ranking cost: tokens, calls, rounds, pictures, time, and money where prices are known.

Counts come from who spent them (policies report tokens, the reranker counts the rest); nothing is estimated here. None
means that nobody reported it. `to_record` and `from_record` are inverse and hold JSON values only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from vretrver.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one or more generations, as a policy reports them.

    Args:
        prompt: read, cached ones and those of pictures included.
        completion: written.
        cached: those of the prompt that were not computed anew; None when the server does not tell.
        image: those of the prompt that pictures took; None when the server does not tell.
    """

    prompt: int = 0
    completion: int = 0
    cached: int | None = None
    image: int | None = None

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    @property
    def uncached(self) -> int:
        """Prompt tokens that had to be computed; all of them when the server does not tell."""
        return self.prompt - (self.cached or 0)

    @property
    def are_counts(self) -> bool:
        """Whether the values are whole numbers of at least 0, or None where they may be: a policy's word is checked."""
        values = [self.prompt, self.completion, *(one for one in (self.cached, self.image) if one is not None)]
        return all(isinstance(one, int) and one >= 0 for one in values)

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.prompt + other.prompt,
            self.completion + other.completion,
            _sum(self.cached, other.cached),
            _sum(self.image, other.image),
        )

    def to_record(self) -> dict[str, int | None]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Tokens:
        """The inverse of `to_record`.

        Raises:
            KeyError, TypeError, ValueError: the record is not one of tokens.
        """
        cached, image = (None if record[name] is None else int(record[name]) for name in ("cached", "image"))
        return cls(int(record["prompt"]), int(record["completion"]), cached, image)


@dataclass(frozen=True, slots=True)
class Prices:
    """What tokens cost, in any currency, per million tokens.

    Args:
        prompt: read and computed.
        completion: written.
        cached: read from a server's prefix cache; as `prompt` when None.

    Raises:
        InvalidInput: a price is below 0 or not a number.
    """

    prompt: float
    completion: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            price = getattr(self, field.name)
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise InvalidInput(f"the price {field.name}={price} is not a number of at least 0")

    @classmethod
    def parse(cls, text: str) -> Prices:
        """The prices of a text such as `prompt=0.4,cached=0.1,completion=1.6`, per million tokens.

        Raises:
            InvalidInput: an unknown or missing name, one that comes twice, or a price that is no number.
        """
        prices: dict[str, float] = {}
        known = [field.name for field in fields(cls)]
        for part in text.split(","):
            name, _equals, value = (word.strip() for word in part.partition("="))
            if name not in known or name in prices:
                raise InvalidInput(f"a price is NAME=PRICE of {', '.join(known)}, each once; got {part.strip()!r}")
            try:
                prices[name] = float(value)
            except ValueError:
                raise InvalidInput(f"the price {part.strip()!r} has no number; write for example {name}=0.4") from None
        missing = [name for name in ("prompt", "completion") if name not in prices]
        if missing:
            raise InvalidInput(f"the prices {text!r} lack {missing[0]}; write for example prompt=0.4,completion=1.6")
        return cls(**prices)

    def of(self, tokens: Tokens) -> float:
        """What these tokens cost."""
        cached = self.prompt if self.cached is None else self.cached
        spent = tokens.uncached * self.prompt + (tokens.cached or 0) * cached + tokens.completion * self.completion
        return spent / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """What it cost.

    Args:
        windows: that were ranked.
        rounds: of windows that had to wait for one another; windows of one round run side by side.
        policy_calls: generations, those answered from a cache of answers included.
        tool_calls: looks, refused ones included.
        images: pictures shown, each time they were shown for the first time.
        cache_hits: generations that were taken from a cache of answers and cost nothing.
        tokens: None when no policy reported any.
        money: None when prices or tokens are not known.
        seconds: wall time.
    """

    windows: int = 0
    rounds: int = 0
    policy_calls: int = 0
    tool_calls: int = 0
    images: int = 0
    cache_hits: int = 0
    tokens: Tokens | None = None
    money: float | None = None
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(_sum(getattr(self, one.name), getattr(other, one.name)) for one in fields(self)))

    def to_record(self) -> dict[str, Any]:
        record = {one.name: getattr(self, one.name) for one in fields(self)}
        return record | {
            "tokens": None if self.tokens is None else self.tokens.to_record(),
            "seconds": round(self.seconds, 4),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Usage:
        """The inverse of `to_record`, but for seconds beyond their fourth digit.

        Raises:
            KeyError, TypeError, ValueError: the record is not one of usage.
        """
        tokens = record["tokens"]
        return cls(**{**record, "tokens": None if tokens is None else Tokens.from_record(tokens)})


def _sum(one: Any, other: Any) -> Any:
    """The sum of two costs; what nobody reported adds nothing."""
    if one is None or other is None:
        return other if one is None else one
    return one + other

"""Budgets: what one ranking may cost. When one ends, the best order so far is the answer, flagged `partial`.

Pure arithmetic on what was spent. A call that has begun is not cut short here: the reranker tells a policy how long an
answer is of use (`messages.Conversation.seconds`), and one that can give up does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from vretrver.errors import InvalidInput
from vretrver.usage import Usage


@dataclass(frozen=True, slots=True)
class Budget:
    """What one query's ranking may cost; None leaves a cost unbounded.

    Args:
        seconds: from the moment the ranking begins; no call starts later.
        calls: of the policy.
        tokens: read and written, as the policy reports them; no call starts once they are spent.
        images: pictures shown to the policy, each counted once; no window starts that would exceed them.
        money: as the prices say; no call starts once it is spent. Without prices it bounds nothing.

    Raises:
        InvalidInput: a bound is below 0 or not a number.
    """

    seconds: float | None = None
    calls: int | None = None
    tokens: int | None = None
    images: int | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            bound = getattr(self, field.name)
            if bound is not None and not (math.isfinite(bound) and bound >= 0):
                raise InvalidInput(f"the budget {field.name}={bound} is not a number of at least 0")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget of a text such as `seconds=5,tokens=20000,calls=4`.

        Raises:
            InvalidInput: an unknown cost, one that comes twice, or a bound that is no number.
        """
        bounds: dict[str, float] = {}
        known = [field.name for field in fields(cls)]
        for part in text.split(","):
            name, _equals, value = (word.strip() for word in part.partition("="))
            if name not in known or name in bounds:
                raise InvalidInput(f"a budget is NAME=BOUND of {', '.join(known)}, each once; got {part.strip()!r}")
            try:
                bounds[name] = float(value) if name in ("seconds", "money") else int(value)
            except ValueError:
                raise InvalidInput(f"the budget {part.strip()!r} has no number; write for example {name}=5") from None
        return cls(**bounds)  # type: ignore[arg-type]  # int where an int is due: see above

    def ended(self, spent: Usage, elapsed: float, coming: int = 0) -> str | None:
        """Which cost forbids another call, in words for the trace; None when it may be made.

        Args:
            spent: so far.
            elapsed: seconds since the ranking began.
            coming: pictures that the call would be the first to show.
        """
        if self.seconds is not None and elapsed >= self.seconds:
            return f"{self.seconds:g} seconds"
        if self.calls is not None and spent.policy_calls >= self.calls:
            return f"{self.calls} calls"
        if self.tokens is not None and (spent.tokens.total if spent.tokens else 0) >= self.tokens:
            return f"{self.tokens} tokens"
        if self.images is not None and spent.images + coming > self.images:
            return f"{self.images} images"
        if self.money is not None and (spent.money or 0.0) >= self.money:
            return f"{self.money:g} in money"
        return None

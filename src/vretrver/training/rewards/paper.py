"""`paper`: the reward as the paper's text gives it (section 3.4, EAPO).

    R = 0.2 format + 0.8 rank + tool
    format  1 when every turn is in form (think and a call; think and one bracketed list), else 0
    rank    exp(-(k - 1)^2 / (2 sigma^2)), sigma 1, zero beyond k = 5; k is the right candidate's place
    tool    + 0.2 when k = 1 and a tool was used; - 0.1 for each call beyond the first

What the text leaves open is read so: k counts in the list as it was written, so repeats and strangers take places and a
list need not be whole; with several right candidates the best placed counts; a refused call is a call that has its
price, and not a use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vretrver.training.rewards.answers import gaussian, in_form, place, written
from vretrver.training.rewards.judged import Judged, Score


@dataclass(frozen=True, slots=True)
class Paper:
    """Args:
    format, rank: weights. sigma: width of the Gaussian. reach: the last place that earns.
    tool: for a right answer with a tool. call: off for each call beyond the first.
    """

    name: ClassVar[str] = "paper"
    terms: ClassVar[tuple[str, ...]] = ("format", "rank", "tool", "calls")

    format: float = 0.2
    rank: float = 0.8
    sigma: float = 1.0
    reach: float = 5
    tool: float = 0.2
    call: float = 0.1

    def __call__(self, group: Sequence[Judged]) -> list[Score]:
        return [self._score(one) for one in group]

    def _score(self, one: Judged) -> Score:
        k = place(written(one.trace), one.relevant)
        used = any(turn.observation is not None and turn.observation.valid for turn in one.trace.turns)
        return Score.of(
            {
                "format": self.format * in_form(one.trace),
                "rank": self.rank * (gaussian(k, self.sigma) if k and k <= self.reach else 0.0),
                "tool": self.tool * (k == 1 and used),
                "calls": -self.call * max(0, one.trace.tool_calls - 1),
            }
        )

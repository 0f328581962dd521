"""`ours`: nothing is earned but by a whole ranking in form, a look pays where it bore on a right answer, looks cost.

    R = 0.2 format + 0.8 rank + tool + curiosity - cost - redundancy - length
    format      1 for a trajectory that counts: every turn in form, no answer or call inside a thought, the answer a
                permutation of the window, its thought not the prompt's own words; else 0
    rank        exp(-(k - 1)^2 / (2 sigma^2)), sigma 1, of a trajectory that counts; else 0
    tool        + 0.2 when k = 1 and a look bore on it
    curiosity   0.2 max(0, 0.6 - share of the group that looked), under the same condition
    cost        0.02 a look, and 0.02 for every 1,000 tokens it showed (`looks`)
    redundancy  0.05 a look that was refused, made twice, or showed nothing new; where the truth is known, one that was
                not the first to show any deciding detail
    length      0.02 for every 1,000 characters written beyond 6,000
    the last three take 0.15 at most, together

A look bears on a right answer when it was the first to show a deciding detail (of any candidate or of the query:
`filtering.sightings`), where the truth is known; elsewhere when without it the policy would have put a wrong one first
(`Judged.without`). Where neither can be said, tool and curiosity are not scored (None).

What looks may cost stays below what form earns, so whatever does not count scores less than the worst that does.
Departures from the paper: repairs earn nothing, the bonus asks what the look was for, the first call has its price too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from vretrver import protocol
from vretrver.errors import InvalidInput
from vretrver.messages import TextPart
from vretrver.trace import Trace
from vretrver.training.filtering import sightings
from vretrver.training.rewards.answers import gaussian, in_form, is_permutation, place, written
from vretrver.training.rewards.judged import Judged, Score
from vretrver.training.rewards.looks import Look, looks_of

_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_TAG = re.compile("</?(?:answer|tool_call)>")  # an answer in a thought hedges the one outside
_RUN = 4


@dataclass(frozen=True, slots=True)
class Ours:
    """Args:
    format, rank: weights. sigma: width of the Gaussian.
    tool: for a right answer on which a look bore.
    curiosity: weight, under the same condition. share: of the group that should look; below it curiosity pays.
    look: the price of any look. tokens: of every 1,000 tokens that looks showed.
    redundant: of a look that told nothing (`telling`).
    length: of every 1,000 characters written beyond `free`.
    most: what the prices may come to, together; below `format`.
    echo: a thought with this share of its four-word runs in the prompt is the prompt's, not the agent's.

    Raises:
        InvalidInput: a weight is negative or no number, sigma is 0, or `most` is not below `format`.
    """

    name: ClassVar[str] = "ours"
    terms: ClassVar[tuple[str, ...]] = ("format", "rank", "tool", "curiosity", "cost", "redundancy", "length")

    format: float = 0.2
    rank: float = 0.8
    sigma: float = 1.0
    tool: float = 0.2
    curiosity: float = 0.2
    share: float = 0.6
    look: float = 0.02
    tokens: float = 0.02
    redundant: float = 0.05
    length: float = 0.02
    free: float = 6000
    most: float = 0.15
    echo: float = 0.8

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidInput(f"the weight {one.name}={value} is not a number of at least 0")
        if self.sigma == 0:
            raise InvalidInput("sigma is 0; the Gaussian needs a width above 0, such as 1")
        if self.most >= self.format:
            raise InvalidInput(
                f"most={self.most:g} is not below format={self.format:g}; else a ranking after many looks would "
                "score no more than a transcript without a ranking"
            )

    def __call__(self, group: Sequence[Judged]) -> list[Score]:
        looking = sum(one.trace.tool_calls > 0 for one in group) / max(1, len(group))
        return [self._score(one, self.curiosity * max(0.0, self.share - looking)) for one in group]

    def _score(self, one: Judged, curiosity: float) -> Score:
        counts = self.counts(one.trace)
        k = place(written(one.trace), one.relevant) if counts else None
        looks = looks_of(one.trace)
        bore = bears(one, looks) if k == 1 else False
        paid = None if bore is None else float(bore)
        terms: dict[str, float | None] = {
            "format": self.format * counts,
            "rank": self.rank * gaussian(k, self.sigma),
            "tool": None if paid is None else self.tool * paid,
            "curiosity": None if paid is None else curiosity * paid,
        }
        return Score.of(terms | self._prices(one, looks))

    def counts(self, trace: Trace) -> bool:
        """Whether a trajectory can earn anything: in form, a permutation, thoughts without tags that are no copies."""
        plain = not any(_TAG.search(thought) for turn in trace.turns for thought in _THOUGHT.findall(turn.text))
        return plain and in_form(trace) and is_permutation(trace) and echoed(trace) < self.echo

    def _prices(self, one: Judged, looks: Sequence[Look]) -> dict[str, float]:
        characters = sum(len(turn.text) for turn in one.trace.turns)
        prices = {
            "cost": self.look * len(looks) + self.tokens * sum(look.tokens for look in looks) / 1000,
            "redundancy": self.redundant * (len(looks) - len(telling(one, looks))),
            "length": self.length * max(0.0, characters - self.free) / 1000,
        }
        total = sum(prices.values())
        held = 1.0 if total <= self.most else self.most / total
        return {name: -held * price for name, price in prices.items()}


def telling(one: Judged, looks: Sequence[Look]) -> list[int]:
    """The turns of looks that showed something new; where the truth is known, a deciding detail."""
    fresh = [look.number for look in looks if not look.redundant]
    if one.truth is None or not fresh:
        return fresh
    first_shown = sightings(one.trace, one.truth)
    return [number for number in fresh if first_shown[number]]


def bears(one: Judged, looks: Sequence[Look]) -> bool | None:
    """Whether a look bore on a right answer; None where nobody can say. Looks that showed nothing new do not."""
    numbers = telling(one, looks)
    if not numbers or one.truth is not None:
        return bool(numbers)
    if one.without is None:
        return None
    orders = [one.without(number) for number in numbers]
    if any(order is not None and order[0] not in one.relevant for order in orders):
        return True
    return None if None in orders else False


def echoed(trace: Trace) -> float:
    """The share of the last thought's four-word runs that stand in the prompt; 1 for the prompt's own example."""
    prompt = "".join(part.text for part in trace.prompt if isinstance(part, TextPart))
    thought = _THOUGHT.search(trace.turns[-1].text[: protocol.MAX_MODEL_TEXT]) if trace.turns else None
    if thought is None or thought[0] in prompt:
        return float(thought is not None)
    runs, known = _runs(thought[1]), frozenset(_runs(prompt))
    return sum(run in known for run in runs) / len(runs) if runs else 0.0


def _runs(text: str) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)]

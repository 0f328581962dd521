"""What an answer says, as it was written: a trace's own `order` is mended, and mending must not earn anything.

Read as the protocol reads: the last answer outside think. Bounded; nothing is evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

from vretrver import protocol
from vretrver.trace import StopReason, Trace
from vretrver.training.filtering import well_formed

_NUMBER = re.compile(r"-?[0-9]+")
_DIGITS = 9
STRANGER = 0
"""Stands for a number that no window is long enough for."""


def answer_of(trace: Trace) -> str | None:
    """The inside of the answer that ended the episode; None when none did."""
    if not trace.turns or trace.stop not in (StopReason.ANSWERED, StopReason.NO_ANSWER):
        return None
    return protocol.answer_in(trace.turns[-1].text)


def written(trace: Trace) -> tuple[int, ...]:
    """The numbers of the answer as they stand there, repeats and strangers too; none without an answer."""
    return numbers((answer_of(trace) or "")[: protocol.MAX_CALL])


def numbers(text: str) -> tuple[int, ...]:
    """Every whole number of a text, in order; one of more than nine digits is `STRANGER`."""
    return tuple(int(word) if len(word) <= _DIGITS else STRANGER for word in _NUMBER.findall(text))


def place(order: Sequence[int], relevant: Collection[int]) -> int | None:
    """k: the place, from 1, of the first right candidate; None when there is none."""
    return next((at for at, number in enumerate(order, start=1) if number in relevant), None)


def gaussian(k: int | None, sigma: float) -> float:
    """exp(-(k - 1)^2 / (2 sigma^2)); 0 for no place."""
    return 0.0 if k is None else math.exp(-((k - 1) ** 2) / (2 * sigma**2))


def in_form(trace: Trace) -> bool:
    """Whether every turn is a think and then one call, and the last a think and then one bracketed list of numbers."""
    if trace.stop is not StopReason.ANSWERED or not trace.turns:
        return False
    last = len(trace.turns) - 1
    return all(well_formed(turn.text, "answer" if at == last else "tool_call") for at, turn in enumerate(trace.turns))


def is_permutation(trace: Trace) -> bool:
    """Whether the answer names every candidate of the window once and nothing else: nothing had to be mended."""
    answer = answer_of(trace)
    return answer is not None and not protocol.complete(answer, len(trace.candidates))[1]

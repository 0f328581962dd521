"""`released`: the reward of the released code (chendy25/V-Retrver, verl-tool's reward manager), not the paper's.

    R = 0.3 format + 0.7 rank + curiosity - redundancy, held within [-0.5, 1.5]
    format      half when the whole transcript reads <think>...</think>...<answer>...</answer>... from its first
                character on; the other half when, besides, the answer is a bracketed list of whole numbers
    rank        exp(-(k - 1)^2 / (2 sigma^2)), sigma 1, no cut
    curiosity   0.6 max(0, 0.6 - share of the group with a valid call), for who made one, right or wrong
    redundancy  0.05 for each valid call beyond the first

Its quirks, on purpose:

- Transcript means all that was said after the prompt, the tools' words too. The answer is the **first** `<answer>` of
  it, wherever it stands: inside think, or in a turn that then calls a tool.
- k counts in the list **as written**: [3], [3, 3, 3] and [3, 99, -4] have k = 1 for candidate 3. No permutation is
  asked for, and an answer outside the tags' order still earns its rank.
- What is no bracketed list of whole numbers is read as the digits in it, signs dropped: a bare "3" earns its rank and
  half the format, .85; "[1.5, 2]" reads 1, 5, 2.

Refused: its `eval` of what stands in brackets. Where the code would run an expression ("[1+1]", "[*range(1, 6)]",
"[0x1]") nothing is read and nothing ranked, as where its `eval` fails. A number of more than nine digits is a stranger,
and of an answer the first 10,000 characters count. `accuracy` (R > 0.6), which it reports on validation, is no term.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vretrver import protocol
from vretrver.messages import TextPart
from vretrver.trace import Trace
from vretrver.training.rewards.answers import gaussian, numbers, place
from vretrver.training.rewards.judged import Judged, Score

_WHOLE = re.compile(r"\s*[+-]?(?:0|[1-9][0-9]*)\s*")
_NAMES = re.compile("true|false|null|NaN|Infinity")  # values to JSON, unknown names to Python


@dataclass(frozen=True, slots=True)
class Released:
    """Args:
    format, rank: weights. sigma: width of the Gaussian.
    curiosity: weight. share: of the group that should use tools; below it curiosity pays.
    call: off for each valid call beyond the first. least, most: bounds of the total.
    """

    name: ClassVar[str] = "released"
    terms: ClassVar[tuple[str, ...]] = ("format", "rank", "curiosity", "redundancy")

    format: float = 0.3
    rank: float = 0.7
    sigma: float = 1.0
    curiosity: float = 0.6
    share: float = 0.6
    call: float = 0.05
    least: float = -0.5
    most: float = 1.5

    def __call__(self, group: Sequence[Judged]) -> list[Score]:
        users = sum(valid_calls(one.trace) > 0 for one in group) / max(1, len(group))
        return [self._score(one, self.curiosity * max(0.0, self.share - users)) for one in group]

    def _score(self, one: Judged, curiosity: float) -> Score:
        transcript, calls = said(one.trace), valid_calls(one.trace)
        order, listed = read(transcript)
        tags = 0.5 if _tagged(transcript) else 0.0
        terms: dict[str, float | None] = {
            "format": self.format * (tags + (0.5 if tags and listed else 0.0)),
            "rank": self.rank * gaussian(place(order, one.relevant), self.sigma),
            "curiosity": curiosity if calls else 0.0,
            "redundancy": -self.call * max(0, calls - 1),
        }
        return Score.of(terms, self.least, self.most)


def valid_calls(trace: Trace) -> int:
    """Calls that a tool answered without refusing."""
    return sum(turn.observation is not None and turn.observation.valid for turn in trace.turns)


def said(trace: Trace) -> str:
    """Everything after the prompt as one text, tools' words included: what the released code decodes and searches."""
    pieces = []
    for turn in trace.turns:
        pieces.append(turn.text)
        if turn.observation is not None:
            pieces += [part.text for part in turn.observation.parts if isinstance(part, TextPart)]
    return "\n".join(pieces)


def read(transcript: str) -> tuple[tuple[int, ...], bool]:
    """The numbers of the first answer as the released code takes them, and whether they stood as a bracketed list."""
    answer = _first_answer(transcript)
    if answer is None:
        return (), False
    answer = answer[: protocol.MAX_CALL].strip()
    bracketed = answer.startswith("[") and answer.endswith("]")
    if bracketed and _all_whole(answer[1:-1]):
        return numbers(answer), True
    if bracketed and not _is_list(answer):
        return (), False  # it would be run as Python
    return numbers(answer.replace("-", " ")), False


def _all_whole(inside: str) -> bool:
    words = inside.split(",")
    return all(map(_WHOLE.fullmatch, words[:-1] if not words[-1].strip() else words))


def _is_list(answer: str) -> bool:
    """Whether it is a list of plain values, which the released code's `eval` would give back as it stands."""
    try:
        return _NAMES.search(answer) is None and isinstance(json.loads(answer), list)
    except (ValueError, RecursionError):
        return False


def _first_answer(text: str) -> str | None:
    opened = text.find("<answer>")
    closed = text.find("</answer>", opened + len("<answer>")) if opened >= 0 else -1
    return None if closed < 0 else text[opened + len("<answer>") : closed]


def _tagged(text: str) -> bool:
    if not text.startswith("<think>"):
        return False
    thought = text.find("</think>")
    return thought >= 0 and _first_answer(text[thought + len("</think>") :]) is not None

"""InfoSeek's marks, as its official evaluation (edchengg/infoseek_eval) gives them.

Strings and times match exactly after SQuAD's normalisation. The paper would take a year off by one; the script, whose
`answer_eval` lists what it takes, does not, and is followed. Of a number the first two that are written count: one must
lie in the accepted range, two are a range that must lie in it or overlap it by half.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_NUMBER = re.compile(r"[-+]?\.?\d+(?:,\d{3})*\.?\d*(?:[eE][-+]?\d+)?")
_DASH = re.compile(r"(?<=\d)-")
_TINY = 1e-12


def text_accuracy(answer: str, accepted: Sequence[str]) -> float:
    """1 where the answer is one of those accepted, after `normalised`."""
    return float(normalised(answer) in {normalised(one) for one in accepted})


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, blanks made single."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def number_accuracy(answer: str, span: tuple[float, float]) -> float:
    """1 where the number, or the range of two, that an answer writes is right.

    An answer without any number counts as the range from 0 to 0, as in the script.
    """
    low, high = span
    first, second = _written(answer)
    if second is None:
        return float(low <= first <= high)
    if low <= first <= high and low <= second <= high:
        return 1.0
    overlap = max(0.0, min(second, high) - max(first, low))
    union = (second - first + _TINY) + (max(span) - min(span) + _TINY) - overlap
    return float(union != 0 and overlap / union >= 0.5 - _TINY)


def harmonic_mean(*values: float) -> float:
    """len / sum(1 / value), where 0 counts as 1e-12."""
    return len(values) / sum(1 / (value or _TINY) for value in values)


def _written(answer: str) -> tuple[float, float | None]:
    """The number an answer writes, or the two ends of a range; falling ends leave the first alone."""
    found = [_value(one[0]) for one in _NUMBER.finditer(_DASH.sub(" - ", answer))][:2]
    if not found:
        return 0.0, 0.0
    if len(found) == 2 and found[0] <= found[1]:
        return found[0], found[1]
    return found[0], None


def _value(digits: str) -> float:
    """A number as the script reads it: it drops a leading point, so `.5` is 5."""
    return float(digits.replace(",", "").strip("."))

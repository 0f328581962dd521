"""Encyclopedic-VQA's exact match, as its evaluation_utils.py (google-research/encyclopedic_vqa) computes it.

The published score goes on: what does not match exactly is given to BEM, a BERT model in TensorFlow that judges whether
two answers mean the same. It is left out here, so the accuracy is a lower bound of the published one.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from vretrver.evaluation.marking.contractions import CONTRACTIONS
from vretrver.evaluation.marking.vqa import NUMBERS

OVERLAP = 0.5
_PUNCTUATION = str.maketrans("", "", string.punctuation + "\u2018\u2019\u00b4")
_FILLER = re.compile(r"\b(?:the answer is|a|an|the)\b")
_WORDS = NUMBERS | {"entailment": "yes", "true": "yes", "contradiction": "no", "false": "no"}
_SPAN_MARK = "<extra_id_0> "  # T5 writes it before an answer


def accuracy(answer: str, accepted: Sequence[str], *, listed: bool) -> float:
    """1 where the answer matches one of those accepted.

    Args:
        accepted: each an answer, or a list whose entries are joined by `&&`.
        listed: whether lists are compared: an answer's entries stand between commas, `and` or `&`, and must be half
            of all that either names.
    """
    return float(any(_same_list(answer, one) if listed else _same(answer, one) for one in accepted))


def normalised(answer: str) -> str:
    """Lower case without punctuation and articles, number words as digits, true and false as yes and no."""
    said = answer.lower().replace("\n", " ").replace("\t", " ").strip()
    if said.startswith(_SPAN_MARK):
        said = said.replace(_SPAN_MARK, "")
    words = [_WORDS.get(word, word) for word in _FILLER.sub(" ", said.translate(_PUNCTUATION)).split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words)


def _same(answer: str, accepted: str) -> bool:
    right = normalised(accepted)
    return bool(right) and normalised(answer) == right


def _same_list(answer: str, accepted: str) -> bool:
    said = _entries(answer.replace(" and ", ",").replace(" & ", ",").split(","))
    right = _entries(accepted.split("&&"))
    return bool(right) and len(said & right) / len(said | right) >= OVERLAP


def _entries(parts: Sequence[str]) -> set[str]:
    return {one for one in map(normalised, parts) if one}

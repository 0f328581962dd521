"""VQA's soft accuracy and its normalisation, as the official evaluation (GT-Vision-Lab/VQA, vqaEval.py) computes them.

Antol et al., ICCV 2015; Goyal et al., CVPR 2017. Two versions of the script are in use. This is the later one, which
RA-VQA and lmms-eval ship: answers are normalised on both sides only where the annotators do not all say the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vretrver.evaluation.marking.contractions import CONTRACTIONS

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32  # the script hands re.UNICODE where `sub` takes a count
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(number) for number, word in enumerate(_COUNTED)} | {"none": "0"}
_ARTICLES = frozenset({"a", "an", "the"})


def accuracy(answer: str, annotators: Sequence[str]) -> float:
    """The mean over annotators i of min(1, how many of the others gave this answer / 3).

    Args:
        annotators: one answer each, ten in VQA and OK-VQA; at least one.
    """
    said, given = _plain(answer), [_plain(one) for one in annotators]
    if len(set(given)) > 1:
        said, given = normalised(said), [normalised(one) for one in given]
    same = sum(one == said for one in given)
    return sum(min(1.0, (same - (one == said)) / 3) for one in given) / len(given)


def submitted(answer: str) -> str:
    """An answer in the form in which annotators' answers are stored: lower case, no period at the end.

    Where all annotators agree the script compares as written, and a model's capital letter would be an error.
    """
    return _plain(answer).lower().removesuffix(".")


def normalised(answer: str) -> str:
    """Without punctuation and articles, in lower case, number words as digits, contractions with their apostrophes.

    A mark of punctuation vanishes where the answer has it beside a blank anywhere, or has a comma between digits;
    otherwise it becomes a blank. A period stays before a digit. Colons and apostrophes stay.
    """
    words = [NUMBERS.get(word, word) for word in _without_punctuation(answer).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(answer: str) -> str:
    numeric = _COMMA_IN_NUMBER.search(answer) is not None
    kept = answer
    for mark in _PUNCTUATION:
        if mark in answer:
            beside_blank = f"{mark} " in answer or f" {mark}" in answer
            kept = kept.replace(mark, "" if numeric or beside_blank else " ")
    return _PERIOD.sub("", kept, count=_MOST_PERIODS)


def _plain(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()

"""Pseudo-relevance: a passage that contains an answer is taken for one that answers.

Luo et al. (EMNLP 2021) measure OK-VQA's retrieval so, then RA-VQA (Lin and Byrne, EMNLP 2022: PRRecall@K), FLMR
(NeurIPS 2023) and PreFLMR (ACL 2024: Pseudo Recall@K): an answer in lower case is a substring of the passage in lower
case. "art" is in "start", so the measure is lenient. Qu et al. (SIGIR 2021) ask for whole words; both are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from vretrver.types import Document

PART, WHOLE = 1, 2
"""A substring; a substring that is not cut out of a longer word."""


def bearing(document: Document, sought: Iterable[str]) -> int:
    """`WHOLE` or `PART` where a document's text, or what is printed on it, contains one of the answers; else 0."""
    passage = "\n".join(text for text in (document.text, document.printed) if text).lower()
    inside = [one for one in (answer.strip().lower() for answer in sought) if one and one in passage]
    if not inside:
        return 0
    return WHOLE if any(_whole(one).search(passage) for one in inside) else PART


@lru_cache(maxsize=4096)
def _whole(answer: str) -> re.Pattern[str]:
    """An answer between characters that are no part of words; answers may begin and end with signs."""
    return re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)")

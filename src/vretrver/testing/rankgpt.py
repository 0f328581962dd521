"""RankGPT's listwise prompt, which other rerankers send, read and answered by the fake model.

One passage a turn, "[3] text", between "I will provide you with ..." and "Search Query: ..."; the answer is
"[3] > [1] > [2]" (Sun et al., EMNLP 2023). Text only, no tools. Written from what clients send, for tests and
measurements beside them; `vretrver` itself never speaks it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ASKED = re.compile(r"Search Query: (.*?)\. ?\nRank the \d+ passages above\b.*\[\] > \[\]", re.DOTALL)
_PASSAGE = re.compile(r"\[(\d+)\] (.*)", re.DOTALL)


def window(said: Sequence[str]) -> tuple[str, list[str]] | None:
    """The query and the passages in order.

    Args:
        said: the texts of the user's messages.

    Returns:
        None where this is no such prompt, or passages are not numbered 1, 2, 3, ...
    """
    asked = _ASKED.match(said[-1]) if said else None
    if asked is None:
        return None
    found = [match for text in said[:-1] if (match := _PASSAGE.fullmatch(text))]
    if [int(match[1]) for match in found] != list(range(1, len(found) + 1)):
        return None
    return asked[1], [match[2] for match in found]


def render(order: Sequence[int]) -> str:
    """`order` holds 0-based positions, best first."""
    return " > ".join(f"[{position + 1}]" for position in order)

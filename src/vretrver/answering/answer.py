"""What an answer is: its text, what it cites, the ranking its sources are from, and what all of it cost."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from vretrver.trace import Ranking
from vretrver.types import Box
from vretrver.usage import Usage

_MARK = re.compile(r"\[\d{1,4}\]")
_BEFORE_SIGN = re.compile(r" ([.,;:!?])")


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that an answer rests on.

    Args:
        source: its number in the answer's text: the rank of the ranking's result.
        id: the document's.
        box: the part of its picture that shows it, in pixels of the original; None for the whole source.
        quote: the words of its text or of the words printed on it, as the model wrote them; they do stand there.
    """

    source: int
    id: str
    box: Box | None = None
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question.

    Args:
        text: with `[n]` where source n is cited; empty when there is no answer.
        citations: in the order of the text, each once.
        ranking: whose results are the sources.
        usage: the cost of all of it, the ranking's included.
        no_answer: the sources do not answer the question, or nothing was found.
        repairs: what was dropped or mended in the model's citations, and which pictures could not be shown.
        error: why there is neither an answer nor a `no_answer`: the model failed, or a budget had ended.
    """

    text: str
    citations: tuple[Citation, ...]
    ranking: Ranking
    usage: Usage = field(default_factory=Usage)
    no_answer: bool = False
    repairs: tuple[str, ...] = ()
    error: str | None = None

    @property
    def words(self) -> str:
        """The text without its marks of citations."""
        return _BEFORE_SIGN.sub(r"\1", " ".join(_MARK.sub(" ", self.text).split()))

    @property
    def uncited(self) -> bool:
        """Whether it says something and names no source for it: such an answer is the model's own word."""
        return bool(self.text) and not self.citations

    def to_json(self) -> dict[str, Any]:
        """The object that `vretrver ask --json` prints."""
        results = self.ranking.results
        return {
            "answer": self.text,
            "no_answer": self.no_answer,
            "uncited": self.uncited,
            "citations": [
                {
                    "source": one.source,
                    "id": one.id,
                    "path": image.path if (image := results[one.source - 1].document.image) else None,
                    "box": list(one.box) if one.box else None,
                    "quote": one.quote,
                }
                for one in self.citations
            ],
            "repairs": list(self.repairs),
            "error": self.error,
            "usage": self.usage.to_record(),
            "ranking": self.ranking.to_json(),
        }

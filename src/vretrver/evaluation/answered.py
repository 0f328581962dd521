"""What was answered to one topic's question, and how right it is; JSON values only, as `Outcome` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vretrver.usage import Usage


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer and its mark.

    Args:
        text: without marks of citations; empty when there is no answer.
        score: 0..1 by the benchmark's rule (`marking.mark`); None where the right answers are not public.
        cited: ids of the documents it cites, in the order of the text, each once.
        borne_out: whether one of them contains a right answer (`marking.contains`).
        no_answer: the model said that the sources hold none.
        error: why there is neither an answer nor a `no_answer`.
        repairs: how many of its citations were mended or dropped.
        usage: what the answer cost, without its seconds and without the ranking.
        seconds: measured; kept out of metrics.json.
    """

    text: str
    score: float | None
    cited: tuple[str, ...] = ()
    borne_out: bool = False
    no_answer: bool = False
    error: str | None = None
    repairs: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def accuracy(self) -> float | None:
        return self.score

    @property
    def grounded(self) -> float | None:
        """The score where a cited source contains an answer, else 0."""
        return None if self.score is None else self.score if self.borne_out else 0.0

    def to_record(self) -> dict[str, Any]:
        return asdict(self) | {"usage": self.usage.to_record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Answered:
        """The inverse of `to_record`, through JSON too.

        Raises:
            KeyError, TypeError, ValueError: the record is not one of an answer.
        """
        values = {one.name: record[one.name] for one in fields(cls)}
        return cls(**values | {"cited": tuple(values["cited"]), "usage": Usage.from_record(values["usage"])})

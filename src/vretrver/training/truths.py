"""What is true of a window of the small-detail world, in words: what its oracle says, and what a filter holds texts to.

    world = World.of(task)                      # reads the folder's topics.jsonl and truth.jsonl
    question = world.question(trace.candidates)
    question.wanted, question.values            # the right detail; each candidate's, by document id

It leaves out how a trajectory is told (`teachers`) and what is dropped (`filtering`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from vretrver.datasets import Task
from vretrver.errors import InvalidInput, RecordError
from vretrver.messages import View
from vretrver.types import Box
from vretrver.world import Truth, topics, truth
from vretrver.world.icons import spoken
from vretrver.world.wording import plural, with_article

COVERED = 0.9
LEGIBLE = 0.5
"""A look shows the detail when it covers so much of it, at so many shown pixels per pixel of the original or more: at
half size (640 pixels of 1280) an oracle tells .98 of details apart, at 336 pixels .70 (docs/world.md)."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True)
class Question:
    """One topic of the world.

    Args:
        topic: its id. kind, modality, text: as `vretrver.world.Group` has them.
        subject: the mark that `where`, `count` and `colour` ask about, an icon's name; None for the others.
        wanted: the right candidate's detail.
        relevant: the right candidate's document id.
        values: each candidate's detail, by document id.
        pictures: the truth about each candidate's picture, by document id; empty for texts.
        query: the truth about the query's picture.
    """

    topic: str
    kind: str
    modality: str
    text: str | None
    subject: str | None
    wanted: str
    relevant: str
    values: Mapping[str, str]
    pictures: Mapping[str, Truth]
    query: Truth | None

    def said(self, value: str) -> str:
        """A detail in words: "three keys", "the key at the top left", "the key in blue", "a key", "the print 'B7'"."""
        return _SAID[self.kind].format(**self._words(value))

    def named_in(self, sentence: str) -> str | None:
        """The detail that a sentence names first, of those that the question's pictures have; None when it names none.

        Of two that begin at one place the longer counts ("star of David" against "star"). A colour counts only where
        the mark that has it is named too: the thing that carries the tag is coloured as well.
        """
        if self.kind == "colour" and spoken(str(self.subject)).lower() not in sentence.lower():
            return None
        found = [
            (match.start(), -len(match.group()), value)
            for value, pattern in self._patterns.items()
            if (match := pattern.search(sentence))
        ]
        return min(found)[2] if found else None

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        there = {*self.values.values()} | ({self.query.value} if self.query else set())
        return {value: self._pattern(value) for value in sorted(there)}

    def _pattern(self, value: str) -> re.Pattern[str]:
        words = self._words(value)
        match self.kind:
            case "print":
                return re.compile(rf"(?<![\w.$]){re.escape(value)}(?!\w)")
            case "count":
                number = f"(?:{words['number']}|{value})"
                return re.compile(rf"\b{number} (?:\w+ )?{re.escape(words['counted'])}\b", re.IGNORECASE)
            case _:
                return re.compile(rf"\b{re.escape(words['value'])}\b", re.IGNORECASE)

    def _words(self, value: str) -> dict[str, str]:
        subject = spoken(self.subject) if self.subject else ""
        words = {"value": value, "subject": subject}
        if self.kind == "which":
            return words | {"value": spoken(value), "a_value": with_article(spoken(value))}
        if self.kind == "count":
            counted = subject if value == "1" else plural(subject)
            return words | {"number": _NUMBERS[int(value)], "counted": counted}
        return words


_SAID = {
    "which": "{a_value}",
    "where": "the {subject} at the {value}",
    "count": "{number} {counted}",
    "colour": "the {subject} in {value}",
    "print": "the print '{value}'",
}


class World:
    """The truth about a task of the world.

    Args:
        records: its questions, as `vretrver.world.topics` gives them. known: the truth by file name.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]], known: Mapping[str, Truth]) -> None:
        self._records = {record["id"]: record for record in records}
        self._known = known

    @classmethod
    def of(cls, task: Task) -> World:
        """The truth of a task made by `vretrver.datasets.world`.

        Raises:
            InvalidInput: it is another task.
            MissingPath, RecordError: its folder does not hold what it should.
        """
        if task.name != "world" or task.root is None:
            raise InvalidInput(f"only the small-detail world's truth is known, not that of {task.name}; take world")
        return cls(topics(task.root), truth(task.root))

    def question(self, documents: Iterable[str]) -> Question:
        """The question to which these document ids are candidates.

        Raises:
            InvalidInput: they are no candidates of one question of this world.
            RecordError: the question lacks something, or a picture of it has no truth.
        """
        ids = list(documents)
        names = {name.rpartition("-c")[0] for name in ids}
        if len(names) != 1 or names - self._records.keys():
            raise InvalidInput(f"these are no candidates of one question of this world: {', '.join(ids[:4])}")
        name = names.pop()
        try:
            return self._question(name)
        except (KeyError, IndexError, TypeError, ValueError) as fault:
            raise RecordError(f"the world's question {name} is not whole: {type(fault).__name__}: {fault}") from fault

    @cache  # noqa: B019  # lives as long as its world, a few kB a question
    def _question(self, name: str) -> Question:
        record = self._records[name]
        known = self._known
        values, shown, answer = record["values"], record["candidates"], record["answer"]
        ids = [f"{name}-c{at}" for at in range(len(values))]
        files = [] if record["modality"] == "i->t" else [known[file] for file in shown]
        query = known[record["picture"]] if record["picture"] else None
        some = query or files[0]
        return Question(
            name,
            record["kind"],
            record["modality"],
            record["text"],
            some.subject,
            values[answer],
            ids[answer],
            dict(zip(ids, values, strict=True)),
            dict(zip(ids, files, strict=False)),
            query,
        )


def shows(view: View, known: Truth) -> bool:
    """Whether a view of a picture lets its deciding detail be seen: nearly all of it, large enough."""
    box = view.box or (0, 0, *known.size)
    scale = min(view.width / (box[2] - box[0]), view.height / (box[3] - box[1]))
    return scale >= LEGIBLE and overlap(box, known.detail) >= COVERED


def overlap(box: Box, detail: Box) -> float:
    """How much of `detail` lies in `box`, 0..1."""
    across = max(0, min(box[2], detail[2]) - max(box[0], detail[0]))
    down = max(0, min(box[3], detail[3]) - max(box[1], detail[1]))
    return across * down / ((detail[2] - detail[0]) * (detail[3] - detail[1]))

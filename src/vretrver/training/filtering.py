"""Which trajectories are fit to be learned from, and why the others are not (paper, section 3.4: rule filtering).

Rules on a trace alone: nothing is generated, no picture is opened. Where the truth is known (the small-detail world)
the words are held to it: a detail may be named only when it is right and a look has shown it. Elsewhere a candidate or
image may be named only if there is one. Reading words is heuristic: a sentence that names one candidate and a detail of
the question is taken to say that the candidate has it; what says it otherwise goes unread.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from vretrver.episode import AGAIN
from vretrver.messages import ImagePart, TextPart
from vretrver.notes import numbers_named, sentences_of
from vretrver.trace import StopReason, Trace
from vretrver.training.truths import Question, overlap, shows
from vretrver.types import Box

REASONS: Mapping[str, str] = {
    "no answer": "it ended without a ranking",
    "format": "a turn is not <think>...</think> and then one call or one list, or something had to be repaired",
    "calls": "a call was refused or made twice",
    "looks": "fewer looks than asked for",
    "nothing right": "the window holds no right candidate",
    "ranking": "the right candidates do not come first",
    "stranger": "it names a candidate or an image that is not there",
    "beside": "a crop misses the detail that decides",
    "unseen": "it names a detail that no look has shown yet",
    "false": "it names a detail that is not what the picture has",
    "unsettled": "what was shown does not settle the question",
}
BESIDE = 0.5
"""A crop that holds less than this share of the deciding detail misses it."""
_TURN = re.compile(r"\s*<think>(?:(?!</?think>).)+</think>\s*<(tool_call|answer)>(.*)</\1>\s*", re.DOTALL)
_LIST = re.compile(r"\s*\[\s*[0-9]+(?:\s*,\s*[0-9]+)*\s*\]\s*")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a trajectory must keep to.

    Args:
        ranking: `first`: a right candidate is ranked first; `all`: every right one before every other.
        looks: at least so many valid calls.
        evidence: whether words and looks are checked; False for a control that does not look.
    """

    ranking: Literal["first", "all"] = "first"
    looks: int = 0
    evidence: bool = True

    def faults(self, trace: Trace, relevant: Collection[str], question: Question | None = None) -> tuple[str, ...]:
        """The reasons of `REASONS` that speak against a trace, in their order; none for one that is fit.

        Args:
            relevant: ids of the documents that answer.
            question: the truth about the window, where it is known.
        """
        found = {*_form(trace), *self._outcome(trace, relevant)}
        if self.evidence:
            found |= set(_strangers(trace) if question is None else (*_strangers(trace), *_untrue(trace, question)))
        return tuple(reason for reason in REASONS if reason in found)

    def _outcome(self, trace: Trace, relevant: Collection[str]) -> Iterator[str]:
        if sum(turn.observation is not None and turn.observation.valid for turn in trace.turns) < self.looks:
            yield "looks"
        right = [trace.candidates[position] in relevant for position in trace.order]
        if not any(right):
            yield "nothing right"
        elif not right[0] or (self.ranking == "all" and not all(right[: sum(right)])):
            yield "ranking"


def counts(faults: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """How many trajectories were kept, and how many dropped for which reason: the first that speaks against each."""
    found = Counter(reasons[0] if reasons else "kept" for reasons in faults)
    return {name: found[name] for name in ("kept", *REASONS) if found[name]}


def sightings(trace: Trace, question: Question) -> list[frozenset[int]]:
    """For each turn, whose deciding detail its look was the first to show: candidates' numbers from 1, 0 for the query.

    Shown means what `truths.shows` means: nearly all of the detail, large enough; the opening may have done so already.
    """
    sight, found = _Sight(trace, question), []
    for turn in trace.turns:
        before = frozenset(sight.seen)
        if turn.observation is not None:
            list(sight.shown(part for part in turn.observation.parts if isinstance(part, ImagePart)))
        found.append(frozenset(sight.seen) - before)
    return found


def _form(trace: Trace) -> Iterator[str]:
    if trace.stop is not StopReason.ANSWERED:
        yield "no answer"
    if trace.repairs or trace.error or not trace.turns or not all(well_formed(*turn) for turn in _kinds(trace)):
        yield "format"
    for turn in trace.turns[:-1]:
        seen = turn.observation
        if seen is None or not seen.valid or seen.parts[:1] == (TextPart(AGAIN),):
            yield "calls"


def _kinds(trace: Trace) -> list[tuple[str, str]]:
    """Each turn's text, and the block that it must end in."""
    last = len(trace.turns) - 1
    return [(turn.text, "answer" if at == last else "tool_call") for at, turn in enumerate(trace.turns)]


def well_formed(text: str, kind: str) -> bool:
    """Whether a turn is one think that says something, and then one block of a kind: `tool_call`, or `answer` with one
    bracketed list of numbers in it."""
    found = _TURN.fullmatch(text)
    if found is None or found[1] != kind or "<tool_call>" in found[2] or "<answer>" in found[2]:
        return False
    return kind == "tool_call" or _LIST.fullmatch(found[2]) is not None


def _strangers(trace: Trace) -> Iterator[str]:
    shown = {part.index for part in (*trace.prompt, *_looks(trace)) if isinstance(part, ImagePart)}
    there = set(range(1, len(trace.candidates) + 1))
    for turn in trace.turns:
        for sentence in sentences_of(turn.text):
            candidates, images = numbers_named(sentence)
            if candidates - there or images - shown:
                yield "stranger"


def _looks(trace: Trace) -> list[ImagePart]:
    seen = [turn.observation for turn in trace.turns if turn.observation is not None]
    return [part for observation in seen for part in observation.parts if isinstance(part, ImagePart)]


def _untrue(trace: Trace, question: Question) -> Iterator[str]:
    """What the truth has against a trace: looks beside, details that are false or came too early, a bold ranking."""
    sight = _Sight(trace, question)
    for turn in trace.turns:
        yield from sight.said(turn.text)
        if turn.observation is not None:
            yield from sight.shown(part for part in turn.observation.parts if isinstance(part, ImagePart))
    if not sight.settles(trace.order[0] + 1):
        yield "unsettled"


class _Sight:
    """What has been shown so far of the details: numbers of candidates from 1, and 0 for the query."""

    def __init__(self, trace: Trace, question: Question) -> None:
        self._question = question
        self._truths = {at: question.pictures.get(name) for at, name in enumerate(trace.candidates, start=1)}
        self._truths[0] = question.query
        self._values = {at: question.values.get(name) for at, name in enumerate(trace.candidates, start=1)}
        self._values[0] = question.query.value if question.query else None
        # Texts have no picture; they are read where they stand.
        self.seen = {at for at, known in self._truths.items() if known is None and at > 0}
        opening = [part for part in trace.prompt if isinstance(part, ImagePart)]
        pictures = [at for at, known in sorted(self._truths.items()) if known is not None and at > 0]
        numbered = sorted(part.index for part in opening if part.index > 0)
        # A picture that could not be read has no number; then which is which is not known here.
        self._place = dict(zip(numbered, pictures, strict=True)) if len(numbered) == len(pictures) else {}
        self._place[0] = 0
        list(self.shown(opening))

    def shown(self, parts: Iterable[ImagePart]) -> Iterator[str]:
        for part in parts:
            at = self._place.get(part.index)
            known = None if at is None else self._truths[at]
            if at is None or known is None:
                continue
            if part.view.box is not None and _misses(part.view.box, known.detail):
                yield "beside"
            if shows(part.view, known):
                self.seen.add(at)

    def said(self, text: str) -> Iterator[str]:
        for sentence in sentences_of(text):
            candidates, images = numbers_named(sentence)
            spoken_of = candidates or images & {0}
            detail = self._question.named_in(sentence) if len(spoken_of) == 1 else None
            (at,) = spoken_of if len(spoken_of) == 1 else (-1,)
            if detail is None or self._values.get(at) is None:
                continue
            if detail != self._values[at]:
                yield "false"
            elif at not in self.seen:
                yield "unseen"

    def settles(self, first: int) -> bool:
        """Whether it is known who is right: the first was seen, or all others; and the query, where it decides."""
        others = set(self._values) - {0, first}
        query = self._question.modality not in ("i->i", "i->t") or 0 in self.seen
        return query and (first in self.seen or others <= self.seen)


def _misses(box: Box, detail: Box) -> bool:
    return overlap(box, detail) < BESIDE

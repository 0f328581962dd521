"""Which of the agent's words speak of which candidate. Text in, short notes out; what was looked at is `episode`."""

from __future__ import annotations

import re

MAX_NOTE = 400
_BLOCK = re.compile(r"<(tool_call|answer)>.*?(?:</\1>|\Z)", re.DOTALL)
_TAG = re.compile(r"</?think>")
_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_NUMBERED = re.compile(r"\(([0-9]{1,3})\)|\bcandidates?\s+([0-9(][0-9 ,&()and]{0,60})", re.IGNORECASE)
_IMAGES = re.compile(r"\bimages?\s+([0-9(][0-9 ,&()and]{0,60})", re.IGNORECASE)


def note_of(words: str, candidate: int, image: int) -> str:
    """What the agent said of a candidate: the sentences that name it, else all of it, cut to 400 characters.

    Args:
        words: model text after a look; calls and answers are left out.
        candidate: its number in the window, from 1: "(3)", "candidate 3", "candidates 3 and 5".
        image: its picture's number: "image 2".
    """
    # An agent often repeats itself from turn to turn; the note says it once.
    sentences = list(dict.fromkeys(sentences_of(words)))
    named = [sentence for sentence in sentences if _names(sentence, candidate, image)]
    return _cut(" ".join(named or sentences))


def sentences_of(words: str) -> list[str]:
    """Model text without calls and answers, cut into sentences; none is blank."""
    sentences = (" ".join(sentence.split()) for sentence in _END.split(_TAG.sub(" ", _BLOCK.sub(" ", words))))
    return [sentence for sentence in sentences if sentence]


def numbers_named(sentence: str) -> tuple[set[int], set[int]]:
    """The numbers of the candidates and of the images that a sentence names, from 1 and from 0."""
    groups = [one or many for one, many in _NUMBERED.findall(sentence)]
    return _numbers(groups), _numbers(_IMAGES.findall(sentence))


def _names(sentence: str, candidate: int, image: int) -> bool:
    candidates, images = numbers_named(sentence)
    return candidate in candidates or image in images


def _numbers(texts: list[str]) -> set[int]:
    return {int(number) for text in texts for number in re.findall(r"[0-9]{1,3}", text)}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_NOTE else text[: MAX_NOTE - 1].rstrip() + "\u2026"

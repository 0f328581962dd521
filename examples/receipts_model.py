"""A stand-in for a multimodal model, so that `ask.py` runs without one: it sees only what a model would be sent.

`answer` is what `vretrver.testing.FakeEndpoint` calls for each request. It reads the pictures of the request with the
optical reader, follows rules for three kinds of questions, and writes what the prompt asks for: an answer that cites
sources and boxes. It understands nothing else and says `none`. Nobody should take its answers for a model's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receipts_facts import money
from receipts_reading import Detail, Met, amounts, days, met_on, numbers, wanted

from vretrver.images import image_size, open_image
from vretrver.ocr import TRUSTED, Line, Reads
from vretrver.testing import Reading
from vretrver.types import ImageRef

_SOURCE = re.compile(r"\n\[(\d+)\] ?$")
_SIGNS = {"£": "pound", "$": "dollar", "EUR": "euro", "kr": "krona"}


@dataclass(frozen=True, slots=True)
class Source:
    """A picture as it was sent, read: its number, its lines, and its size in pixels."""

    number: int
    lines: Sequence[Line]
    size: tuple[int, int]

    def cite(self, line: Line) -> str:
        """A citation of a line's place, in thousandths of the picture."""
        sides = (self.size[0], self.size[1], self.size[0], self.size[1])
        thousandths = (round(1000 * at / side) for at, side in zip(line.box, sides, strict=True))
        return f"[{self.number}: {','.join(map(str, thousandths))}]"


class Model:
    """Answers requests. `reader` reads the pictures that come with them."""

    def __init__(self, reader: Reads) -> None:
        self._reader = reader

    def answer(self, reading: Reading) -> str | None:
        """What a model might write; None for a request that is no question over sources."""
        question, pictures = _taken_apart(reading)
        if question is None:
            return None
        details = wanted(question)
        sources = [self._read(number, data) for number, data in pictures.items()]
        right = [(source, met) for source in sources if len(met := _sure(source, details)) == len(details)]
        if not details or not right:
            return "<think>No source shows all of what is asked for.</think><answer>none</answer>"
        think = f"{len(right)} of {len(sources)} sources show it."
        return f"<think>{think}</think><answer>{_written(question, right)}</answer>"

    def _read(self, number: int, data: bytes) -> Source:
        image = ImageRef(data=data)
        lines = [line for line in self._reader.read(open_image(image)) if line.score >= TRUSTED]
        return Source(number, lines, image_size(image))


def _taken_apart(reading: Reading) -> tuple[str | None, Mapping[int, bytes]]:
    """The question, and the picture of each numbered source; (None, ...) for another kind of request."""
    parts = next((parts for role, parts in reversed(reading.messages) if role == "user"), [])
    said, pictures = "", {}
    for part in parts:
        if isinstance(part, str):
            said += part
        elif number := _SOURCE.search(said):
            pictures[int(number[1])] = part
    asked = re.match(r"Question: (.*?)\n\nSources:", said, re.DOTALL)
    return (asked[1] if asked else None), pictures


def _sure(source: Source, details: Sequence[Detail]) -> list[Met]:
    return [met for met in met_on(source.lines, details) if met.share == 1]


def _written(question: str, right: Sequence[tuple[Source, list[Met]]]) -> str:
    if question.startswith("What did we pay"):
        return _sum(right)
    what = numbers if "number" in question else days
    source, _met = right[0]
    line = next((line for line in source.lines if what(line.text)), None)
    return "none" if line is None else f"{line.text} {source.cite(line)}."


def _sum(right: Sequence[tuple[Source, list[Met]]]) -> str:
    """The totals, each with its place and the day's, and what they come to."""
    paid = []
    for source, met in right:
        line = max((line for line in source.lines if amounts(line.text)), key=lambda line: max(amounts(line.text)))
        when = next((one.line for one in met if one.detail.kind in ("month", "day")), line)
        paid.append((max(amounts(line.text)), f"{line.text} {source.cite(line)} on {when.text} {source.cite(when)}"))
    if len(paid) == 1:
        return f"{paid[0][1]}."
    style = next((style for sign, style in _SIGNS.items() if sign in paid[0][1]), "plain")
    return f"{money(sum(cents for cents, _said in paid), style)}: {' and '.join(said for _cents, said in paid)}."

"""What a model wrote as an answer to a text and checked citations: bounded, linear scans, never evaluated.

`[2]`, `[2: x0,y0,x1,y1]` and `[2: "words"]` are citations, and `[1, 3]` two. A source that does not exist is dropped, a
box that is none or lies outside the picture, and words that do not stand in the source; each is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vretrver.answering.answer import Citation
from vretrver.boxes import to_original, whole_pixels
from vretrver.protocol import CUT, plain
from vretrver.tools import Gallery, Picture
from vretrver.types import Box, Document

MAX_ANSWER = 4000  # characters of an answer that are read
MAX_CITATIONS = 100

# The alternatives differ in their first character, so a scan goes over each character once.
_MARK = re.compile(r'\[\s{0,3}(\d{1,4})(?!\d)((?:"[^"]{0,400}"|\[[^\[\]"]{0,200}\]|[^\[\]"]){0,400}?)\]')
_CURLY = str.maketrans({"\u201c": '"', "\u201d": '"'})
_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d{1,9})?")


@dataclass(slots=True)
class Reader:
    """Reads one answer.

    Args:
        documents: the sources; source n is `documents[n - 1]`.
        gallery: their pictures as they were shown.
        max_text: characters of each text that were shown.

    `citations` and `repairs` are filled by `read`.
    """

    documents: Sequence[Document]
    gallery: Gallery
    max_text: int
    citations: dict[Citation, None] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)
    _pictures: Mapping[int, Picture] = field(init=False)

    def __post_init__(self) -> None:
        self._pictures = {
            picture.candidate: picture for picture in self.gallery.pictures.values() if picture.candidate is not None
        }

    def read(self, answer: str) -> str:
        """The answer's text with `[n]` for each citation that holds."""
        if len(answer) > MAX_ANSWER:
            self.repairs.append(f"cut an answer of {len(answer):,} characters to {MAX_ANSWER:,}")
            answer = answer[: MAX_ANSWER - len(CUT)] + CUT
        text = _MARK.sub(self._mark, answer.translate(_CURLY))
        return re.sub(r"[ \t]{1,100}([.,;:!?])", r"\1", text).strip()

    def _mark(self, found: re.Match[str]) -> str:
        number, rest = int(found[1]), found[2].strip()
        more = [word.strip() for word in rest[1:].split(",")] if rest.startswith(",") else []
        if more and all(re.fullmatch(r"\d{1,4}", word) for word in more):
            return "".join(self._cite(one, "") for one in (number, *map(int, more)))
        return self._cite(number, rest)

    def _cite(self, number: int, rest: str) -> str:
        if not 1 <= number <= len(self.documents):
            self.repairs.append(f"dropped the citation [{number}]: the sources are 1 to {len(self.documents)}")
            return ""
        box, quote = self._place(number, rest) if rest else (None, None)
        if len(self.citations) < MAX_CITATIONS:
            self.citations[Citation(number, self.documents[number - 1].id, box, quote)] = None
        return f"[{number}]"

    def _place(self, number: int, rest: str) -> tuple[Box | None, str | None]:
        inside = rest.removeprefix(":").strip()
        if inside.startswith('"') and inside.endswith('"'):
            return None, self._quote(number, inside.strip('" '))
        words = inside.removeprefix("[").removesuffix("]").split(",")
        if len(words) != 4 or not all(_NUMBER.fullmatch(word.strip()) for word in words):
            self.repairs.append(
                f"source {number} is cited as a whole: {rest!r:.60} is neither a box nor words in quotes"
            )
            return None, None
        return self._box(number, [float(word) for word in words]), None

    def _box(self, number: int, values: Sequence[float]) -> Box | None:
        """The box in pixels of the original, cut to the picture; None, told, where there is none."""
        picture = self._pictures.get(number - 1)
        if picture is None:
            self.repairs.append(f"dropped the box of [{number}]: this source has no picture that was shown")
            return None
        width, height = picture.size
        x0, y0, x1, y1 = to_original(
            values, self.gallery.boxes, picture.size, (picture.view.width, picture.view.height)
        )
        if not (x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0):
            self.repairs.append(f"dropped the box of [{number}]: {_said(values)} holds nothing of the picture")
            return None
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            self.repairs.append(f"cut the box of [{number}] to the picture: {_said(values)}")
        return whole_pixels((x0, y0, x1, y1), picture.size)

    def _quote(self, number: int, words: str) -> str | None:
        document = self.documents[number - 1]
        shown = [plain(text, self.max_text) for text in (document.text, document.printed) if text]
        if words and any(_folded(words) in _folded(text) for text in shown):
            return words
        self.repairs.append(f"dropped the quote of [{number}]: {words!r:.80} does not stand in its text")
        return None


def _folded(text: str) -> str:
    return " ".join(text.translate(_CURLY).casefold().split())


def _said(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)

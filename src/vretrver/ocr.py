"""Words read off a picture: PP-OCR models through `rapidocr-onnxruntime` (extra `[ocr]`), on one thread.

Used at ingest, on query pictures, and by agents on crops. What is read is untrusted text and bounded here. It leaves
out how words are searched (`vretrver.indexes.words`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from vretrver.errors import MissingExtra
from vretrver.types import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

MAX_SIDE = 1600  # pixels; a page of A4 stays readable at 140 dpi
# Small pictures are enlarged for the detector until their shorter side has this many pixels. On phone photos of
# packages the engine's own 736 took a third longer and found no more words.
_SHORT_SIDE = 608
_MOST_ENLARGED = 2.5
_GLANCE = (
    0.63  # of that scale is enough to see that there is print: 97 of 100 pictures with words, at a third of the time
)
TRUSTED = 0.6  # below this score more lines are noise than words
MAX_LINES = 400
MAX_LINE = 300  # characters


@dataclass(frozen=True, slots=True)
class Line:
    """A line of print: its text, its box in pixels of the picture that was read, and the model's score, 0..1."""

    text: str
    box: Box
    score: float


class Reads(Protocol):
    """Whoever reads print; `Reader` does, and so may any object with this method."""

    def read(self, picture: PILImage) -> list[Line]: ...


def available() -> bool:
    """Whether the extra `[ocr]` is installed; loads nothing."""
    return find_spec("rapidocr_onnxruntime") is not None


class Reader:
    """Reads print. The models load at the first picture, in about half a second; one reader serves many pictures.

    Args:
        max_side: pictures with a longer side are shrunk to this before they are read.
        glance_first: look for print at a smaller scale first and leave pictures without any; for many pictures.

    Raises:
        MissingExtra: `rapidocr-onnxruntime` is not installed.
    """

    def __init__(self, max_side: int = MAX_SIDE, glance_first: bool = False) -> None:
        if not available():
            raise MissingExtra("reading printed words", "ocr")
        self._max_side = max_side
        self._glance_first = glance_first

    @cached_property
    def _engine(self) -> Any:
        from rapidocr_onnxruntime import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        # "max": the engine itself never enlarges; `read` does, within bounds.
        return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1, text_score=0.0, det_limit_type="max")

    def read(self, picture: PILImage) -> list[Line]:
        """The lines of a picture, top to bottom; at most `MAX_LINES` of `MAX_LINE` characters.

        Lines of any score come back; `printed_text` keeps those that can be trusted.
        """
        scale = max(1.0, min(_SHORT_SIDE / min(picture.size), _MOST_ENLARGED))
        scale = min(scale, self._max_side / max(picture.size))
        if self._glance_first and not self._engine(_pixels(picture, _GLANCE * scale), use_cls=False, use_rec=False)[0]:
            return []
        found, _seconds = self._engine(_pixels(picture, scale))
        return [_line(corners, text, score, 1 / scale) for corners, text, score in (found or [])[:MAX_LINES]]


def _pixels(picture: PILImage, scale: float) -> NDArray[np.uint8]:
    """A picture at a scale, as the engine takes it: BGR, shape (H, W, 3)."""
    import numpy as np

    if scale != 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        resample = 1 if scale < 1 else 3  # Pillow's LANCZOS and BICUBIC
        picture = picture.resize(size, resample=resample, reducing_gap=2.0)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def printed_text(lines: Sequence[Line], trusted: float = TRUSTED) -> str:
    """The words worth keeping, one line of print per line of text; empty if there are none.

    A line of a single letter is left out: on pictures without print that is what seams and logos are read as.
    """
    return "\n".join(line.text for line in lines if line.score >= trusted and _says_something(line.text))


def _says_something(text: str) -> bool:
    return sum(char.isalnum() for char in text) > 1 or "%" in text


def _line(corners: Sequence[Sequence[float]], text: Any, score: Any, scale: float) -> Line:
    xs, ys = [point[0] * scale for point in corners], [point[1] * scale for point in corners]
    box = (max(0, int(min(xs))), max(0, int(min(ys))), max(1, round(max(xs))), max(1, round(max(ys))))
    clean = "".join(char if char.isprintable() else " " for char in str(text))
    return Line(" ".join(clean.split())[:MAX_LINE], box, min(1.0, max(0.0, float(score))))

"""Words read off a picture: PP-OCR models through `rapidocr-onnxruntime` (extra `[ocr]`), on one thread.

Used at ingest, on query pictures, and by agents on crops. What is read is untrusted text and bounded here. It leaves
out how words are searched (`vretrver.indexes.words`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from vretrver.errors import MissingExtra
from vretrver.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MAX_SIDE = 1600  # pixels; a page of A4 stays readable at 140 dpi
TRUSTED = 0.6  # below this score more lines are noise than words
MAX_LINES = 400
MAX_LINE = 300  # characters


@dataclass(frozen=True, slots=True)
class Line:
    """A line of print: its text, its box in pixels of the picture that was read, and the model's score, 0..1."""

    text: str
    box: Box
    score: float


def available() -> bool:
    """Whether the extra `[ocr]` is installed; loads nothing."""
    return find_spec("rapidocr_onnxruntime") is not None


class Reader:
    """Reads print. Loading the models takes about half a second; one reader serves many pictures.

    Args:
        max_side: larger pictures are shrunk to this before they are read.

    Raises:
        MissingExtra: `rapidocr-onnxruntime` is not installed.
    """

    def __init__(self, max_side: int = MAX_SIDE) -> None:
        if not available():
            raise MissingExtra("reading printed words", "ocr")
        from rapidocr_onnxruntime import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self._max_side = max_side
        self._engine: Any = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1, text_score=0.0)

    def read(self, picture: PILImage) -> list[Line]:
        """The lines of a picture, top to bottom; at most `MAX_LINES` of `MAX_LINE` characters.

        Lines of any score come back; `printed_text` keeps those that can be trusted.
        """
        import numpy as np

        scale = min(1.0, self._max_side / max(picture.size))
        if scale < 1:
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            picture = picture.resize(size, resample=1, reducing_gap=2.0)  # 1: Pillow's LANCZOS
        pixels = np.asarray(picture.convert("RGB"))[:, :, ::-1]
        found, _seconds = self._engine(np.ascontiguousarray(pixels))
        return [_line(corners, text, score, 1 / scale) for corners, text, score in (found or [])[:MAX_LINES]]


def printed_text(lines: Sequence[Line], trusted: float = TRUSTED) -> str:
    """The words worth keeping, one line of print per line of text; empty if there are none."""
    return "\n".join(line.text for line in lines if line.score >= trusted and line.text)


def _line(corners: Sequence[Sequence[float]], text: Any, score: Any, scale: float) -> Line:
    xs, ys = [point[0] * scale for point in corners], [point[1] * scale for point in corners]
    box = (max(0, int(min(xs))), max(0, int(min(ys))), max(1, round(max(xs))), max(1, round(max(ys))))
    clean = "".join(char if char.isprintable() else " " for char in str(text))
    return Line(" ".join(clean.split())[:MAX_LINE], box, min(1.0, max(0.0, float(score))))

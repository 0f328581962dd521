"""The two frozen networks of `lite`: a picture's trunk features and a text's embedding.

ONNX Runtime and tokenizers are imported when a tower is first used, never before, and run on one thread: many
workers share a machine, and a second thread gains little on networks this small. Nothing here is ever retrained.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

PIXELS = 260  # side of the square that the trunk sees; the aspect ratio is not kept
TRUNK_DIM = 1280
TEXT_DIM = 384
_BICUBIC = 3  # Pillow's number for the filter, so that Pillow is not imported here
MOST_TOKENS = 128
_BATCH = 8


class Towers:
    """Lazily opened sessions over the files of one folder (`trunk.onnx`, `text.onnx`, `tokenizer.json`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def picture_features(self, pictures: Sequence[PILImage]) -> NDArray[np.float32]:
        """Pooled trunk features of RGB pictures, shape (N, 1280), no number negative; 16 ms a picture."""
        rows = [np.zeros((0, TRUNK_DIM), np.float32)]
        for start in range(0, len(pictures), _BATCH):
            batch = np.stack([_pixels(picture) for picture in pictures[start : start + _BATCH]])
            rows.append(self._trunk.run(None, {"pictures": batch})[0])
        return np.concatenate(rows)

    def text_embeddings(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Sentence embeddings of unit length, shape (N, 384); what lies past 128 tokens is not read."""
        embeddings = np.zeros((len(texts), TEXT_DIM), np.float32)
        encodings = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda row: len(encodings[row].ids))  # alike lengths pad little
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            longest = max(len(encodings[row].ids) for row in rows)
            ids = np.zeros((len(rows), longest), np.int64)
            mask = np.zeros_like(ids)
            for place, row in enumerate(rows):
                tokens = encodings[row].ids
                ids[place, : len(tokens)], mask[place, : len(tokens)] = tokens, 1
            embeddings[rows] = self._text.run(None, {"ids": ids, "mask": mask})[0]
        return embeddings

    @cached_property
    def _trunk(self) -> Any:
        return _session(self._folder / "trunk.onnx")

    @cached_property
    def _text(self) -> Any:
        return _session(self._folder / "text.onnx")

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MOST_TOKENS)
        return tokenizer


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _pixels(picture: PILImage) -> NDArray[np.float32]:
    square = picture.convert("RGB").resize((PIXELS, PIXELS), resample=_BICUBIC, reducing_gap=2.0)
    return (np.asarray(square, np.float32).transpose(2, 0, 1) - np.float32(127)) / np.float32(128)

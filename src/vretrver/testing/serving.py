"""What serving would cost: tokens of a request, a prefix cache of blocks, and a linear latency.

A token is four characters of text or a patch of 28x28 pixels. The cache works as vLLM's does: the message stream is cut
into blocks of 16 tokens, a block is known by its tokens and all before it, and the known blocks at the beginning of a
request need no computing. Real servers tokenise differently; ratios are what this is for.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

from vretrver.images import image_size
from vretrver.sizes import PATCH, shown_size
from vretrver.testing.reading import Reading
from vretrver.types import ImageRef

BLOCK = 16


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one generation: `fixed` + `prefill` * uncached prompt tokens + `decode` * completion tokens.

    The defaults are in the range of a 7B model on one data-centre GPU; they are assumptions, not measurements.
    """

    fixed: float = 0.05
    prefill: float = 0.0001
    decode: float = 0.015

    def seconds(self, uncached: int, completion: int) -> float:
        return self.fixed + self.prefill * uncached + self.decode * completion


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens of a request: all, those found in the cache, those of pictures; and how many pictures."""

    tokens: int
    cached: int
    image_tokens: int
    images: int


class PrefixCache:
    """Known blocks; the longest unused go first when there are more than `blocks`."""

    def __init__(self, blocks: int = 200_000) -> None:
        self._most = blocks
        self._known: OrderedDict[int, None] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, reading: Reading) -> Prompt:
        """The request's tokens, its blocks now known. The last token is never cached: something must be computed."""
        stream, images = _stream(reading)
        chain, blocks = 0, []
        for at in range(0, len(stream) - BLOCK, BLOCK):
            chain = hash((chain, tuple(stream[at : at + BLOCK])))
            blocks.append(chain)
        with self._lock:
            known = next((at for at, block in enumerate(blocks) if block not in self._known), len(blocks))
            for block in blocks:
                self._known[block] = None
                self._known.move_to_end(block)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        pictures = [image_tokens(image) for image in images]
        return Prompt(len(stream), known * BLOCK, sum(pictures), len(images))


def text_tokens(text: str) -> int:
    return -(-len(text) // 4)


@lru_cache(maxsize=4096)
def image_tokens(image: bytes) -> int:
    """Patches of a picture at the size at which a Qwen2.5-VL processor takes it; 0 for what is no picture."""
    try:
        width, height = shown_size(*image_size(ImageRef(data=image)))
    except ValueError:
        return 0
    return (width // PATCH) * (height // PATCH)


def _stream(reading: Reading) -> tuple[list[object], list[bytes]]:
    stream: list[object] = []
    images: list[bytes] = []
    if reading.native:
        stream += _cut(str(reading.body["tools"]))
    for role, parts in reading.messages:
        stream.append(role)
        for part in parts:
            if isinstance(part, bytes):
                images.append(part)
                digest = hashlib.sha256(part).digest()
                stream += [digest] * image_tokens(part)
            else:
                stream += _cut(part)
        stream.append("end of turn")
    return stream, images


def _cut(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]

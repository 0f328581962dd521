"""Views as JSON parts of a request: rendered, JPEG, base64. Each is made once and kept as long as there is room."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from vretrver.images import encode_jpeg, render, view_key
from vretrver.messages import View

ROOM = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as a part of a message's `content`.

    Args:
        part: in JSON.
        digest: SHA-256 of the JPEG's bytes: its identifier, in hexadecimal, where a server takes one.
        named: the part with its identifier beside the picture. reference: the identifier alone.
    """

    part: bytes
    digest: bytes

    @property
    def named(self) -> bytes:
        return self.part[:-1] + b',"uuid":"' + self.digest.hex().encode() + b'"}'

    @property
    def reference(self) -> bytes:
        return b'{"type":"image_url","image_url":null,"uuid":"' + self.digest.hex().encode() + b'"}'


class Pictures:
    """Encodes views.

    The finished bytes of the JSON part are kept, not only the base64: a request is then put together by copying, which
    a JSON encoder would first search for characters to escape.

    Args:
        quality: of the JPEG, 1 to 95.
        room: bytes to keep at most; those unused for longest go first.
    """

    def __init__(self, quality: int = 88, room: int = ROOM) -> None:
        self._quality, self._room = quality, room
        self._kept: OrderedDict[Hashable, Encoded] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.encoded = 0

    def part(self, view: View) -> Encoded:
        """The JSON part of a view.

        Raises:
            MissingPath, ImageError: as `images.render`.
        """
        key = view_key(view)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._encode(view)  # outside the lock: decoding is what takes time
        with self._lock:
            self.encoded += 1
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += _size(key, made)
            while self._bytes > self._room and len(self._kept) > 1:
                self._bytes -= _size(*self._kept.popitem(last=False))
        return made

    def _encode(self, view: View) -> Encoded:
        jpeg = encode_jpeg(render(view), self._quality)
        part = b'{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,' + base64.b64encode(jpeg) + b'"}}'
        return Encoded(part, hashlib.sha256(jpeg).digest())


def _size(key: Hashable, made: Encoded) -> int:
    """Bytes that an entry keeps alive: the part, and the original where the view holds it itself."""
    original = key.image.data if isinstance(key, View) else None
    return len(made.part) + len(original or b"")

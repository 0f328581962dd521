"""Rendered views, kept between turns: a conversation shows its window's pictures again each time it is continued."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from vretrver.images import render, view_key
from vretrver.messages import View

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ROOM = 256 * 2**20 // 3


class Pictures:
    """Renders views. Not for several threads at once.

    Args:
        room: pixels to keep at most, 3 bytes each; those unused for longest go first.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._kept: OrderedDict[Hashable, PILImage] = OrderedDict()
        self._pixels = 0
        self.rendered = 0

    def picture(self, view: View) -> PILImage:
        """The pixels of a view; not to be changed.

        Raises:
            MissingPath, ImageError: as `images.render`.
        """
        key = view_key(view)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        picture = render(view)
        self.rendered += 1
        self._kept[key] = picture
        self._pixels += picture.width * picture.height
        while self._pixels > self._room and len(self._kept) > 1:
            gone = self._kept.popitem(last=False)[1]
            self._pixels -= gone.width * gone.height
        return picture

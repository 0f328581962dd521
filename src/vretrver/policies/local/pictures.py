"""Rendered views, kept between turns: a conversation shows its window's pictures again each time it is continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vretrver.images import render, view_key
from vretrver.messages import View
from vretrver.policies.local.recent import Recent

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ROOM = 256 * 2**20 // 3


class Pictures:
    """Renders views. Not for several threads at once.

    Args:
        room: pixels to keep at most, 3 bytes each; those unused for longest go first.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._kept: Recent[PILImage] = Recent(room)
        self.rendered = 0

    def picture(self, view: View) -> PILImage:
        """The pixels of a view; not to be changed.

        Raises:
            MissingPath, ImageError: as `images.render`.
        """
        key = view_key(view)
        picture = self._kept.get(key)
        if picture is None:
            picture = render(view)
            self.rendered += 1
            self._kept.put(key, picture, picture.width * picture.height)
        return picture

"""A running window: its episode, its pictures' sizes, and the way round a picture that turns out to be damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vretrver.episode import Episode
from vretrver.errors import ImageError, MissingPath
from vretrver.images import image_size, open_image
from vretrver.types import Candidate, ImageRef, Window

Sizes = dict[ImageRef, tuple[int, int]]


class Seat:
    """One running window: its episode, and the means to start it again without a damaged picture."""

    def __init__(self, window: Window, sizes: Sizes, start: Callable[[Window, Sizes], Episode]) -> None:
        self._window, self._sizes, self._start = window, sizes, start
        self.episode = start(window, sizes)

    def leave_out_damaged(self) -> bool:
        """Decode every candidate's picture; if some fail, start the episode again without them.

        Only when the policy stumbles: a header was readable, so nothing else would have shown it, and decoding each
        picture beforehand would cost more than most policies do.
        """
        images = {candidate.document.image for candidate in self._window.candidates} & self._sizes.keys()
        damaged = [image for image in images if image is not None and not _decodes(image)]
        for image in damaged:
            del self._sizes[image]
        if damaged:
            self.episode = self._start(self._window, self._sizes)
        return bool(damaged)


def readable_sizes(candidates: Sequence[Candidate]) -> Sizes:
    sizes: Sizes = {}
    for candidate in candidates:
        image = candidate.document.image
        if image is not None:
            try:
                sizes[image] = image_size(image)
            except (ImageError, MissingPath):
                continue  # the episode shows the candidate without it and says so
    return sizes


def _decodes(image: ImageRef) -> bool:
    try:
        open_image(image)
    except (ImageError, MissingPath):
        return False
    return True

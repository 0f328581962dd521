"""Which results look like a better one, so that a page may fold them. Said, never hidden: no result is left out.

Two pictures are alike when their stored thumbnails have the same shape and, of 64 places, at most 6 differ in whether
it gets brighter to the right (a difference hash), and on a grid of 8 by 8 no place's colour differs by more than 16 of
255 on average of its channels. The hash alone would take all plain pictures for one, the mean colour alone a red shirt
on white for a blue one. Copies, other sizes and other compressions are alike; another crop, another moment or another
colour is not (measured in docs/page.md). Texts are never folded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vretrver.errors import VretrverError
from vretrver.images import open_image
from vretrver.types import ImageRef

GRID = 8
MOST_BITS = 6
MOST_COLOUR = 16.0
_MOST_STRETCH = 0.04  # of width by height; a thumbnail's sides are rounded to pixels


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A picture as far as folding looks at it.

    Args:
        bits: difference hash, shape (64,).
        colours: of the grid, 0..255, shape (8, 8, 3).
        shape: width by height.
    """

    bits: NDArray[np.bool_]
    colours: NDArray[np.int16]
    shape: float

    def is_like(self, other: Sketch) -> bool:
        return (
            abs(self.shape / other.shape - 1) <= _MOST_STRETCH
            and int(np.count_nonzero(self.bits != other.bits)) <= MOST_BITS
            and float(np.abs(self.colours - other.colours).mean(axis=-1).max()) <= MOST_COLOUR
        )


def sketch(thumbnail: bytes) -> Sketch | None:
    """The sketch of a thumbnail's bytes; None where they are no picture."""
    try:
        picture = open_image(ImageRef(data=thumbnail))
    except VretrverError:
        return None
    grey = np.asarray(picture.convert("L").resize((GRID + 1, GRID)), np.int16)
    # One step of grey is noise of the compression, not a slope.
    bits = (grey[:, 1:] > grey[:, :-1] + 1).ravel()
    return Sketch(bits, np.asarray(picture.resize((GRID, GRID)), np.int16), picture.width / picture.height)


def folded(names: Sequence[str], sketches: Mapping[str, Sketch | None]) -> dict[str, str]:
    """Who looks like a better one: id -> id of the first before it that it is like.

    Args:
        names: best first.
        sketches: by id, of those that have a picture.
    """
    first: list[tuple[str, Sketch]] = []
    like: dict[str, str] = {}
    for name in names:
        mine = sketches.get(name)
        if mine is None:
            continue
        better = next((other for other, theirs in first if mine.is_like(theirs)), None)
        if better is None:
            first.append((name, mine))
        else:
            like[name] = better
    return like

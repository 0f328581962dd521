"""What can be seen on a picture: regions, colours, printed words. Each picture is looked at once and remembered.

Regions are true crops: a part is cut out and embedded by itself, so that a small thing fills the embedder's eye.
Everything is kept per picture and box in a bounded cache, since neighbouring windows and queries meet the same
pictures. It leaves out what the sightings mean for a query: that is `signals`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vretrver import colours, ocr
from vretrver.images import crop, fit_within, open_image
from vretrver.types import Box, ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

REMEMBERED = 20_000  # sightings; a picture has about four kinds
MOST_BYTES = 400 * 2**20
_NEAR = 320  # pixels: the shorter side of what regions are cut from is at least twice this, where the picture has it
_READ_AT_LEAST = 48  # pixels: print on a smaller piece cannot be read
_T = TypeVar("_T")


def _grid(share: float, steps: Sequence[float]) -> list[tuple[float, float, float, float]]:
    return [(x, y, x + share, y + share) for y in steps for x in steps]


COARSE_REGIONS = ((0.0, 0.0, 1.0, 1.0), (0.2, 0.2, 0.8, 0.8), *_grid(0.6, (0.0, 0.4)))
"""The whole, the middle and four overlapping corners, as shares of the sides."""
FINE_REGIONS = (*COARSE_REGIONS, *_grid(0.4, (0.0, 0.3, 0.6)))
SMALL_REGIONS = FINE_REGIONS[len(COARSE_REGIONS) :]


@runtime_checkable
class Sees(Protocol):
    """What the eyes need of an embedder; `LiteEmbedder` is one. Rows of the joint space are of unit length."""

    def region_features(self, images: Sequence[PILImage]) -> NDArray[np.float32]: ...
    def joint_image(self, images: Sequence[PILImage]) -> NDArray[np.float32]: ...
    def joint_text(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class Reads(Protocol):
    """Reads print; `vretrver.ocr.Reader` is one."""

    def read(self, picture: PILImage) -> list[ocr.Line]: ...


class Eyes:
    """Sightings of pictures, remembered.

    Args:
        embedder: turns crops and texts into vectors.
        reader: reads print; None leaves print unread.

    `sightings` holds what is remembered, oldest first, with its size in bytes; experiments keep it across runs.
    Every method raises MissingPath or ImageError for a picture that cannot be read.
    """

    def __init__(self, embedder: Sees, reader: Reads | None = None) -> None:
        self._embedder = embedder
        self._reader = reader
        self.sightings: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    @property
    def can_read(self) -> bool:
        return self._reader is not None

    @property
    def fingerprint(self) -> str:
        """What sees, and whether it reads."""
        return f"{getattr(self._embedder, 'fingerprint', type(self._embedder).__name__)}:{self.can_read}"

    def regions(self, image: ImageRef) -> NDArray[np.float32]:
        """Look of the coarse regions, shape (6, F); not centred, not unit rows (`likeness` does both)."""
        return self._by_region("look", image, COARSE_REGIONS, self._embedder.region_features)

    def details(self, image: ImageRef) -> NDArray[np.float32]:
        """Look of the nine small regions, shape (9, F)."""
        return self._by_region("detail", image, SMALL_REGIONS, self._embedder.region_features)

    def meanings(self, image: ImageRef, fine: bool = False) -> NDArray[np.float32]:
        """What each region shows in the joint space, shape (6 or, if fine, 15, J), unit rows."""
        rows = self._by_region("meaning", image, COARSE_REGIONS, self._embedder.joint_image)
        if not fine:
            return rows
        return np.concatenate([rows, self._by_region("fine", image, SMALL_REGIONS, self._embedder.joint_image)])

    def text_meaning(self, text: str) -> NDArray[np.float32]:
        """A text in the joint space, shape (J,)."""
        return self._remember(("text", text), lambda: self._embedder.joint_text([text])[0])

    def palette(self, image: ImageRef) -> NDArray[np.float32]:
        """The colours of the picture's subject (`colours.describe_picture`), shape (64,)."""
        return self._remember(("palette", *_key(image)), lambda: colours.describe_picture(_opened(image)))

    def colour_share(self, image: ImageRef, name: str) -> float:
        """How much of the picture's subject has a named colour, 0..1."""
        return self._remember(("share", name, *_key(image)), lambda: colours.colour_share(_opened(image), name))

    def lines(self, image: ImageRef, box: Box | None = None) -> list[ocr.Line]:
        """Print on the picture or on a box of it, at the original's own resolution; boxes in the original's pixels.

        A box is read twice as large as it is where it is small. Empty when there is no reader.
        """
        if self._reader is None:
            return []
        return self._remember(("lines", box, *_key(image)), lambda: self._read(image, box))

    def _by_region(
        self,
        kind: str,
        image: ImageRef,
        regions: Sequence[tuple[float, float, float, float]],
        embed: Callable[[Sequence[PILImage]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        # Half precision: a picture's regions are kept by the thousand.
        kept = self._remember((kind, *_key(image)), lambda: embed(_pieces(_opened(image), regions)).astype(np.float16))
        return np.asarray(kept, np.float32)

    def _read(self, image: ImageRef, box: Box | None) -> list[ocr.Line]:
        assert self._reader is not None
        picture = open_image(image) if box is None else crop(image, box)
        if min(picture.size) < _READ_AT_LEAST // 2:
            return []
        scale = 1
        if box is not None and max(picture.size) <= 800:
            scale = 2
            picture = picture.resize((picture.width * 2, picture.height * 2), resample=3)  # 3: Pillow's BICUBIC
        found = [line for line in self._reader.read(picture) if line.score >= ocr.TRUSTED]
        left, top = (0, 0) if box is None else box[:2]
        return [ocr.Line(line.text, _moved(line.box, scale, left, top), line.score) for line in found]

    def _remember(self, key: tuple[Any, ...], look: Callable[[], _T]) -> _T:
        if key in self.sightings:
            self.sightings.move_to_end(key)
            return cast(_T, self.sightings[key][0])
        value = look()
        size = value.nbytes if isinstance(value, np.ndarray) else 200
        self.sightings[key] = (value, size)
        self._bytes += size
        while len(self.sightings) > REMEMBERED or self._bytes > MOST_BYTES:
            _, (_, freed) = self.sightings.popitem(last=False)
            self._bytes -= freed
        return value


def region_box(region: int, size: tuple[int, int]) -> Box:
    """The box of a region in pixels of a picture of that size."""
    x0, y0, x1, y1 = FINE_REGIONS[region]
    width, height = size
    left, top = min(round(x0 * width), width - 1), min(round(y0 * height), height - 1)
    return left, top, max(left + 1, min(width, round(x1 * width))), max(top + 1, min(height, round(y1 * height)))


def likeness(
    first_R_F: NDArray[np.float32], second_R_F: NDArray[np.float32], centre_F: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Cosines of regions around a centre, shape (R, R').

    Without the centre, what all pictures share drowns what tells them apart.
    """
    return np.asarray(_unit(first_R_F - centre_F) @ _unit(second_R_F - centre_F).T, np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)


def _opened(image: ImageRef) -> PILImage:
    """Decoded at reduced scale where that keeps enough pixels for small regions."""
    return fit_within(open_image(image, near=_NEAR), 4 * _NEAR)


def _pieces(picture: PILImage, regions: Sequence[tuple[float, float, float, float]]) -> list[PILImage]:
    numbers = [FINE_REGIONS.index(region) for region in regions]
    return [picture.crop(region_box(number, picture.size)) for number in numbers]


def _moved(box: Box, scale: int, left: int, top: int) -> Box:
    x0, y0, x1, y1 = (value // scale for value in box)
    return x0 + left, y0 + top, x1 + left, y1 + top


def _key(image: ImageRef) -> tuple[Any, ...]:
    """The picture's identity; a file that changes is another picture."""
    if image.path is None:
        return (image.label,)
    try:
        status = os.stat(image.path)
    except OSError:
        return (image.path,)
    return image.path, status.st_size, status.st_mtime_ns

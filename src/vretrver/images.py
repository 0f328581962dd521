"""The one safe door for pictures: open, scale, crop, encode. The only module that imports Pillow.

Pictures are untrusted. A picture passes only if its bytes and its header's pixel count are under the
caps, its format is one of `FORMATS`, and the decoder gets through it; every decoder fault becomes an
`ImageError`. What comes out is always 8-bit RGB, upright (EXIF orientation applied), alpha laid on white.

The one box convention (`types.Box`): (x0, y0, x1, y1) in pixels of the original, half-open.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from vretrver.errors import ImageError, MissingPath
from vretrver.messages import View
from vretrver.types import Box, ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"})
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000  # 64 Mpx of RGB is 192 MB decoded: any phone passes, a bomb does not

# What Pillow's decoders were seen to raise on damaged files beyond OSError.
_DECODER_FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, RuntimeError, OverflowError, MemoryError,
    AttributeError, EOFError, AssertionError, ArithmeticError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def open_image(ref: ImageRef, near: int | None = None) -> PILImage:
    """Decode a picture to upright RGB.

    Args:
        ref: the original.
        near: the decoder may shrink while it reads, as long as the shorter side stays at least twice `near` pixels
            (JPEG `draft`: 3 to 6 times faster on a phone's photo). None decodes every pixel.

    Returns:
        An RGB image; with `near`, its size may be a fraction of the original's. The caller owns it.

    Raises:
        MissingPath: the file does not exist.
        ImageError: not a picture, damaged, or over `MAX_BYTES` or `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn about what the checks below judge
            with _opened(ref) as picture:
                if near is not None:
                    picture.draft("RGB", (2 * near, 2 * near))
                picture.seek(0)
                return _upright_rgb(picture)
    except (ImageError, MissingPath):
        raise
    except _DECODER_FAULTS as fault:
        raise ImageError(f"cannot read image {ref.label}: {_reason(fault)}") from fault


def image_size(ref: ImageRef) -> tuple[int, int]:
    """Width and height in pixels of the original as displayed, from its header alone.

    Raises:
        MissingPath, ImageError: as `open_image`; a truncated body goes unseen here.
    """
    if ref.path is None:
        return _size(ref, 0, 0)
    status = _stat(ref)
    return _size(ref, status.st_mtime_ns, status.st_size)


def crop(ref: ImageRef, box: Box, max_side: int | None = None) -> PILImage:
    """Cut `box` out of the original at full resolution; shrink so that no side is over `max_side`.

    Raises:
        ImageError: as `open_image`, or the box is empty or leaves the picture.
    """
    picture = open_image(ref)
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= picture.width and 0 <= y0 < y1 <= picture.height):
        raise ImageError(f"box {box} does not lie inside {ref.label}, which is {picture.width}x{picture.height} pixels")
    piece = picture.crop(box)
    return piece if max_side is None else fit_within(piece, max_side)


def render(view: View) -> PILImage:
    """The pixels a view shows: its box cut from the original, resized to its width and height.

    Raises:
        MissingPath, ImageError: as `open_image`, or the box does not lie inside the picture.
    """
    if view.box is None:
        picture = open_image(view.image, near=max(view.width, view.height))
    else:
        picture = crop(view.image, view.box)
    size = (view.width, view.height)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def view_key(view: View) -> Hashable:
    """What a view's pixels depend on, as a key of what was made of them; a file that has changed since is another."""
    if view.image.path is None:
        return view
    try:
        status = os.stat(view.image.path)
    except (OSError, ValueError):
        return view  # rendering says what is wrong
    return view, status.st_mtime_ns, status.st_size


def fit_within(picture: PILImage, max_side: int) -> PILImage:
    """Shrink so that the longer side is at most `max_side` pixels; never enlarges; keeps the aspect ratio."""
    longest = max(picture.size)
    if longest <= max_side:
        return picture
    scale = max_side / longest
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def encode_jpeg(picture: PILImage, quality: int = 88, full_colour: bool = False) -> bytes:
    """JPEG bytes of an RGB image, without any metadata of the original.

    Args:
        full_colour: keep colour at full resolution (4:4:4); else it is halved, which blurs a small red mark.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0 if full_colour else -1)
    return buffer.getvalue()


def from_pil(picture: PILImage) -> ImageRef:
    """A reference to a copy of a PIL image, kept as PNG bytes so that no pixel changes."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return ImageRef(data=buffer.getvalue())


def thumbnail(ref: ImageRef, max_side: int = 256) -> bytes:
    """A JPEG of the whole picture, longer side at most `max_side` pixels.

    Raises:
        MissingPath, ImageError: as `open_image`.
    """
    return encode_jpeg(fit_within(open_image(ref, near=max_side), max_side), quality=82)


def _opened(ref: ImageRef) -> Image.Image:
    if ref.path is None:
        assert ref.data is not None
        source: io.BytesIO | str = io.BytesIO(ref.data)
        size = len(ref.data)
    else:
        source, size = ref.path, _stat(ref).st_size
    if size > MAX_BYTES:
        raise ImageError(f"image {ref.label} has {size} bytes; at most {MAX_BYTES} are allowed")
    picture = Image.open(source, formats=FORMATS)
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise ImageError(
            f"image {ref.label} is {picture.width}x{picture.height} pixels; at most {MAX_PIXELS} in all are allowed"
        )
    return picture


def _stat(ref: ImageRef) -> os.stat_result:
    assert ref.path is not None
    try:
        status = os.stat(ref.path)
    except FileNotFoundError as fault:
        raise MissingPath(f"no such image: {ref.path}") from fault
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        raise ImageError(f"cannot read image {ref.path!r}: {fault}") from fault
    if not os.path.isfile(ref.path):
        raise ImageError(f"{ref.path} is not a file; pass the path of a picture")
    return status


@lru_cache(maxsize=4096)
def _size(ref: ImageRef, _modified: int, _bytes: int) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _opened(ref) as picture:
                turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                return (picture.height, picture.width) if turned else (picture.width, picture.height)
    except (ImageError, MissingPath):
        raise
    except _DECODER_FAULTS as fault:
        raise ImageError(f"cannot read image {ref.label}: {_reason(fault)}") from fault


def _upright_rgb(picture: Image.Image) -> PILImage:
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        upright = _sixteen_to_eight(upright)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, upright)
    return upright.convert("RGB")


def _sixteen_to_eight(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits or more to 8 bits. Pillow's own convert("L") clips at 255 and shows white."""
    floats = picture.convert("F")
    _low, high = floats.getextrema()
    scale = 255 / 65535 if isinstance(high, int | float) and high > 255 else 1.0
    return floats.point(lambda value: value * scale + 0).convert("L")


def _reason(fault: BaseException) -> str:
    if isinstance(fault, UnidentifiedImageError):
        return f"not a picture of a known format ({', '.join(FORMATS)})"
    return str(fault).split("\n", 1)[0][:200] or type(fault).__name__

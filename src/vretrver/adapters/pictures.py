"""Which pictures of somebody else's documents are opened: the one rule of all faces.

| what stands where a picture should         | opened                                             |
|--------------------------------------------|----------------------------------------------------|
| bytes, base64, a PIL image, an `ImageRef`  | always                                             |
| a data URL                                 | always                                             |
| a `pathlib.Path`                           | always: data that was loaded holds strings         |
| a string that is a path                    | only below the folder that the code named, `root=` |
| a string that is another URL               | never; fetch it yourself and give its bytes        |

Metadata travels: a store filled by strangers must not make a search read, or send to a model, whatever file they name.
So a path in it is followed only after code has said where pictures lie; `..` and links that lead out of there are
refused. A document whose picture is refused is ranked by its text, and a warning (`UnreadPicture`) says so.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vretrver.errors import ImageError, InvalidInput
from vretrver.images import MAX_BYTES, from_pil
from vretrver.types import ImageRef

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_DATA = re.compile(r"data:image/[a-z0-9.+-]+(?:;[a-z0-9=._-]+)*;base64,", re.IGNORECASE)
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_NEAREST = {"PA": "RGBA", "La": "RGBA", "RGBa": "RGBA", "I": "I;16"}  # every other mode becomes RGB


class UnreadPicture(UserWarning):
    """A document's picture was not opened; the document is ranked by its text, or last if it has none."""


@dataclass(frozen=True, slots=True)
class Base64:
    """A picture's bytes in base64, perhaps with the head of a data URL, from a field that holds nothing else."""

    text: str | bytes


def picture_of(source: Any, root: str | os.PathLike[str] | None = None) -> ImageRef:
    """The picture that something stands for, by the rule above.

    Args:
        source: bytes, `Base64`, a PIL image, an `ImageRef`, a `pathlib.Path`, a data URL or a path.
        root: the folder below which paths given as strings are followed, and from which relative ones start.

    Raises:
        InvalidInput: it is a URL, a path while there is no root, or a path that leaves it.
        ImageError: base64 that is damaged or too long, or a PIL image that cannot be kept.
    """
    match source:
        case ImageRef():
            return source
        case bytes() | bytearray() | memoryview():
            return ImageRef(data=bytes(source))
        case Base64(text):
            return _from_base64(text.decode("ascii", "replace") if isinstance(text, bytes) else text)
        case str():
            return _data(source) if source[:5].lower() == "data:" else _below(source, root)
        case os.PathLike():
            return ImageRef(path=os.fspath(source))
    if any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(source).__mro__):
        return _from_pil(source)
    raise InvalidInput(
        f"cannot take a {type(source).__name__} as a picture; give bytes, a PIL image, a path or a data URL"
    )


def data_url(ref: ImageRef) -> str:
    """A picture's own bytes as a data URL, which every face takes back.

    Raises:
        InvalidInput: the reference is a path.
    """
    if ref.data is None:
        raise InvalidInput(f"{ref.label} is a path; only bytes are written as a data URL")
    kinds = {b"\x89PNG": "png", b"RIFF": "webp", b"GIF8": "gif", b"BM": "bmp", b"II*\x00": "tiff", b"MM\x00*": "tiff"}
    kind = next((kind for start, kind in kinds.items() if ref.data.startswith(start)), "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(ref.data).decode()}"


def _data(url: str) -> ImageRef:
    head = _DATA.match(url[:200])
    if head is None:
        raise InvalidInput(f"{url[:40]!r} is no picture; a data URL begins with data:image/...;base64,")
    return _from_base64(url[head.end() :])


def _from_base64(text: str) -> ImageRef:
    if text[:5].lower() == "data:":
        return _data(text)
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise ImageError(f"a picture in base64 has {len(text)} characters; at most {MAX_BYTES} bytes are allowed")
    try:
        return ImageRef(data=base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as fault:
        raise ImageError(f"a picture's base64 does not decode: {fault}") from fault


def _below(text: str, root: str | os.PathLike[str] | None) -> ImageRef:
    if _URL.match(text):
        raise InvalidInput(f"{text[:80]!r} is a URL, and URLs are not fetched; give the picture's bytes or a data URL")
    if root is None:
        raise InvalidInput(f"{text[:80]!r} is a path; name the folder that pictures may be read from with root=")
    try:
        folder = Path(root).resolve()
        path = (folder / text).resolve()
    except (OSError, ValueError, RuntimeError) as fault:  # a NUL, a loop of links
        raise InvalidInput(f"{text[:80]!r} is no path: {fault}") from fault
    if not path.is_relative_to(folder):
        raise InvalidInput(f"{text[:80]!r} leads out of {root}; pictures are read only from there")
    return ImageRef(path=str(path))


def _from_pil(picture: Any) -> ImageRef:
    try:
        return from_pil(picture if picture.mode in _PNG_MODES else picture.convert(_NEAREST.get(picture.mode, "RGB")))
    except (OSError, ValueError, SyntaxError) as fault:  # opened lazily, and damaged
        raise ImageError(f"cannot keep a PIL image: {fault}") from fault

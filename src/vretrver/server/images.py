"""Pictures of requests: bytes, base64, data URLs, and URLs of hosts that the operator named. Never a path.

Each is decoded once before anything else is done with it, so that a bad picture is the client's fault and not a
ranking's.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from dataclasses import dataclass

from vretrver.errors import ImageError
from vretrver.images import image_size, open_image
from vretrver.server.faults import Refused, late
from vretrver.server.fetching import Fetch
from vretrver.server.settings import Settings
from vretrver.types import ImageRef

_DATA_URL = re.compile(r"data:(?:image/[a-z0-9.+-]+|application/octet-stream)?(?:;[a-z0-9=._-]+)*;base64,", re.I)
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Source:
    """A picture as a request gives it, and where in the request it stands."""

    given: str | bytes
    param: str


def read_pictures(sources: list[Source], settings: Settings, fetch: Fetch) -> list[ImageRef]:
    """The pictures of one request, in order; decodes each, so call it outside the event loop.

    Raises:
        Refused: there are too many, or one is no picture, too large, or from a host that is not allowed.
    """
    if len(sources) > settings.images:
        raise Refused(
            413, "too_many_images", f"{len(sources)} pictures came; at most {settings.images} are allowed in a request"
        )
    deadline = time.monotonic() + settings.seconds
    pictures = []
    for source in sources:
        if time.monotonic() > deadline:
            raise late(settings.seconds)
        pictures.append(_read(source, settings, fetch))
    return pictures


def _read(source: Source, settings: Settings, fetch: Fetch) -> ImageRef:
    data = source.given if isinstance(source.given, bytes) else _bytes(source.given, source.param, fetch)
    if len(data) > settings.image_bytes:
        raise Refused(
            413,
            "too_large",
            f"{source.param}: the picture has {len(data)} bytes; at most {settings.image_bytes} are allowed",
            source.param,
        )
    ref = ImageRef(data=data)
    try:
        width, height = image_size(ref)
        if width * height > settings.image_pixels:
            raise ImageError(f"it is {width}x{height} pixels; at most {settings.image_pixels} in all are allowed")
        open_image(ref, near=64)  # the whole of it, as cheaply as its format allows
    except ImageError as fault:
        raise Refused(422, "bad_image", f"{source.param}: {fault}", source.param) from None
    return ref


def _bytes(given: str, param: str, fetch: Fetch) -> bytes:
    if given[:8].lower().startswith(("http://", "https://")):
        try:
            return fetch(given)
        except Refused as fault:
            raise Refused(fault.status, fault.code, f"{param}: {fault.message}", param, fault.headers) from None
    mark = _DATA_URL.match(given[:200])
    if given[:5].lower() == "data:" and mark is None:
        raise Refused(
            422, "bad_image", f"{param}: this data URL is none of a picture; write data:image/jpeg;base64,...", param
        )
    text = _BLANKS.sub("", given[mark.end() :] if mark else given)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(
            422,
            "bad_image",
            f"{param}: {given[:40]!r} is no picture; send its bytes as base64 or as a data URL. Paths are not read",
            param,
        ) from None

"""Small pictures for the report, each in the page once however often it is shown.

Originals are opened through the one safe door (`vretrver.images`); one that is gone, damaged or not a picture is not
shown, without an error: a report is still worth reading without it.
"""

from __future__ import annotations

import base64

from vretrver.errors import VretrverError
from vretrver.images import encode_jpeg, fit_within, open_image
from vretrver.report.markup import Html, h
from vretrver.types import ImageRef

SIDE = 224  # shown at half of it: sharp on a phone's screen
QUALITY = 76
MAX_BYTES = 96 * 2**20  # all thumbnails of one page


class Thumbnails:
    """Collects the pictures that a page shows.

    Args:
        wanted: False shows none and opens nothing.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.wanted = wanted
        self._symbols: dict[str, tuple[str, Html | None]] = {}  # by label: its name in the page, and its definition
        self._bytes = 0

    def show(self, ref: ImageRef | None, said: str) -> Html | None:
        """The picture, described as `said`; None when there is nothing to show."""
        if ref is None or not self.wanted:
            return None
        if ref.label not in self._symbols:
            name = f"p{len(self._symbols)}"
            self._symbols[ref.label] = (name, self._symbol(ref, name))
        name, symbol = self._symbols[ref.label]
        if symbol is None:
            return None
        shown = h("use", {"href": f"#{name}"})
        return h("svg", {"class": "thumb", "role": "img", "aria-label": said}, h("title", {}, said), shown)

    def definitions(self) -> Html:
        """What `show` refers to; goes into the page once."""
        return h(
            "svg",
            {"class": "defs", "width": 0, "height": 0, "aria-hidden": "true"},
            [one for _, one in self._symbols.values()],
        )

    def _symbol(self, ref: ImageRef, name: str) -> Html | None:
        try:
            picture = fit_within(open_image(ref, near=SIDE), SIDE)
        except VretrverError:
            return None
        data = base64.b64encode(encode_jpeg(picture, QUALITY)).decode("ascii")
        if self._bytes + len(data) > MAX_BYTES:
            return None
        self._bytes += len(data)
        width, height = picture.size
        shown = h("image", {"href": f"data:image/jpeg;base64,{data}", "width": width, "height": height})
        return h("symbol", {"id": name, "viewBox": f"0 0 {width} {height}"}, shown)

"""Thumbnails for a trace: every picture a ranking speaks of, small enough to travel with it.

Each original gives one entry: its size in pixels (boxes are drawn at its scale), the whole picture, and the
crops that were shown, as JPEG data URLs. An original that is gone or unreadable gives no entry and no error:
the trace is still worth reading without it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vretrver.errors import VretrverError
from vretrver.images import encode_jpeg, fit_within, image_size, open_image
from vretrver.messages import ImagePart
from vretrver.trace import Ranking
from vretrver.types import Box, ImageRef

SHOWN_SIDE = 512  # query pictures, selected views, crops
CANDIDATE_SIDE = 320
MAX_PICTURE_BYTES = 12 * 2**20  # all data URLs of one ranking; about 600 candidates
QUALITY = 82

Pictures: TypeAlias = dict[str, dict[str, Any]]


@dataclass(slots=True)
class _Wanted:
    ref: ImageRef
    side: int
    boxes: dict[Box, None] = field(default_factory=dict)  # a dict keeps the order of first sight


def pictures_of(ranking: Ranking, max_bytes: int = MAX_PICTURE_BYTES) -> Pictures:
    """Thumbnails of a ranking's pictures, by `ImageRef.label`.

    Args:
        ranking: whose query, views, evidence and results name pictures.
        max_bytes: cap on the data URLs' length in all. Query pictures come first, then what the agent was shown,
            then results from the best down; past the cap a picture gets no entry.

    Returns:
        label -> {"width", "height": of the original; "whole": data URL; "crops": {"x0,y0,x1,y1": data URL}}.
    """
    pictures: Pictures = {}
    left = max_bytes
    for label, wanted in _wanted(ranking).items():
        try:
            entry = _entry(wanted)
        except VretrverError:
            continue
        size = len(entry["whole"]) + sum(map(len, entry["crops"].values()))
        if size > left:
            break
        left -= size
        pictures[label] = entry
    return pictures


def box_key(box: Box) -> str:
    """How a crop is named in an entry's `crops`."""
    return ",".join(map(str, box))


def _wanted(ranking: Ranking) -> dict[str, _Wanted]:
    wanted: dict[str, _Wanted] = {}
    for ref, side, box in _mentions(ranking):
        found = wanted.setdefault(ref.label, _Wanted(ref, side))
        found.side = max(found.side, side)
        if box is not None:
            found.boxes[box] = None
    return wanted


def _mentions(ranking: Ranking) -> Iterator[tuple[ImageRef, int, Box | None]]:
    """Every picture the ranking speaks of, the most telling first."""
    for ref in ranking.query.images:
        yield ref, SHOWN_SIDE, None
    for trace in ranking.traces:
        for turn in trace.turns:
            for part in turn.observation.parts if turn.observation else ():
                if isinstance(part, ImagePart):
                    yield part.view.image, SHOWN_SIDE, part.view.box
    for result in ranking.results:
        image = result.document.image
        if image is not None:
            for evidence in result.evidence:
                if evidence.image == image.label:
                    yield image, CANDIDATE_SIDE, evidence.box
            yield image, CANDIDATE_SIDE, None
    for trace in ranking.traces:
        for part in trace.prompt:
            if isinstance(part, ImagePart):
                yield part.view.image, CANDIDATE_SIDE, None


def _entry(wanted: _Wanted) -> dict[str, Any]:
    # Crops need every pixel; a whole alone may be decoded at reduced scale, several times faster.
    picture = open_image(wanted.ref, near=None if wanted.boxes else wanted.side)
    width, height = picture.size if wanted.boxes else image_size(wanted.ref)
    crops = {}
    for box in wanted.boxes:
        x0, y0, x1, y1 = box
        if 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height:  # else the file changed since it was looked at
            crops[box_key(box)] = _data_url(encode_jpeg(fit_within(picture.crop(box), SHOWN_SIDE), QUALITY))
    whole = _data_url(encode_jpeg(fit_within(picture, wanted.side), QUALITY))
    return {"width": width, "height": height, "whole": whole, "crops": crops}


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()

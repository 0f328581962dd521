"""Pictures, parts of messages and queries as JSON values, and back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from vretrver.messages import ImagePart, Part, TextPart, View
from vretrver.types import Box, ImageRef, Query


def image_record(ref: ImageRef, with_bytes: bool = True) -> dict[str, str]:
    if ref.path is not None:
        return {"path": ref.path}
    assert ref.data is not None
    return {"data": base64.b64encode(ref.data).decode()} if with_bytes else {"bytes": ref.label}


def read_image(record: Mapping[str, str]) -> ImageRef:
    if "path" in record:
        return ImageRef(path=str(record["path"]))
    return ImageRef(data=base64.b64decode(record["data"], validate=True))


def query_record(query: Query, with_bytes: bool) -> dict[str, Any]:
    return {
        "text": query.text,
        "images": [image_record(image, with_bytes) for image in query.images],
        "instruction": query.instruction,
    }


def part_record(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    view = part.view
    box = None if view.box is None else list(view.box)
    return {
        "image": image_record(view.image),
        "index": part.index,
        "width": view.width,
        "height": view.height,
        "box": box,
    }


def read_part(record: Mapping[str, Any]) -> Part:
    if "text" in record:
        return TextPart(record["text"])
    view = View(read_image(record["image"]), record["width"], record["height"], read_box(record["box"]))
    return ImagePart(view, record["index"])


def read_box(values: Any) -> Box | None:
    if values is None:
        return None
    x0, y0, x1, y1 = values
    return (x0, y0, x1, y1)

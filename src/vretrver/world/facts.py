"""What is true of one picture of the world, as its scene says; a line of truth.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vretrver.errors import RecordError
from vretrver.types import Box
from vretrver.world.scenes import Scene, layout


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of one picture.

    Args:
        file: its name in the folder.
        kind, value, subject: the deciding detail, as in `scenes.Tag`.
        tag: the tag's bounding box. detail: that of the deciding marks or print. Pixels of the original.
        size: the picture's width and height.
        object, colour, surface, wall: what else a description may say.
        marks: icon and ink of each mark on the tag, row by row.
        clutter: icons that stand about.
    """

    file: str
    kind: str
    value: str
    subject: str | None
    tag: Box
    detail: Box
    size: tuple[int, int]
    object: str
    colour: str
    surface: str
    wall: str
    marks: tuple[tuple[str, str], ...]
    clutter: tuple[str, ...]

    @classmethod
    def of(cls, file: str, scene: Scene) -> Truth:
        lay = layout(scene)
        return cls(
            file,
            scene.tag.kind,
            scene.tag.value,
            scene.tag.subject,
            lay.tag_box,
            lay.detail_box,
            lay.size,
            scene.object,
            scene.colour,
            scene.surface,
            scene.wall,
            tuple((mark.icon, mark.colour) for mark in lay.marks),
            tuple(one.icon for one in lay.clutter),
        )

    def to_record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Truth:
        """The inverse of `to_record`, through JSON too.

        Raises:
            RecordError: a field is missing or strange.
        """
        try:
            values = {field.name: record[field.name] for field in fields(cls)}
            for name in ("tag", "detail"):
                x0, y0, x1, y1 = (int(edge) for edge in values[name])
                values[name] = (x0, y0, x1, y1)
            values["size"] = (int(values["size"][0]), int(values["size"][1]))
            values["marks"] = tuple((str(icon), str(ink)) for icon, ink in values["marks"])
            values["clutter"] = tuple(values["clutter"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as fault:
            raise RecordError(f"this truth does not parse: {type(fault).__name__}: {fault}") from fault

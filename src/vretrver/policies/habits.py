"""What a trained model is used to: the tools, turns, coordinates and picture sizes that it learnt with.

A trained folder says so in its record, `vretrver.json`, under `habits`. A policy that has `habits` is served as it was
trained unless whoever serves it says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vretrver.boxes import BoxFamily, box_family
from vretrver.errors import InvalidInput, RecordError
from vretrver.protocol import Wire
from vretrver.tools import Toolbox, default_toolbox, load_toolbox

RECORD = "vretrver.json"
MAX_RECORD = 1 << 20
MAX_TURNS = 2


@dataclass(frozen=True, slots=True)
class Habits:
    """Args: `tools`: their names. `window_pixels`: the largest area of a picture in the window."""

    tools: tuple[str, ...]
    max_tool_turns: int
    boxes: BoxFamily
    window_pixels: int

    @property
    def toolbox(self) -> Toolbox:
        return load_toolbox(self.tools)

    @property
    def wire(self) -> Wire:
        return Wire(boxes=self.boxes, window_pixels=self.window_pixels)

    @classmethod
    def of(cls, toolbox: Toolbox, max_tool_turns: int, wire: Wire) -> Habits:
        """The habits that a model gets from conversations under these settings."""
        return cls(tuple(tool.name for tool in toolbox.tools), max_tool_turns, wire.boxes, wire.window_pixels)

    def to_record(self) -> dict[str, Any]:
        return asdict(self) | {"tools": list(self.tools)}

    @classmethod
    def from_record(cls, record: Any) -> Habits:
        """The inverse of `to_record`, through JSON too.

        Raises:
            RecordError: a field is missing or strange, or a tool is not known here.
        """
        try:
            tools, turns, pixels = record["tools"], record["max_tool_turns"], record["window_pixels"]
            if not (isinstance(tools, list) and all(isinstance(name, str) for name in tools)):
                raise TypeError("tools is not a list of names")
            for name, value in (("max_tool_turns", turns), ("window_pixels", pixels)):
                if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                    raise TypeError(f"{name} is not a whole number of at least 0")
            made = cls(tuple(tools), turns, box_family(record["boxes"]), pixels)
            _ = made.toolbox
        except (KeyError, TypeError, InvalidInput) as fault:
            raise RecordError(f"these habits do not parse: {type(fault).__name__}: {fault}") from fault
        return made


def habits_in(folder: Path) -> Habits | None:
    """The habits of a trained folder; None for a folder without a record of ours, or without habits in it.

    Raises:
        RecordError: the record does not parse.
    """
    try:
        with (folder / RECORD).open("rb") as file:
            text = file.read(MAX_RECORD)
    except (OSError, ValueError):  # no such file, or what no file can be called
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise RecordError(f"{folder / RECORD} is not JSON; train the model again, or take the file away") from fault
    habits = record.get("habits") if isinstance(record, Mapping) else None
    return None if habits is None else Habits.from_record(habits)


def toolbox_for(policy: object, asked: Toolbox | None = None) -> Toolbox:
    """The tools on offer: those asked for, else what the policy is used to, else the paper's two."""
    habits: Habits | None = getattr(policy, "habits", None)
    if asked is not None:
        return asked
    return default_toolbox() if habits is None else habits.toolbox


def turns_for(policy: object, asked: int | None = None) -> int:
    """How often a window's agent may call a tool: as asked, else as the policy is used to, else twice."""
    habits: Habits | None = getattr(policy, "habits", None)
    if asked is not None:
        return asked
    return MAX_TURNS if habits is None else habits.max_tool_turns

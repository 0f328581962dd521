"""Where a training's examples are read from: folders that `vretrver train synthesize` made, or files in that layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vretrver.errors import MissingPath
from vretrver.training.examples import Example
from vretrver.training.sharegpt import read_sharegpt

EXAMPLES = "sft.jsonl"  # in a folder


def load_examples(places: Sequence[str]) -> list[Example]:
    """The examples of all places, in order.

    Pictures' headers are read, not their pixels: `rows.make_rows` opens them, and counts those that are damaged.

    Args:
        places: folders with an `sft.jsonl`, or .jsonl and .json files in the released layout.

    Raises:
        MissingPath: there is no such place. RecordError: an example does not parse; names file and row.
    """
    return [example for place in places for example in read_sharegpt(_file(Path(place)), decode=False)]


def _file(place: Path) -> Path:
    if place.is_dir():
        if not (place / EXAMPLES).is_file():
            raise MissingPath(f"{place} holds no {EXAMPLES}; `vretrver train synthesize ... -o {place}` makes one")
        return place / EXAMPLES
    if not place.is_file():
        raise MissingPath(f"no such data: {place}; give a folder made by `vretrver train synthesize`, or its file")
    return place

"""Three queries in all.val.json's own form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vretrver.datasets import load_task
from vretrver.datasets.mtfiq import load
from vretrver.errors import InvalidInput, RecordError

URL = "http://example.com/I/41.jpg"


def query(target: str, *rounds: tuple[str, list[str]]) -> dict[str, Any]:
    return {"target": [URL, target], "reference": [[URL, texts, name] for name, texts in rounds]}


def write(root: Path, queries: Any, part: str = "all") -> None:
    (root / "data").mkdir(exist_ok=True)
    (root / f"data/{part}.val.json").write_text(json.dumps(queries))
    (root / "image_splits").mkdir(exist_ok=True)
    (root / f"image_splits/split.{part}.val.json").write_text(json.dumps(["B01", "B02", "B03", "B04"]))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(
        tmp_path,
        [
            query("B01", ("B02", ["has long sleeves", ""]), ("B03", ["is navy", "is belted"])),
            query("B02", ("B03", ["is red", "is shorter"]), ("B04", ["is the same", ""])),
            query("B99", ("B04", ["is longer", "longer"])),
        ],
    )
    (tmp_path / "mbeir_images/fashioniq_images").mkdir(parents=True)
    return tmp_path


def test_rounds_become_one_query(root: Path) -> None:
    task = load_task("mtfiq", root)
    first = task.topics[0]
    assert (task.name, len(task.topics), len(task.pool)) == ("mtfiq/all", 3, 4)
    assert first.query.text == "Picture 1: has long sleeves\nPicture 2: is navy and is belted"
    folder = root / "mbeir_images/fashioniq_images"
    assert [ref.path for ref in first.query.images] == [str(folder / "B02.jpg"), str(folder / "B03.jpg")]
    assert dict(first.relevant) == {"B01": 1}
    assert task.measures[0] == "hit@5"
    assert task.facts["targets outside the pool"] == 1


def test_a_category_of_its_own(root: Path) -> None:
    write(root, [query("B01", ("B02", ["is blue", "blue"]))], "dress")
    assert load(root, "dress").name == "mtfiq/dress"
    with pytest.raises(InvalidInput, match="unknown task 'hats'; choose from all, dress, shirt, toptee"):
        load(root, "hats")


@pytest.mark.parametrize(
    "entry", [{"target": [URL, "B01"], "reference": []}, {"target": ["B01"], "reference": [[URL, ["a"], "B02"]]}, 7]
)
def test_faults_are_named(root: Path, entry: Any) -> None:
    write(root, [query("B01", ("B02", ["is blue"])), entry])
    with pytest.raises(RecordError, match=r"all\.val\.json: entry 1: "):
        load(root)

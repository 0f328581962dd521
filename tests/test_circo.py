"""Three annotations as the repository publishes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vretrver.datasets import load_task
from vretrver.datasets.circo import load, submission
from vretrver.errors import InvalidInput, MissingPath, RecordError

VAL: list[dict[str, Any]] = [
    {"reference_img_id": 1, "target_img_id": 2, "relative_caption": "is held by a girl", "shared_concept": "a bear",
     "gt_img_ids": [2, 3], "id": 0, "semantic_aspects": ["addition"]},
    {"reference_img_id": 2, "target_img_id": 1, "relative_caption": "is red", "shared_concept": "a kite",
     "gt_img_ids": [1], "id": 1, "semantic_aspects": []},
    {"reference_img_id": 3, "target_img_id": 60, "relative_caption": "has two", "shared_concept": "dogs",
     "gt_img_ids": [60, 1, 2], "id": 2, "semantic_aspects": []},
]  # fmt: skip


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    images = [{"id": n, "file_name": f"{n:012d}.jpg", "width": 640, "height": 480} for n in range(1, 61)]
    put(tmp_path / "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json", {"info": {}, "images": images})
    put(tmp_path / "annotations/val.json", VAL)
    test = [{k: one[k] for k in ("reference_img_id", "relative_caption", "shared_concept", "id")} for one in VAL]
    put(tmp_path / "annotations/test.json", test)
    return tmp_path


def test_the_validation_part(root: Path) -> None:
    task = load_task("circo", root)
    first = task.topics[0]
    assert (task.name, task.split, len(task.topics), len(task.pool)) == ("circo/val", "val", 3, 60)
    assert (first.id, first.query.text, dict(first.relevant)) == ("0", "is held by a girl", {"2": 1, "3": 1})
    assert first.query.images[0].path == str(root / "COCO2017_unlabeled/unlabeled2017/000000000001.jpg")
    assert first.query.instruction == task.facts["instruction"]
    assert task.measures[0] == "map@5"


def test_the_test_part_has_no_answers(root: Path) -> None:
    task = load(root, "test", instruction="")
    assert [dict(topic.relevant) for topic in task.topics] == [{}, {}, {}]
    assert task.topics[0].query.instruction is None


def test_what_the_server_takes(root: Path) -> None:
    order = [str(n) for n in range(60, 0, -1)]
    sent = submission({topic.id: order for topic in reversed(load(root, "test").topics)})
    assert list(sent) == ["0", "1", "2"]
    assert sent["0"] == list(range(60, 10, -1))
    eleven = submission({str(n): order for n in range(11)})
    assert list(eleven) == [str(n) for n in range(11)]
    for partly in ({"0": order, "2": order}, {"1": order}, {}):
        with pytest.raises(InvalidInput, match="the server takes all queries of the split"):
            submission(partly)
    with pytest.raises(InvalidInput, match="query 1 ranks 49 pictures; the server takes 50"):
        submission({"0": order, "1": order[:49], "2": order})


def test_faults_are_named(root: Path) -> None:
    put(root / "annotations/val.json", [*VAL, {**VAL[0], "id": 9, "gt_img_ids": [99]}])
    with pytest.raises(RecordError, match=r"val\.json: entry 3: picture 99 is not in COCO's list"):
        load(root)
    put(root / "annotations/val.json", [VAL[0], VAL[0]])
    with pytest.raises(RecordError, match="a query id twice"):
        load(root)
    put(root / "annotations/val.json", [{**VAL[0], "gt_img_ids": []}])
    with pytest.raises(RecordError, match="gt_img_ids is empty"):
        load(root)
    (root / "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json").unlink()
    with pytest.raises(MissingPath, match="COCO's list of unlabeled pictures is not there"):
        load(root)
    with pytest.raises(InvalidInput, match="unknown split 'train'; choose from val, test"):
        load(root, "train")

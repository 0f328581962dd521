"""Three stories in val.story-in-sequence.json's own form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vretrver.datasets import load_task
from vretrver.datasets.vist import load
from vretrver.errors import RecordError


def step(story: str, order: Any, photo: str) -> list[dict[str, Any]]:
    return [{
        "original_text": "x", "album_id": "1", "photo_flickr_id": photo, "setting": "first-2-pick-and-tell",
        "worker_id": "W", "story_id": story, "tier": "story-in-sequence", "worker_arranged_photo_order": order,
        "text": f"caption {order} of {story} .", "storylet_id": f"{story}{order}",
    }]  # fmt: skip


def write(root: Path, annotations: list[Any]) -> None:
    (root / "sis").mkdir(exist_ok=True)
    data = {"images": [], "albums": [], "info": {}, "type": "sis", "annotations": annotations}
    (root / "sis/val.story-in-sequence.json").write_text(json.dumps(data))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    stories = [step("10", order, f"p{order}") for order in range(5)]
    stories += [step("11", order, f"p{4 - order}") for order in reversed(range(5))]  # out of order in the file
    stories += [step("12", 0, "p0"), step("12", 1, "r1"), step("12", 2, "p0")]  # comes back to its first picture
    write(tmp_path, stories)
    (tmp_path / "images/val").mkdir(parents=True)
    (tmp_path / "images/val/p1.png").touch()
    return tmp_path


def test_four_pictures_and_five_captions(root: Path) -> None:
    task = load_task("vist", root)
    first = task.topics[0]
    assert (task.name, len(task.topics), len(task.pool)) == ("vist/val", 3, 6)
    names = ["p0.jpg", "p1.png", "p2.jpg", "p3.jpg"]
    assert [ref.path for ref in first.query.images] == [str(root / "images/val" / name) for name in names]
    assert (first.query.text or "").splitlines()[0] == "Picture 1: caption 0 of 10 ."
    assert (first.query.text or "").splitlines()[-1] == "Picture 5, to be found: caption 4 of 10 ."
    assert dict(first.relevant) == {"p4": 1}


def test_what_the_query_shows_may_not_be_ranked(root: Path) -> None:
    task = load(root)
    assert [topic.excluded for topic in task.topics] == [("p0", "p1", "p2", "p3"), ("p4", "p3", "p2", "p1"), ("r1",)]
    assert all(topic.relevant.keys().isdisjoint(topic.excluded) for topic in task.topics)


def test_stories_are_put_in_their_order(root: Path) -> None:
    assert dict(load(root).topics[1].relevant) == {"p0": 1}


def test_faults_are_named(root: Path) -> None:
    write(root, [step("10", 0, "a"), step("10", 1, "b")[0]])
    with pytest.raises(
        RecordError, match=r"sequence\.json: annotation 1: the annotation is an object; it must be a list"
    ):
        load(root)
    write(root, [step("10", "first", "a")])
    with pytest.raises(RecordError, match="annotation 0: worker_arranged_photo_order is 'first'"):
        load(root)
    write(root, [step("10", 0, "../a"), step("10", 1, "b")])
    with pytest.raises(RecordError, match="lies outside"):
        load(root)
    write(root, [step("10", 0, "a"), step("10", 1, "b"), step("11", 0, "c")])
    assert load(root).facts["stories of one picture, left out"] == 1

from __future__ import annotations

from pathlib import Path

import pytest

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.missing import missing_pictures, without_missing
from vretrver.types import Document, ImageRef, Query


@pytest.fixture
def task(tmp_path: Path) -> Task:
    for name in ("q1", "d1"):
        (tmp_path / f"{name}.jpg").touch()

    def ref(name: str) -> ImageRef:
        return ImageRef(path=str(tmp_path / f"{name}.jpg"))

    topics = (
        Topic("1", Query("a", (ref("q1"),)), {"d2": 1}, ("d1", "d2", "d3")),
        Topic("2", Query("b", (ref("q1"), ref("gone2"))), {"d1": 1}),
        Topic("3", Query(None, (ref("gone1"),)), {"d1": 1}),
        Topic("4", Query("only words"), {"d1": 1, "d2": 1}),
    )
    pool = (
        Document("d1", image=ref("d1")),
        Document("d2", image=ref("gone1")),
        Document("d3", "its text", ref("gone3")),
        Document("d4", image=ImageRef(data=b"bytes are never missing")),
    )
    return Task("a/b", "test", topics, pool, ("hit@1",), Card("", "", "", ""), tmp_path, facts={"pool": "local"})


def test_each_missing_picture_once_and_in_order(task: Task) -> None:
    assert [Path(path).name for path in missing_pictures(task)] == ["gone2.jpg", "gone1.jpg", "gone3.jpg"]


def test_what_is_left(task: Task) -> None:
    left = without_missing(task, missing_pictures(task))
    assert [topic.id for topic in left.topics] == ["1", "4"]
    assert left.topics[0].candidates == ("d1", "d3")
    assert [(one.id, one.text, one.modality) for one in left.pool] == [
        ("d1", None, "image"),
        ("d3", "its text", "text"),
        ("d4", None, "image"),
    ]
    assert len(left.pool) == 3
    assert missing_pictures(left) == []
    assert left.facts["pool"] == "local"
    assert left.facts["missing"] == {
        "pictures": 3,
        "topics left out": 2,
        "documents left out": 1,
        "topics whose every answer is left out": 1,
    }


def test_an_answer_that_went_stays_an_answer(task: Task) -> None:
    left = without_missing(task, missing_pictures(task))
    assert dict(left.topics[0].relevant) == {"d2": 1}  # it counts as not found, not as not asked


def test_nothing_missing_changes_nothing(task: Task) -> None:
    assert without_missing(task, []) is task

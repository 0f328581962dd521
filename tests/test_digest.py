from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.digest import data_digest
from vretrver.types import Document, ImageRef, Query


def task(root: Path, work: Path | None = None) -> Task:
    topics = (Topic("1", Query("a", (str(root / "x/q.jpg"),), "Find."), {"d1": 1, "d2": 2}),)  # type: ignore[arg-type]
    crop = ImageRef(path=str((work or root / "work") / "crop.jpg"))
    pool = (Document("d1", "text", ImageRef(path=str(root / "x/d.jpg"))), Document("d2", image=crop))
    return Task("a/b", "test", topics, pool, ("hit@1",), Card("", "", "", ""), root)


def test_the_same_data_on_two_machines() -> None:
    here, there = task(Path("/home/a/data"), Path("/tmp/w")), task(Path("/mnt/b"), Path("/var/other"))
    assert data_digest(here) == data_digest(there)
    assert data_digest(here) == data_digest(replace(here, name="other", measures=("hit@5",), facts={"k": 1}))
    assert len(data_digest(here)) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"id": "2"},
        {"query": Query("b", (ImageRef(path="/r/x/q.jpg"),), "Find.")},
        {"query": Query("a", (ImageRef(path="/r/x/other.jpg"),), "Find.")},
        {"query": Query("a", (ImageRef(path="/r/x/q.jpg"),))},
        {"relevant": {"d1": 1, "d2": 1}},
        {"candidates": ("d1", "d2")},
        {"excluded": ("d1",)},
        {"group": "g"},
    ],
)
def test_whatever_is_asked_differently_shows(change: dict[str, Any]) -> None:
    one = task(Path("/r"))
    other = replace(one, topics=(replace(one.topics[0], **change),))
    assert data_digest(one) != data_digest(other)


def test_a_pool_of_another_order_or_content_shows() -> None:
    one = task(Path("/r"))
    documents = tuple(one.pool)
    for pool in (documents[::-1], documents[:1], (replace(documents[0], text="else"), documents[1])):
        assert data_digest(replace(one, pool=pool)) != data_digest(one)


def test_pictures_of_bytes_count_by_their_bytes() -> None:
    one = task(Path("/r"))
    a, b = (replace(one, pool=(Document("d", image=ImageRef(data=data)),)) for data in (b"1", b"2"))
    assert data_digest(a) != data_digest(b)

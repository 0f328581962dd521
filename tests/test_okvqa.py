"""OK-VQA in its published form: questions, ten answers each, passages of Google Search's corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kvqa_data
from vretrver.datasets import load_task
from vretrver.datasets.digest import data_digest
from vretrver.datasets.missing import missing_pictures
from vretrver.errors import InvalidInput, MissingPath, RecordError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return kvqa_data.okvqa(tmp_path)


def test_the_test_part(root: Path) -> None:
    task = load_task("okvqa", root)
    first = task.topics[0]
    assert (task.name, task.split, len(task.topics), len(task.pool)) == ("okvqa/test", "test", 3, 4)
    assert (first.id, first.query.text, first.group) == (
        "2971475", "What sport can you use this for?", "Sports and Recreation"
    )  # fmt: skip
    assert first.query.images[0].path == str(root / "val2014/COCO_val2014_000000297147.jpg")
    assert first.expected is not None and first.expected.known
    assert first.expected.accepted == ("race",) * 6 + ("motocross",) * 2 + ("ride",) * 2
    assert first.expected.sought == ("race", "motocross", "ride")
    assert dict(first.relevant) == {}
    assert [document.id for document in task.pool] == ["0", "1", "2", "3"]
    assert (task.measures[0], task.facts["corpus"]) == ("pr@5", "okvqa_full_corpus.csv")
    assert missing_pictures(task) == []


def test_what_is_missing_is_named(root: Path) -> None:
    (root / "val2014/COCO_val2014_000000000003.jpg").unlink()
    assert missing_pictures(load_task("okvqa", root)) == [str(root / "val2014/COCO_val2014_000000000003.jpg")]
    with pytest.raises(MissingPath, match=r"annotation file is not there: .*mscoco_train2014_annotations.json"):
        load_task("okvqa", root, split="train")
    with pytest.raises(InvalidInput, match="unknown split 'val'; choose from test, train"):
        load_task("okvqa", root, split="val")
    (root / "okvqa_full_corpus.csv").unlink()
    with pytest.raises(MissingPath, match=r"corpus of passages is not there: .*passages.jsonl \(nor .*full_corpus"):
        load_task("okvqa", root)


def test_a_corpus_of_one_s_own(root: Path) -> None:
    rows = [{"passage_id": "a", "title": "Leek", "passage_content": "A vegetable."}, {"passage_id": "b", "text": "b"}]
    kvqa_data.put_lines(root / "passages.jsonl", rows)
    task = load_task("okvqa", root)
    assert [(one.id, one.text) for one in task.pool] == [("a", "Leek. A vegetable."), ("b", "b")]
    kvqa_data.put_lines(root / "passages.jsonl", [rows[0], rows[0]])
    with pytest.raises(RecordError, match=r"passages.jsonl:2: the passage id 'a' comes twice"):
        load_task("okvqa", root)


def test_a_question_without_its_annotation_is_named(root: Path) -> None:
    path = root / "mscoco_val2014_annotations.json"
    data = json.loads(path.read_text())
    kvqa_data.put(path, data | {"annotations": data["annotations"][:2]})
    with pytest.raises(RecordError, match="question 2: question 3 has no annotation"):
        load_task("okvqa", root)


def test_the_answers_are_part_of_the_data(root: Path) -> None:
    before = data_digest(load_task("okvqa", root))
    path = root / "mscoco_val2014_annotations.json"
    path.write_text(path.read_text().replace("motocross", "motorsport"))
    assert data_digest(load_task("okvqa", root)) != before

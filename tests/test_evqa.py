"""Encyclopedic-VQA in its published form: csv questions, a knowledge base that is one large object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kvqa_data
from vretrver.datasets import load_task
from vretrver.datasets.missing import missing_pictures
from vretrver.errors import MissingPath, RecordError

CROW, ROSE = kvqa_data.CROW, kvqa_data.ROSE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return kvqa_data.evqa(tmp_path)


def test_the_test_part(root: Path) -> None:
    task = load_task("evqa", root)
    assert [topic.id for topic in task.topics] == ["test-0-0", "test-0-1", "test-1-0", "test-2-0"]
    first, _second, listed, hops = task.topics
    assert first.expected is not None and listed.expected is not None and hops.expected is not None
    assert (first.expected.accepted, first.expected.kind) == (("worms", "earthworms"), "templated")
    assert (listed.expected.accepted, listed.expected.sought) == (("red&&white&&pink",), ("red", "white", "pink"))
    assert [topic.group for topic in task.topics][1:3] == ["article unseen in training", "article in training"]
    assert first.query.images[0].path == str(root / "inat/val/05736_Corvus/a.jpg")
    assert listed.query.images[0].path == str(root / "google-landmark/train/a/b/c/abcdef0123456789.jpg")
    assert missing_pictures(task) == []
    assert len(load_task("evqa", root, pictures="first").topics) == 3


def test_sections_are_passages_and_the_one_with_the_evidence_counts_more(root: Path) -> None:
    task = load_task("evqa", root)
    assert {one.id: one.text for one in task.pool} == {
        f"{CROW}#0.0": "Crow. A crow is a bird.",
        f"{CROW}#1.0": "Crow. Diet. Worms, mostly.",
        f"{ROSE}#0.0": "Rose. Roses are red, white or pink.",
    }
    assert dict(task.topics[0].relevant) == {f"{CROW}#0.0": 1, f"{CROW}#1.0": 2}
    assert dict(task.topics[3].relevant) == {f"{CROW}#0.0": 2, f"{CROW}#1.0": 1, f"{ROSE}#0.0": 2}


def test_names_of_pictures_by_number(root: Path) -> None:
    (root / "inat/val.json").unlink()
    with pytest.raises(MissingPath, match=r"list of pictures is not there: .*val_id2name.json"):
        load_task("evqa", root)
    kvqa_data.put(root / "inat/val_id2name.json", {"2686843": "val/x.jpg", "2686844": "../../x.jpg"})
    with pytest.raises(RecordError, match="lies outside"):
        load_task("evqa", root)
    kvqa_data.put(root / "inat/val_id2name.json", {"2686843": "val/x.jpg"})
    with pytest.raises(RecordError, match=r"test.csv:2: iNaturalist's list of pictures has no picture '2686844'"):
        load_task("evqa", root)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("question_type", "list", "question_type is 'list'; it must be one of templated, automatic"),
        ("answer", " ", "answer is empty"),
        ("question", "", "question is empty"),
        ("dataset_name", "flickr", "it must be inaturalist or landmarks"),
        ("dataset_image_ids", "", "dataset_image_ids is empty"),
    ],
)
def test_faults_are_named(root: Path, column: str, value: str, told: str) -> None:
    row = list(kvqa_data.EVQA[0])
    row[kvqa_data.EVQA_HEAD.index(column)] = value
    kvqa_data.put_csv(root / "test.csv", kvqa_data.EVQA_HEAD, [row])
    with pytest.raises(RecordError, match=f"test.csv:2: .*{told}"):
        load_task("evqa", root)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": {"title": "a"', "member 0 is not valid JSON"),
        ('{"a": {"title": NaN}}', "NaN is no JSON number"),
        ('{"a": 1}', "'a' is a number; each member must be an object"),
        ("[1]", "expected a member"),
        ('{"a": {"section_titles": ["x"], "section_texts": []}}', "1 section_titles and 0 section_texts"),
        ('{"a": {}, "a": {}}', "the article 'a' comes twice"),
    ],
)
def test_a_spoilt_knowledge_base_is_named(root: Path, text: str, told: str) -> None:
    (root / "encyclopedic_kb_wiki.json").write_text(text)
    with pytest.raises(RecordError, match=told):
        load_task("evqa", root)


def test_a_knowledge_base_longer_than_what_is_read_at_once(root: Path) -> None:
    filler = {"title": "Filler", "section_titles": ["Filler"], "section_texts": ["word " * 1000]}
    base = {f"u{at}": filler for at in range(500)} | kvqa_data.KNOWLEDGE  # two and a half million characters
    (root / "encyclopedic_kb_wiki.json").write_text(json.dumps(base, indent=1))
    task = load_task("evqa", root)
    assert len(task.pool) == 500 * 10 + 3
    assert dict(task.topics[0].relevant) == {f"{CROW}#0.0": 1, f"{CROW}#1.0": 2}

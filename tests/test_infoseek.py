"""InfoSeek in its published form, over articles that are cut into passages."""

from __future__ import annotations

from pathlib import Path

import pytest

import kvqa_data
from vretrver.datasets import load_task
from vretrver.datasets.missing import missing_pictures
from vretrver.errors import MissingPath, RecordError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return kvqa_data.infoseek(tmp_path)


def test_the_validation_part(root: Path) -> None:
    task = load_task("infoseek", root)
    crow, span, opened = task.topics
    assert [topic.group for topic in task.topics] == ["unseen_entity", "unseen_question", "unseen_question"]
    assert [topic.expected.kind for topic in task.topics if topic.expected] == ["String", "Numerical", "Time"]
    assert crow.expected is not None and span.expected is not None and opened.expected is not None
    assert crow.expected.accepted == ("carrion crow", "crow", "Corvus corone")
    assert crow.expected.sought == ("carrion crow",)
    assert (span.expected.span, span.expected.accepted) == ((1152.144, 1408.176), ())
    assert opened.expected.accepted == ("1937", "27 May 1937", "1936", "1938")
    assert crow.query.images[0].path == str(root / "oven_images/04/oven_04925844.jpg")
    assert opened.query.images[0].path == str(root / "oven_images/oven_00000012.JPEG")
    assert missing_pictures(task) == []


def test_articles_are_cut_and_every_passage_of_the_right_one_is_relevant(root: Path) -> None:
    task = load_task("infoseek", root)
    pool = {document.id: document for document in task.pool}
    # 30 times 8 words make 240: three passages. An article without content gives its summary.
    assert list(pool) == ["Q25394#0.0", "Q25394#0.1", "Q25394#0.2", "Q44440#0.0", "Q1#0.0"]
    assert len(task.pool) == 5
    assert pool["Q1#0.0"].text == "Universe. All of space."
    assert [len((pool[f"Q25394#0.{at}"].text or "").split()) for at in range(3)] == [102, 102, 42]
    assert dict(task.topics[0].relevant) == {"Q25394#0.0": 1, "Q25394#0.1": 1, "Q25394#0.2": 1}
    assert dict(task.topics[1].relevant) == {"Q44440#0.0": 1}
    image = pool["Q44440#0.0"].image
    assert image is not None and image.path == str(root / "wikipedia_images_full/Q444/Q44440.jpg")
    assert pool["Q25394#0.0"].image is None  # its picture is not in the folder of pictures
    assert task.facts["questions whose entity has no article"] == 0
    shorter = load_task("infoseek", root, words=300)
    assert len(shorter.pool) == 3


def test_without_kinds_they_are_read_off_the_answers(root: Path) -> None:
    (root / "infoseek_val_qtype.jsonl").unlink()
    task = load_task("infoseek", root)
    assert [topic.expected.kind for topic in task.topics if topic.expected] == ["String", "Numerical", "String"]
    assert task.facts["question types"] == "read off the answers"


def test_the_test_part_has_no_answers(tmp_path: Path) -> None:
    root = kvqa_data.infoseek(tmp_path, "test")
    (root / "infoseek_test_withkb.jsonl").unlink()
    (root / "infoseek_test_qtype.jsonl").unlink()
    kept = ("data_id", "image_id", "question")
    kvqa_data.put_lines(root / "infoseek_test.jsonl", [{k: one[k] for k in kept} for one in kvqa_data.INFOSEEK])
    task = load_task("infoseek", root, split="test")
    assert [topic.expected.known for topic in task.topics if topic.expected] == [False, False, False]
    assert all(not topic.relevant for topic in task.topics)


def test_passages_that_are_cut_already_are_not_labelled(root: Path) -> None:
    (root / "Wiki6M_ver_1_0.jsonl").unlink()
    with pytest.raises(MissingPath, match="InfoSeek's corpus is not there"):
        load_task("infoseek", root)
    kvqa_data.put_csv(root / "passages.csv", ("passage_id", "passage_content"), [("a", "The carrion crow.")])
    task = load_task("infoseek", root)
    assert [document.text for document in task.pool] == ["The carrion crow."]
    assert task.facts["questions whose entity has no article"] == 3


def test_faults_are_named(root: Path) -> None:
    path = root / "infoseek_val.jsonl"
    spoilt = kvqa_data.INFOSEEK[1] | {"answer_eval": [{"range": ["a", 2]}]}
    kvqa_data.put_lines(path, [spoilt])
    with pytest.raises(RecordError, match=r"infoseek_val.jsonl:1: the range of a numerical answer is no number"):
        load_task("infoseek", root)
    kvqa_data.put_lines(path, [kvqa_data.INFOSEEK[0]] * 2)
    with pytest.raises(RecordError, match="a data_id twice"):
        load_task("infoseek", root)
    kvqa_data.put_lines(root / "Wiki6M_ver_1_0.jsonl", kvqa_data.ARTICLES[:1] * 2)
    with pytest.raises(RecordError, match=r"Wiki6M_ver_1_0.jsonl:2: the article 'Q25394' comes twice"):
        load_task("infoseek", root)

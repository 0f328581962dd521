from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vretrver.datasets import load_task
from vretrver.datasets.own import load
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.listing import read_source

DOCUMENTS = [
    {"id": "d1", "text": "a red kite"},
    {"id": "d2", "image": "photos/b.jpg", "text": "a blue kite"},
    {"id": 3, "image": "photos/c.jpg"},
]
QUERIES = [
    {"id": "q1", "text": "kite", "relevant": ["d1", "d2"], "group": "easy", "instruction": "Find it."},
    {"id": "q2", "image": "photos/q.jpg", "relevant": {"3": 2, "d1": 0}},
    {"id": "q3", "text": "both", "images": ["photos/a.jpg", "photos/b.jpg"], "relevant": [3], "candidates": [3, "d1"]},
]


def lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lines(tmp_path / "queries.jsonl", QUERIES)
    lines(tmp_path / "documents.jsonl", DOCUMENTS)
    return tmp_path


def test_a_benchmark_of_one_s_own(root: Path) -> None:
    task = load_task("jsonl", root)
    one, two, three = task.topics
    assert (task.name, task.split, len(task.pool)) == (f"jsonl/{root.name}", "all", 3)
    assert (dict(one.relevant), one.group, one.query.instruction) == ({"d1": 1, "d2": 1}, "easy", "Find it.")
    assert (dict(two.relevant), two.query.images[0].path) == ({"3": 2}, str(root / "photos/q.jpg"))
    assert (three.candidates, len(three.query.images), dict(three.relevant)) == (("3", "d1"), 2, {"3": 1})
    assert [one.id for one in task.pool] == ["d1", "d2", "3"]
    assert task.measures[0] == "hit@1"
    assert task.facts["judged"] is True


def test_trec_qrels(root: Path) -> None:
    lines(root / "queries.jsonl", [{"id": "q1", "text": "a"}, {"id": "q2", "text": "b"}])
    (root / "qrels.txt").write_text("q1 0 d1 1\nq1 0 d2 0\nq2 0 3 2 7\n")
    assert [dict(topic.relevant) for topic in load(root).topics] == [{"d1": 1}, {"3": 2}]
    (root / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d2\n")
    with pytest.raises(RecordError, match=r"qrels\.txt:2: 'q2 0 d2'; four columns are due"):
        load(root)
    (root / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d2 1\nq9 0 d2 1\n")
    with pytest.raises(RecordError, match="judge 1 queries that are not asked, such as 'q9'"):
        load(root)


def test_splits_are_files_of_their_own(root: Path) -> None:
    lines(root / "queries.val.jsonl", QUERIES[:1])
    task = load(root, "val")
    assert (task.split, len(task.topics)) == ("val", 1)
    with pytest.raises(MissingPath, match=r"queries\.test\.jsonl; write one query a line"):
        load(root, "test")


def test_a_table_is_as_good_as_lines(root: Path) -> None:
    expected = [(one.id, one.text, one.image) for one in load(root).pool]
    (root / "documents.jsonl").unlink()
    (root / "documents.csv").write_text(
        "id;caption;path\nd1;a red kite;\nd2;a blue kite;photos/b.jpg\n3;;photos/c.jpg\n"
    )
    assert [(one.id, one.text, one.image) for one in load(root).pool] == expected
    (root / "documents.csv").unlink()
    columns = {"did": ["d1", "d2", "3"], "txt": ["a red kite", "a blue kite", None],
               "img_path": [None, "photos/b.jpg", "photos/c.jpg"]}  # fmt: skip
    pq.write_table(pa.table(columns), root / "documents.parquet")
    assert [(one.id, one.text, one.image) for one in load(root).pool] == expected


def test_documents_read_as_a_listing_reads_them(root: Path) -> None:
    (root / "photos").mkdir()
    for name in "bc":
        (root / f"photos/{name}.jpg").touch()
    listed = [entry.document for entry in read_source(root / "documents.jsonl").entries]
    assert [(one.id, one.text, one.modality) for one in load(root).pool] == [
        (one.id, one.text, one.modality) for one in listed
    ]


def test_a_folder_of_pictures(root: Path) -> None:
    (root / "documents.jsonl").unlink()
    (root / "documents/sub/.hidden").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.png", "sub/.hidden/c.jpg", "notes.md"):
        (root / "documents" / name).touch()
    (root / "documents/a.txt").write_text("a red\nkite\n")
    lines(root / "queries.jsonl", [{"id": "q", "text": "kite", "relevant": ["a.jpg"]}])
    task = load(root)
    assert [(one.id, one.text) for one in task.pool] == [("a.jpg", "a red kite"), ("sub/b.png", None)]


def test_nothing_judged_is_allowed_and_said(root: Path) -> None:
    lines(root / "queries.jsonl", [{"id": "q1", "text": "a"}, {"id": "q2", "text": "b"}])
    assert load(root).facts["judged"] is False


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"id": "q", "text": "a", "relevent": ["d1"]}, "unknown field 'relevent'; did you mean 'relevant'?"),
        ({"id": "q", "text": "a", "relevant": ["d11"]}, "relevant: no document has the id 'd11'; did you mean 'd1'?"),
        ({"id": "q", "text": "a", "relevant": "d1"}, '"relevant" is a text; write a list, even of one id: ["d1"]'),
        ({"id": "q", "text": "a", "relevant": {"d1": 0.5}}, "the grade of 'd1' is 0.5; it must be 0 (not relevant), 1"),
        ({"id": "q", "text": "a", "relevant": 7}, '"relevant" is a number; write a list of ids, or {id: grade}'),
        ({"id": "q", "text": "a", "relevant": ["d1", "d1"]}, "relevant names 'd1' twice"),
        ({"id": "q", "relevant": ["d1"]}, 'query q has neither "text" nor "image"; give one of them'),
        ({"text": "a", "relevant": ["d1"]}, "id is missing"),
        ({"id": "q", "image": "a", "images": ["b"]}, 'both "image" and "images" are given; keep one'),
        ({"id": "q", "image": ["a", "b"]}, '"image" is a list; several pictures go into "images"'),
        ({"id": "q", "image": "/a.jpg"}, "the picture '/a.jpg' lies outside"),
        ({"id": "q", "text": "a", "relevant": ["d1"], "candidates": ["d2"]}, "'d1' is relevant but not among"),
        ({"id": "q", "text": "a", "candidates": ["x"]}, "candidates: no document has the id 'x'"),
        ({"id": "q", "text": ["a"]}, "text is a list; it must be a text or null"),
    ],
)
def test_a_faulty_query_is_named_with_what_to_do(root: Path, record: dict[str, Any], said: str) -> None:
    path = lines(root / "queries.jsonl", [QUERIES[0], record])
    with pytest.raises(RecordError) as caught:
        load(root)
    assert str(caught.value).startswith(f"{path}:2: ") and said in str(caught.value)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"id": "d1", "text": "again"}, "the document id 'd1' comes twice"),
        ({"id": "d4"}, 'document d4 has neither "text" nor "image"'),
        ({"id": "d4", "image": "../a.jpg"}, "lies outside"),
        ({"text": "no id"}, "id is missing"),
    ],
)
def test_a_faulty_document_is_named(root: Path, record: dict[str, Any], said: str) -> None:
    path = lines(root / "documents.jsonl", [*DOCUMENTS, record])
    with pytest.raises(RecordError) as caught:
        load(root)
    assert str(caught.value).startswith(f"{path}:4: ") and said in str(caught.value)


def test_faults_of_the_whole(root: Path) -> None:
    lines(root / "queries.jsonl", [QUERIES[0], QUERIES[0]])
    with pytest.raises(RecordError, match="the query id 'q1' comes twice"):
        load(root)
    lines(root / "queries.jsonl", [QUERIES[0], {"id": "q9", "text": "a"}])
    with pytest.raises(RecordError, match="1 of 2 queries have nothing relevant, such as 'q9'"):
        load(root)
    (root / "documents.csv").write_text("id,text\na,b\n")
    with pytest.raises(InvalidInput, match=r"documents\.jsonl and documents\.csv; keep one"):
        load(root)
    (root / "documents.csv").unlink()
    (root / "documents.jsonl").unlink()
    with pytest.raises(MissingPath, match=r"has no documents; write documents\.jsonl"):
        load(root)
    with pytest.raises(MissingPath, match="no such folder"):
        load(root / "none")

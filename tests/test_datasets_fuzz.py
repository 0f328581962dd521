"""Whatever stands in a dataset's file, loading it succeeds or says what is wrong; it never fails in another way."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vretrver.datasets import Task, load_task
from vretrver.datasets.digest import data_digest
from vretrver.datasets.missing import missing_pictures
from vretrver.datasets.records import read_jsonl
from vretrver.errors import RecordError, VretrverError

STRANGE: tuple[Any, ...] = (None, True, -1, 10**30, 1.5, " ", "\ud800", "../../a", [], [[]], [1, "a"], {}, {"a": {}})
IMAGE = {"image_id": 1, "instance_bbox": [0, 0, 5, 5]}
OBJECT = {"val_image_id": 1}
ASKED = {"questions": [{"question_id": 1, "image_id": 1, "question": "a?"}]}
JUDGED = {
    "question_types": {"one": "a"},
    "annotations": [{"question_id": 1, "question_type": "one", "answers": [{"answer": "a", "answer_id": 1}]}],
}
PASSAGE = {"passages.jsonl": {"id": "a", "text": "b"}}
OF_ENTITY = {"data_id": "q", "image_id": "oven_00000001", "question": "a?", "answer": ["1"], "data_split": "val_x",
             "answer_eval": [{"wikidata": 1.0, "range": [0.9, 1.1]}]}  # fmt: skip
ARTICLE = {"wikidata_id": "Q1", "wikipedia_title": "a", "wikipedia_content": "b"}
FILES: dict[str, tuple[str, Any, dict[str, Any], dict[str, str]]] = {
    "circo": (
        "annotations/val.json",
        [{"reference_img_id": 1, "relative_caption": "a", "gt_img_ids": [1], "id": 0}],
        {"COCO2017_unlabeled/annotations/image_info_unlabeled2017.json": {"images": [{"id": 1, "file_name": "1.jpg"}]}},
        {},
    ),
    "circo pool": (
        "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json",
        {"images": [{"id": 1, "file_name": "1.jpg"}]},
        {"annotations/val.json": [{"reference_img_id": 1, "relative_caption": "a", "gt_img_ids": [1], "id": 0}]},
        {},
    ),
    "genecis attributes": (
        "genecis/focus_attribute.json",
        [{"reference": IMAGE, "condition": "red", "target": IMAGE, "gallery": [IMAGE]}],
        {},
        {"task": "focus_attribute", "work": "work"},
    ),
    "genecis objects": (
        "genecis/focus_object.json",
        [{"reference": OBJECT, "condition": "red", "target": OBJECT, "gallery": [OBJECT]}],
        {},
        {"task": "focus_object"},
    ),
    "visdial": (
        "visdial_1.0_val.json",
        {"data": {"questions": ["a"], "answers": ["b"],
                  "dialogs": [{"image_id": 1, "dialog": [{"question": 0, "answer": 0}]}]}},
        {},
        {},
    ),
    "vist": (
        "sis/val.story-in-sequence.json",
        {"annotations": [[{"photo_flickr_id": str(at), "story_id": "1", "worker_arranged_photo_order": at, "text": "a"}]
                         for at in range(2)]},
        {},
        {},
    ),
    "mtfiq": (
        "data/all.val.json",
        [{"target": ["u", "B1"], "reference": [["u", ["a"], "B2"]]}],
        {"image_splits/split.all.val.json": ["B1", "B2"]},
        {},
    ),
    "okvqa": (
        "OpenEnded_mscoco_val2014_questions.json", ASKED, {"mscoco_val2014_annotations.json": JUDGED, **PASSAGE}, {}
    ),
    "okvqa annotations": (
        "mscoco_val2014_annotations.json", JUDGED, {"OpenEnded_mscoco_val2014_questions.json": ASKED, **PASSAGE}, {}
    ),
    "okvqa passages": (
        "passages.jsonl", {"id": "a", "text": "b", "title": "c", "image": "d.jpg"},
        {"OpenEnded_mscoco_val2014_questions.json": ASKED, "mscoco_val2014_annotations.json": JUDGED}, {},
    ),
    "infoseek": ("infoseek_val.jsonl", OF_ENTITY, {"articles.jsonl": ARTICLE}, {}),
    "infoseek articles": ("articles.jsonl", ARTICLE, {"infoseek_val.jsonl": OF_ENTITY}, {}),
}  # fmt: skip


def spoilt(value: Any) -> Iterator[Any]:
    """The value with one of its parts replaced by something strange, each part and each strange thing in turn."""
    yield from STRANGE
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        for other in spoilt(part):
            changed = copy.copy(value)
            changed[key] = other
            yield changed


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def read_through(load: Callable[[], Task]) -> None:
    try:
        task = load()
        assert len(data_digest(task)) == 64
        assert len(missing_pictures(task)) <= 10
    except VretrverError as fault:
        assert str(fault)


@pytest.mark.parametrize("name", FILES)
def test_spoilt_files(tmp_path: Path, name: str) -> None:
    dataset = name.partition(" ")[0]
    path, value, others, options = FILES[name]
    for other, content in others.items():
        put(tmp_path / other, content)
    given_ = {key: str(tmp_path / word) if key == "work" else word for key, word in options.items()}
    put(tmp_path / path, value)
    load_task(dataset, tmp_path, **given_)
    for changed in spoilt(value):
        put(tmp_path / path, changed)
        read_through(lambda: load_task(dataset, tmp_path, **given_))


QUERY = {
    "qid": "8:1",
    "query_txt": "a",
    "query_img_path": "q.jpg",
    "query_modality": "image,text",
    "pos_cand_list": ["8:1"],
}
CANDIDATE = {"did": "8:1", "txt": "a", "img_path": "a.jpg", "modality": "image,text"}


def test_spoilt_lines_of_mbeir(tmp_path: Path) -> None:
    queries = tmp_path / "query/test/mbeir_x_task8_test.jsonl"
    pool = tmp_path / "cand_pool/local/mbeir_x_task8_cand_pool.jsonl"
    row = "image,text\timage,text\tX\t8\tFind it.\n"
    put(tmp_path / "instructions/query_instructions.tsv", None)
    (tmp_path / "instructions/query_instructions.tsv").write_text("header\n" + row)
    for path, value in ((queries, QUERY), (pool, CANDIDATE)):
        put(queries, QUERY)
        put(pool, CANDIDATE)
        for kind in ("fixed", "gold"):
            load_task("mbeir", tmp_path, task="x_task8", instructions=kind)
        for changed in spoilt(value):
            put(path, changed)
            for kind in ("fixed", "gold"):
                read_through(lambda: load_task("mbeir", tmp_path, task="x_task8", instructions=kind))  # noqa: B023


def test_spoilt_lines_of_one_s_own(tmp_path: Path) -> None:
    query = {
        "id": "q",
        "text": "a",
        "image": "a.jpg",
        "relevant": ["d"],
        "candidates": ["d"],
        "group": "g",
        "excluded": ["d"],
    }
    document = {"id": "d", "text": "a", "image": "b.jpg"}
    for name, value in (("queries", query), ("documents", document)):
        put(tmp_path / "queries.jsonl", query)
        put(tmp_path / "documents.jsonl", document)
        load_task("jsonl", tmp_path)
        for changed in spoilt(value):
            put(tmp_path / f"{name}.jsonl", changed)
            read_through(lambda: load_task("jsonl", tmp_path))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(max_size=30), st.just(b'{"a": 1}'), st.just(b"\xef\xbb\xbf"))))
def test_any_bytes(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        assert all(isinstance(record, dict) for _where, record in read_jsonl(path))
    except RecordError as fault:
        assert str(fault).startswith(f"{path}:")

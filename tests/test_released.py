"""Three rows as the released parquet files hold them, with and without `hit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vretrver.datasets import load_task
from vretrver.datasets.released import UNFOUND, load
from vretrver.errors import MissingPath, RecordError


def row(qid: str, position: Any, images: list[str], texts: list[str], hit: Any = None, **query: Any) -> dict[str, Any]:
    record = {
        "data_source": "mbeir_cirr_task7",
        "prompt": [{"role": "system", "content": "..."}, {"role": "user", "content": "Query: <image> Candidates: ..."}],
        "images": [{"image": one} for one in images],
        "ability": "multimodal_reranking",
        "reward_model": {"style": "rule", "ground_truth": position},
        "extra_info": {"qid": qid, "ground_truth_position": position, "num_candidates": max(len(images), len(texts)),
                       "query_image": "mbeir_images/q.jpg", "query_text": "make it red", "candidate_images": images,
                       "candidate_texts": texts, "images": images, **query},
    }  # fmt: skip
    return record if hit is None else {**record, "hit": hit}


def hits(*names: str) -> list[dict[str, str]]:
    return [{"candidate_images": f"mbeir_images/{name}.jpg", "candidate_texts": ""} for name in names]


def save(path: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_the_released_order_is_the_coarse_order(tmp_path: Path) -> None:
    rows = [
        row("8:1", 2, [], [], hits("a", "b", "c")),
        row("8:2", 1, [], [], hits("c", "a", "d")),
        row("8:3", 3, [], [], hits("d", "b", "e")),
    ]
    task = load_task("released", save(tmp_path / "mbeir_cirr_task7_test.parquet", *rows))
    assert (task.name, task.given_order, len(task.topics)) == ("released/mbeir_cirr_task7_test", True, 3)
    paths = {one.id: one.image.path for one in task.pool if one.image is not None}
    assert sorted(Path(path or "").name for path in paths.values()) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    first = task.topics[0]
    assert [paths[name] for name in first.candidates or ()] == [
        str(tmp_path / f"mbeir_images/{name}.jpg") for name in "abc"
    ]
    assert dict(first.relevant) == {(first.candidates or ())[1]: 1}
    assert (first.query.text, first.query.images[0].path) == ("make it red", str(tmp_path / "mbeir_images/q.jpg"))
    assert task.facts == {}
    assert task.measures[0] == "hit@5"
    assert load(save(tmp_path / "mbeir_fashioniq_task7_test.parquet", *rows)).measures[0] == "hit@10"


def test_the_window_of_an_rl_row(tmp_path: Path) -> None:
    rows = [
        row("1", 2, ["mbeir_images/a.jpg", "mbeir_images/b.jpg"], []),
        row("2", 1, [], ["a fact", "another"]),
        row("3", 2, ["mbeir_images/a.jpg", "mbeir_images/c.jpg"], ["one", "two"]),
    ]
    task = load(save(tmp_path / "rl.parquet", *rows))
    documents = {one.id: one for one in task.pool}
    gold = [documents[next(iter(topic.relevant))] for topic in task.topics]
    assert [one.modality for one in gold] == ["image", "text", "image,text"]
    assert (gold[1].text, gold[2].text) == ("a fact", "two")


def test_a_position_is_followed_to_its_candidate(tmp_path: Path) -> None:
    """extra_info holds a window of the hits, and the position counts in that window."""
    window = ["mbeir_images/c.jpg", "mbeir_images/d.jpg"]
    task = load(save(tmp_path / "a.parquet", row("1", 2, window, ["", ""], hits("a", "b", "c", "d"))))
    topic = task.topics[0]
    assert dict(topic.relevant) == {(topic.candidates or ())[3]: 1}
    assert task.facts["positions found by content"] == 1


def test_an_answer_outside_its_list_is_never_found(tmp_path: Path) -> None:
    rows = [row("1", 9, [], [], hits("a", "b")), row("2", 0, [], [], hits("a", "b")), row("3", None, [], [], hits("a"))]
    task = load(save(tmp_path / "a.parquet", *rows))
    assert [dict(topic.relevant) for topic in task.topics] == [{UNFOUND: 1}] * 3
    assert task.facts["queries whose answer is not in their list"] == 3


def test_a_candidate_that_comes_twice_keeps_its_first_place(tmp_path: Path) -> None:
    task = load(save(tmp_path / "a.parquet", row("1", 3, [], [], hits("a", "b", "a"))))
    topic = task.topics[0]
    assert len(topic.candidates or ()) == 2
    assert dict(topic.relevant) == {(topic.candidates or ())[0]: 1}
    assert task.facts["candidates that come twice in their list"] == 1


def test_lists_that_drifted_apart_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [row("1", 1, ["mbeir_images/a.jpg"], ["x", "y"]), row("2", 1, ["mbeir_images/a.jpg"], ["x"])]
    task = load(save(tmp_path / "a.parquet", *rows))
    assert [topic.id for topic in task.topics] == ["2"]
    assert task.facts["rows left out: candidates cannot be told apart"] == 1


def test_a_folder_is_a_group_per_file_and_paths_start_at_mbeir_images(tmp_path: Path) -> None:
    far = [{"candidate_images": "/their/disk/M-BEIR/mbeir_images/a.jpg", "candidate_texts": None}]
    save(tmp_path / "one.parquet", row("1", 1, [], [], far))
    save(tmp_path / "two.parquet", row("1", 1, [], [], hits("a")))
    task = load(tmp_path, images=tmp_path / "M-BEIR")
    assert [(topic.id, topic.group) for topic in task.topics] == [("one/1", "one"), ("two/1", "two")]
    (document,) = task.pool
    assert document.image is not None and document.image.path == str(tmp_path / "M-BEIR/mbeir_images/a.jpg")


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"holds no \.parquet file"):
        load(tmp_path)
    with pytest.raises(MissingPath, match="no such file or folder"):
        load(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(RecordError, match=r"bad\.parquet is not a readable parquet file"):
        load(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(RecordError, match=r"other\.parquet has no column extra_info; it has a"):
        load(tmp_path / "other.parquet")
    outside = [{"candidate_images": "/etc/passwd", "candidate_texts": ""}]
    with pytest.raises(RecordError, match=r"row 2: the picture '/etc/passwd' lies outside"):
        load(save(tmp_path / "c.parquet", row("1", 1, [], [], hits("a")), row("2", 1, [], [], outside)))
    with pytest.raises(RecordError, match="the query 1 comes more than once"):
        load(save(tmp_path / "d.parquet", *[row("1", 1, [], [], hits("a"))] * 2))
    nothing = row("1", 1, [], [], hits("a"), query_image=None, query_text=" ")
    with pytest.raises(RecordError, match="row 1: the query has neither a picture nor a text"):
        load(save(tmp_path / "e.parquet", nothing))

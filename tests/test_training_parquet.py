from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vretrver.datasets import load_task
from vretrver.episode import Episode
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.training.parquet import Row, write_rows
from vretrver.training.parquet_reading import read_rows
from vretrver.types import Candidate, Document, ImageRef, Query, Window


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("q.png", "a.png", "b.png"):
        Image.new("RGB", (100, 60), "red").save(tmp_path / name)
    return tmp_path


def picture(root: Path, name: str) -> ImageRef:
    return ImageRef(str(root / name))


def row(root: Path) -> Row:
    documents = (
        Document("d1", "a red kite", picture(root, "a.png")),
        Document("d2", image=picture(root, "b.png")),
        Document("d3", "words alone"),
    )
    candidates = tuple(Candidate(one, 1 / at, at) for at, one in enumerate(documents, 1))
    window = Window(Query("in red", (picture(root, "q.png"),), "Find it."), candidates)
    sizes = {picture(root, name): (100, 60) for name in ("q.png", "a.png", "b.png")}
    opening = Episode(window, sizes).conversation.messages
    return Row.of("q7", window, [1], opening, data_source="mine", ability="t->i", hits=documents)


def test_rows_survive_their_file(root: Path) -> None:
    first = row(root)
    assert write_rows(root / "rl.parquet", [first, first], root) == 2
    back = list(read_rows(root / "rl.parquet"))
    assert len(back) == 2
    (one, _) = back
    assert (one.qid, one.relevant, one.system, one.user) == ("q7", (1,), first.system, first.user)
    assert (one.window, one.images, one.data_source, one.ability) == (first.window, first.images, "mine", "t->i")
    assert [(hit.text, hit.image) for hit in one.hits] == [(hit.text, hit.image) for hit in first.hits]


def test_the_file_has_the_released_layout_and_evaluates(root: Path) -> None:
    write_rows(root / "rl.parquet", [row(root)], root)
    (record,) = pq.read_table(root / "rl.parquet").to_pylist()
    assert [said["role"] for said in record["prompt"]] == ["system", "user"]
    assert record["images"] == [{"image": "q.png"}, {"image": "a.png"}, {"image": "b.png"}]
    assert record["reward_model"] == {"style": "rule", "ground_truth": 2}
    info = record["extra_info"]
    assert (info["qid"], info["ground_truth_position"], info["num_candidates"]) == ("q7", 2, 3)
    assert (info["query_image"], info["query_text"]) == ("q.png", "in red")
    assert info["candidate_images"] == ["a.png", "b.png", None]
    assert info["candidate_texts"] == ["a red kite", None, "words alone"]
    assert record["hit"][2] == {"candidate_images": None, "candidate_texts": "words alone"}
    task = load_task("released", root / "rl.parquet")
    (topic,) = task.topics
    pool = {document.id: document for document in task.pool}
    (right,) = topic.relevant
    assert pool[right].image == picture(root, "b.png") and len(topic.candidates or ()) == 3


INFO: dict[str, Any] = {
    "qid": 7,
    "ground_truth_position": 2,
    "query_text": "red",
    "query_image": "",
    "candidate_images": ["/them/mbeir_images/a.png", "mbeir_images/a.png"],
    "candidate_texts": ["", "b"],
}
RELEASED: dict[str, Any] = {
    "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "<image> <image>"}],
    "images": [{"image": "mbeir_images/a.png"}, {"image": "mbeir_images/a.png"}],
    "extra_info": INFO,
}


def written(root: Path, *rows: dict[str, Any]) -> Path:
    (root / "mbeir_images").mkdir(exist_ok=True)
    Image.new("RGB", (100, 60)).save(root / "mbeir_images" / "a.png")
    pq.write_table(pa.Table.from_pylist(list(rows)), root / "them.parquet")
    return root / "them.parquet"


def test_the_released_layout_loads_without_what_we_add(root: Path) -> None:
    (one,) = read_rows(written(root, RELEASED))
    assert (one.qid, one.relevant, len(one.images)) == ("7", (1,), 2)
    assert [candidate.document.id for candidate in one.window.candidates] == ["1", "2"]
    assert one.window.candidates[0].document.image == picture(root, "mbeir_images/a.png")


def informed(**info: Any) -> dict[str, Any]:
    return {**RELEASED, "extra_info": {**INFO, **info}}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (informed(ground_truth_position=3), "the right position is 3; it must be 1 to 2"),
        (informed(ground_truth_position=0), "the right position is 0"),
        (informed(qid=None), "qid is missing"),
        (informed(query_text=None), "the query has neither a picture nor a text"),
        (informed(candidate_texts=["a"]), "2 candidate_images came with 1 candidate_texts"),
        (informed(candidate_images=["", "a.png"]), "has neither text nor an image"),
        (informed(candidate_images=["../a.png", "a.png"]), "lies outside"),
        (informed(candidate_images=["gone.png", "a.png"]), "no such image"),
        ({**RELEASED, "images": []}, "2 <image> marks came with 0 images"),
        ({**RELEASED, "extra_info": None}, "extra_info is null"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_row(root: Path, bad: dict[str, Any], why: str) -> None:
    path = written(root, RELEASED, bad)
    with pytest.raises(RecordError) as caught:
        list(read_rows(path))
    assert why in str(caught.value) and f"{path}: row 2: " in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_hold_no_rows(root: Path) -> None:
    with pytest.raises(MissingPath):
        list(read_rows(root / "none.parquet"))
    (root / "torn.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RecordError, match="not a readable parquet file"):
        list(read_rows(root / "torn.parquet"))
    write_rows(root / "empty.parquet", [], root)
    with pytest.raises(RecordError, match="holds no row"):
        list(read_rows(root / "empty.parquet"))
    pq.write_table(pa.table({"a": [1]}), root / "other.parquet")
    with pytest.raises(RecordError, match="has no column extra_info; it has a"):
        list(read_rows(root / "other.parquet"))


def test_pictures_must_lie_under_the_root(root: Path) -> None:
    with pytest.raises(InvalidInput, match="lies outside"):
        write_rows(root / "rl.parquet", [row(root)], root / "deeper")
    window = Window(Query("x"), (Candidate(Document("a", image=ImageRef(data=b"x")), 0, 1),))
    with pytest.raises(InvalidInput, match="has no path"):
        write_rows(root / "rl.parquet", [Row("q", window, (0,))], root)
    assert not list(root.glob("*.parquet*"))

"""Three queries in each of the files that UniIR publishes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vretrver.datasets import load_task
from vretrver.datasets.mbeir import CELLS, load
from vretrver.errors import InvalidInput, MissingPath, RecordError

HEADER = "query_modality\tcand_modality\tdataset_name\tdataset_id\tprompt_1\tprompt_2\tprompt_3\tprompt_4\n"
CIRR = "image,text\timage\tCIRR\t8\tFind the changed picture.\tShow the picture after the change.\t\t\n"
WEBQA = "text\ttext\tWebQA\t2\tFind a fact.\t\t\t\ntext\timage,text\tWebQA\t2\tFind a page with its picture.\t\t\t\n"


def put(path: Path, *lines: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def query(qid: str | int, text: str | None, image: str | None, *positives: str | int) -> dict[str, Any]:
    modality = "image,text" if text and image else "image" if image else "text"
    return {"qid": qid, "query_txt": text, "query_img_path": image, "query_modality": modality,
            "query_src_content": None, "pos_cand_list": list(positives), "neg_cand_list": []}  # fmt: skip


def candidate(did: str | int, text: str | None, image: str | None) -> dict[str, Any]:
    modality = "image,text" if text and image else "image" if image else "text"
    return {"did": did, "txt": text, "img_path": image, "modality": modality, "src_content": None}


@pytest.fixture
def cirr(tmp_path: Path) -> Path:
    queries = [query(f"8:{n}", f"Change {n}", f"mbeir_images/cirr_images/q{n}.jpg", f"8:{n}1") for n in (1, 2, 3)]
    put(tmp_path / "query/test/mbeir_cirr_task7_test.jsonl", *queries)
    documents = [candidate(f"8:{n}1", None, f"mbeir_images/cirr_images/d{n}.jpg") for n in (1, 2, 3)]
    put(tmp_path / "cand_pool/local/mbeir_cirr_task7_cand_pool.jsonl", *documents)
    put(tmp_path / "qrels/test/mbeir_cirr_task7_test_qrels.txt", "8:1 0 8:11 1 7\n8:2 0 8:21 1 7\n8:3 0 8:31 1 7\n")
    put(tmp_path / "instructions/query_instructions.tsv", HEADER, CIRR, WEBQA)
    return tmp_path


def test_a_cell(cirr: Path) -> None:
    task = load_task("mbeir", cirr, task="cirr_task7")
    first = task.topics[0]
    assert (task.name, task.split, task.task_id, len(task.topics), len(task.pool)) == (
        "mbeir/cirr_task7",
        "test",
        7,
        3,
        3,
    )
    assert (first.id, first.query.text, dict(first.relevant)) == ("8:1", "Change 1", {"8:11": 1})
    assert first.query.images[0].path == str(cirr / "mbeir_images/cirr_images/q1.jpg")
    assert first.query.instruction == "Find the changed picture."
    assert [one.id for one in task.pool] == [one.id for one in task.pool] == ["8:11", "8:21", "8:31"]
    assert task.measures[:2] == ("hit@5", "hit@1")
    assert task.facts == {
        "pool": "local",
        "pool file": "mbeir_cirr_task7_cand_pool.jsonl",
        "qrels": "file",
        "instructions": "fixed",
        "prompt": 1,
        "instruction": "Find the changed picture.",
    }


def test_the_sixteen_cells_and_their_cut_offs() -> None:
    tens = {name for name, cut in CELLS.items() if cut == 10}
    assert len(CELLS) == 16
    assert tens == {"fashion200k_task0", "fashion200k_task3", "fashioniq_task7"}
    assert set(CELLS.values()) == {5, 10}


def test_the_prompt_is_the_one_that_was_asked_for(cirr: Path) -> None:
    task = load(cirr, "cirr_task7", prompt=2)
    assert {topic.query.instruction for topic in task.topics} == {"Show the picture after the change."}
    assert task.facts["prompt"] == 2
    with pytest.raises(InvalidInput, match="prompt 3 is asked for, but dataset 8, image,text -> image has 2"):
        load(cirr, "cirr_task7", prompt=3)
    with pytest.raises(InvalidInput, match="the first of a row is 1"):
        load(cirr, "cirr_task7", prompt=0)


def test_without_instructions_no_file_is_needed(cirr: Path) -> None:
    (cirr / "instructions/query_instructions.tsv").unlink()
    task = load(cirr, "cirr_task7", instructions="none")
    assert {topic.query.instruction for topic in task.topics} == {None}
    assert task.facts["instructions"] == "none"
    with pytest.raises(MissingPath, match="instructions='none'"):
        load(cirr, "cirr_task7")


def webqa(root: Path, gold: str) -> None:
    put(root / "query/test/mbeir_webqa_task1_test.jsonl", query("2:1", "Who?", None, gold))
    documents = (candidate("2:10", "A fact", None), candidate("2:20", "A page", "mbeir_images/w.jpg"))
    put(root / "cand_pool/local/mbeir_webqa_task1_cand_pool.jsonl", *documents)
    put(root / "qrels/test/mbeir_webqa_task1_test_qrels.txt", f"2:1 0 {gold} 1 1\n")
    put(root / "instructions/query_instructions.tsv", HEADER, CIRR, WEBQA)


@pytest.mark.parametrize(("gold", "leaked"), [("2:10", "Find a fact."), ("2:20", "Find a page with its picture.")])
def test_only_the_labelled_mode_reads_the_gold(tmp_path: Path, gold: str, leaked: str) -> None:
    webqa(tmp_path, gold)
    fixed, leaking = load(tmp_path, "webqa_task1"), load(tmp_path, "webqa_task1", instructions="gold")
    assert fixed.facts["instruction"] == "Find a fact."  # task 1 is text -> text, whatever the gold
    assert leaking.facts["instruction"] == leaked
    assert leaking.facts["instructions"] == "gold-modality (leaks)"


def test_a_row_that_is_not_there_names_those_that_are(cirr: Path) -> None:
    put(cirr / "instructions/query_instructions.tsv", HEADER, WEBQA, "text\timage\tCIRR\t8\tNo.\n")
    with pytest.raises(InvalidInput, match=r"no row for dataset 8, image,text -> image \(it has text -> image\)"):
        load(cirr, "cirr_task7")


def test_mscoco_has_a_pool_per_split(tmp_path: Path) -> None:
    for split, did in (("test", "9:1"), ("val", "9:2")):
        put(tmp_path / f"query/{split}/mbeir_mscoco_task0_{split}.jsonl", query("9:7", "A cat", None, did))
        put(tmp_path / f"cand_pool/local/mbeir_mscoco_task0_{split}_cand_pool.jsonl", candidate(did, None, "c.jpg"))
    for split, did in (("test", "9:1"), ("val", "9:2")):
        task = load(tmp_path, "mscoco_task0", split, instructions="none")
        assert [one.id for one in task.pool] == [did]


def test_the_global_pool_is_the_union_of_the_split(cirr: Path) -> None:
    documents = [candidate("8:11", None, "a.jpg"), candidate("0:5", "News", "n.jpg"), candidate("6:9", "Text", None)]
    put(cirr / "cand_pool/global/mbeir_union_test_cand_pool.jsonl", *documents)
    task = load(cirr, "cirr_task7", pool="global")
    assert [one.modality for one in task.pool] == ["image", "image,text", "text"]
    assert (task.facts["pool"], task.facts["pool file"]) == ("global", "mbeir_union_test_cand_pool.jsonl")
    with pytest.raises(MissingPath, match="mbeir_union_val_cand_pool"):
        put(cirr / "query/val/mbeir_cirr_task7_val.jsonl", query("8:1", "a", "b.jpg", "8:11"))
        load(cirr, "cirr_task7", "val", pool="global")


def test_hashed_ids_are_the_ids_they_stand_for(tmp_path: Path) -> None:
    put(tmp_path / "query/test/mbeir_nights_task4_test.jsonl", query(2_000_017, None, "q.jpg", 40_000_123, "4:124"))
    pool = (candidate(40_000_123, None, "a.jpg"), candidate("4:124", None, "b.jpg"))
    put(tmp_path / "cand_pool/local/mbeir_nights_task4_cand_pool.jsonl", *pool)
    put(tmp_path / "qrels/test/mbeir_nights_task4_test_qrels.txt", "2000017 0 40000123 1 4\n4:17 0 4:124 1 4\n")
    task = load(tmp_path, "nights_task4", instructions="none")
    assert (task.topics[0].id, dict(task.topics[0].relevant)) == ("4:17", {"4:123": 1, "4:124": 1})
    assert [one.id for one in task.pool] == ["4:123", "4:124"]


def test_qrels_of_four_columns_and_what_they_do_not_agree_on(cirr: Path) -> None:
    lines = "8:1 0 8:21 2\n8:1 0 8:31 0\n8:2 0 5:9 1\n9:9 0 8:11 1\n"
    put(cirr / "qrels/test/mbeir_cirr_task7_test_qrels.txt", lines)
    task = load(cirr, "cirr_task7")
    assert [dict(topic.relevant) for topic in task.topics] == [{"8:21": 2}, {"5:9": 1}, {}]
    assert task.facts["queries whose qrels differ from pos_cand_list"] == 3
    assert task.facts["queries without qrels"] == 1
    assert task.facts["qrels of queries that are not asked"] == 1
    assert task.facts["relevant documents of another dataset"] == 1


def test_without_a_qrels_file_the_positives_count(cirr: Path) -> None:
    (cirr / "qrels/test/mbeir_cirr_task7_test_qrels.txt").unlink()
    task = load(cirr, "cirr_task7")
    assert [dict(topic.relevant) for topic in task.topics] == [{"8:11": 1}, {"8:21": 1}, {"8:31": 1}]
    assert task.facts["qrels"] == "pos_cand_list"


def test_a_task_number_that_the_qrels_do_not_share_is_said(cirr: Path) -> None:
    put(cirr / "qrels/test/mbeir_cirr_task7_test_qrels.txt", "8:1 0 8:11 1 7\n8:2 0 8:21 1 8\n8:3 0 8:31 1 7\n")
    assert load(cirr, "cirr_task7").facts["task numbers in the qrels"] == [7, 8]


def test_a_file_of_several_tasks_goes_by_each_query_s_number(tmp_path: Path) -> None:
    queries = (query("2:1", "Who?", None, "2:10"), query("2:2", "What?", None, "2:20"))
    put(tmp_path / "query/test/mbeir_union_test.jsonl", *queries)
    documents = (candidate("2:10", "A fact", None), candidate("2:20", "A page", "mbeir_images/w.jpg"))
    put(tmp_path / "cand_pool/global/mbeir_union_test_cand_pool.jsonl", *documents)
    put(tmp_path / "instructions/query_instructions.tsv", HEADER, WEBQA)
    put(tmp_path / "qrels/test/mbeir_union_test_qrels.txt", "2:1 0 2:10 1 1\n2:2 0 2:20 1 2\n")
    task = load(tmp_path, "union", pool="global")
    assert [topic.query.instruction for topic in task.topics] == ["Find a fact.", "Find a page with its picture."]
    assert [topic.group for topic in task.topics] == ["task 1", "task 2"]
    assert (task.task_id, task.facts["instruction"]) == (None, ["Find a fact.", "Find a page with its picture."])
    put(tmp_path / "qrels/test/mbeir_union_test_qrels.txt", "2:1 0 2:10 1\n2:2 0 2:20 1\n")
    with pytest.raises(InvalidInput, match="say which task 2 queries are of, such as 2:1"):
        load(tmp_path, "union", pool="global")


def test_what_is_there_is_listed(cirr: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no task 'cirr_task8' .* it holds cirr_task7 \(test\)"):
        load(cirr, "cirr_task8")
    with pytest.raises(InvalidInput, match=r"no task '\.\./\.\./x'"):
        load(cirr, "../../x")
    with pytest.raises(InvalidInput, match="unknown pool 'all'; choose from local, global"):
        load(cirr, "cirr_task7", pool="all")
    with pytest.raises(MissingPath, match="holds no M-BEIR queries"):
        load(cirr / "qrels", "cirr_task7")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda root: put(root / "qrels/test/mbeir_cirr_task7_test_qrels.txt", "8:1 0 8:11 yes 7\n"),
            "_qrels.txt:1: not",
        ),
        (
            lambda root: put(root / "query/test/mbeir_cirr_task7_test.jsonl", query("8:1", "a", "/etc/passwd", "8:11")),
            "_test.jsonl:1: the picture '/etc/passwd' lies outside",
        ),
        (
            lambda root: put(root / "query/test/mbeir_cirr_task7_test.jsonl", *[query("8:1", "a", "b", "8:11")] * 2),
            "the query id 8:1 comes twice",
        ),
        (
            lambda root: put(root / "query/test/mbeir_cirr_task7_test.jsonl", query("8:1", " ", None, "8:11")),
            "_test.jsonl:1: query 8:1 has neither query_txt nor query_img_path",
        ),
    ],
)
def test_errors_name_file_and_line(cirr: Path, spoil: Callable[[Path], Path], said: str) -> None:
    spoil(cirr)
    with pytest.raises(RecordError) as caught:
        load(cirr, "cirr_task7")
    assert said in str(caught.value)


def test_a_spoilt_candidate_is_named_when_the_pool_is_read(cirr: Path) -> None:
    put(cirr / "cand_pool/local/mbeir_cirr_task7_cand_pool.jsonl", candidate("8:11", None, "../x.jpg"))
    with pytest.raises(RecordError, match=r"cand_pool\.jsonl:1: the picture '\.\./x\.jpg' lies outside"):
        list(load(cirr, "cirr_task7").pool)

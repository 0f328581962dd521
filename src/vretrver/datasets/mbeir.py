"""M-BEIR as UniIR lays it out (Wei et al., ECCV 2024), and every set that keeps to that layout.

    query/{split}/mbeir_{task}_{split}.jsonl          qid, query_txt, query_img_path, query_modality, pos_cand_list
    cand_pool/local/mbeir_{task}_cand_pool.jsonl      did, txt, img_path, modality; MSCOCO's end in _{split}_cand_pool
    cand_pool/global/mbeir_union_{split}_cand_pool.jsonl
    qrels/{split}/mbeir_{task}_{split}_qrels.txt      qid 0 did relevance task_id
    instructions/query_instructions.tsv               query modality, candidate modality, name, dataset id, prompts
    mbeir_images/                                     paths in the files start above it

Where it departs from UniIR's own evaluation: the prompt is one fixed row and number of the instruction file, recorded,
instead of a random one; the candidate modality in it is read off the task's number, not off the gold. `instructions=
"gold"` reads it off the gold as UniIR does, and says so. Texts stay as they are in the files (UniIR capitalises them
and adds a period); the instruction stays apart from the text. Numbering of tasks and ids is UniIR's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.mbeir_instructions import KINDS, Instructor, first_gold, instructor, plain, read_prompts
from vretrver.datasets.mbeir_qrels import document_id, judged, query_id, read_qrels
from vretrver.datasets.records import (
    RecordPool,
    chosen,
    count_lines,
    first_of,
    folder,
    picture,
    read_jsonl,
    text_of,
)
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.types import Document, ImageRef, Query, modality_of

TASKS = {
    0: ("text", "image"),
    1: ("text", "text"),
    2: ("text", "image,text"),
    3: ("image", "text"),
    4: ("image", "image"),
    6: ("image,text", "text"),
    7: ("image,text", "image"),
    8: ("image,text", "image,text"),
}
"""Query and candidate modality by M-BEIR's number of the task (5 is not in use)."""

CELLS = {
    "visualnews_task0": 5,
    "mscoco_task0": 5,
    "fashion200k_task0": 10,
    "webqa_task1": 5,
    "edis_task2": 5,
    "webqa_task2": 5,
    "visualnews_task3": 5,
    "mscoco_task3": 5,
    "fashion200k_task3": 10,
    "nights_task4": 5,
    "oven_task6": 5,
    "infoseek_task6": 5,
    "fashioniq_task7": 10,
    "cirr_task7": 5,
    "oven_task8": 5,
    "infoseek_task8": 5,
}
"""The 16 cells of the paper's table in its order, and the k of each cell's hit@k."""

POOLS = ("local", "global")


def load(
    root: str | os.PathLike[str],
    task: str,
    split: str = "test",
    *,
    pool: str = "local",
    instructions: str = "fixed",
    prompt: int = 1,
) -> Task:
    """One task of M-BEIR, or of a set laid out like it.

    Args:
        root: the folder that holds `query/`, `cand_pool/`, `qrels/` and `mbeir_images/`.
        task: as in the files' names: one of `CELLS`, or any other that is there, such as `grocery_task4`.
        split: `test`, `val` or `train`.
        pool: `local` is the task's own pool, `global` the union of all of the split.
        instructions: `fixed`, `none`, or `gold` (UniIR's way, which leaks the gold's modality into the query).
        prompt: which prompt of the instruction file's row, 1 for the first.

    Raises:
        InvalidInput: no such task (names those that are there), pool, instructions or prompt.
        MissingPath: a file is not there; names it.
        RecordError: a file does not parse; names file and line.
    """
    place = folder(root)
    name = task.lower().removeprefix("mbeir_")
    chosen(pool, POOLS, "pool")
    chosen(instructions, KINDS, "instructions")
    queries = list(read_jsonl(_query_file(place, name, split)))
    file = _pool_file(place, name, split, pool)
    qrels, numbers = read_qrels(place / "qrels" / split / f"mbeir_{name}_{split}_qrels.txt")
    number = _task_id(name, set(numbers.values()))
    relevant, odd = judged(queries, qrels)
    say: Instructor = _silent
    if instructions != "none":
        say = instructor(read_prompts(place), prompt, _asked_modality(instructions, number, numbers, file, relevant))
    topics = tuple(_topic(place, record, where, relevant, say) for where, record in queries)
    if number is None:
        topics = tuple(replace(topic, group=f"task {numbers.get(topic.id, '?')}") for topic in topics)
    _unique(topics, _query_file(place, name, split))
    facts: dict[str, Any] = {
        "pool": pool,
        "pool file": file.name,
        "qrels": "pos_cand_list" if qrels is None else "file",
        **_said(topics, instructions, prompt),
        **odd,
        **({"task numbers in the qrels": sorted(columns)} if (columns := set(numbers.values())) - {number} else {}),
    }
    cut = CELLS.get(name, 5)
    measures = (f"hit@{cut}", "hit@1", "hit@5", "hit@10", "recall@5", "recall@10", "map@10", "ndcg@10", "mrr@10")
    return Task(
        name=f"mbeir/{name}",
        split=split,
        topics=topics,
        pool=RecordPool(partial(read_jsonl, file), partial(_document, place), partial(count_lines, file)),
        measures=tuple(dict.fromkeys(measures)),
        card=_card(name, number, pool, cut),
        root=place,
        facts=facts,
        task_id=number,
    )


# -- files ------------------------------------------------------------------------------------------------------


def _query_file(root: Path, task: str, split: str) -> Path:
    if re.fullmatch(r"[\w.-]+", task) and re.fullmatch(r"\w+", split):
        path = root / "query" / split / f"mbeir_{task}_{split}.jsonl"
        if path.is_file():
            return path
    pattern = re.compile(r"mbeir_(.+)_(\w+)\.jsonl")
    there = [(path.parent.name, match[1]) for path in sorted(root.glob("query/*/mbeir_*.jsonl"))
             if (match := pattern.fullmatch(path.name)) and match[2] == path.parent.name]  # fmt: skip
    if not there:
        raise MissingPath(f"{root} holds no M-BEIR queries: no file query/SPLIT/mbeir_TASK_SPLIT.jsonl under it")
    listed = ", ".join(f"{name} ({one})" for one, name in there[:60])
    raise InvalidInput(f"no task {task!r} with a split {split!r} under {root}; it holds {listed}")


def _pool_file(root: Path, task: str, split: str, pool: str) -> Path:
    """MSCOCO has a pool per split, so the name with the split comes first."""
    pools = root / "cand_pool"
    if pool == "global":
        name = f"mbeir_union_{split}_cand_pool.jsonl"
        return first_of(pools / "global" / name, pools / "union_pool" / name, what="the global pool")
    names = (f"mbeir_{task}_{split}_cand_pool.jsonl", f"mbeir_{task}_cand_pool.jsonl")
    return first_of(*(pools / "local" / name for name in names), what=f"the local pool of {task}")


def _task_id(name: str, columns: set[int]) -> int | None:
    match = re.search(r"_task(\d+)$", name)
    number = int(match[1]) if match else next(iter(columns)) if len(columns) == 1 else None
    if number is not None and number not in TASKS:
        raise InvalidInput(f"{name}: M-BEIR has no task {number}; its tasks are {', '.join(map(str, TASKS))}")
    return number


# -- instructions -----------------------------------------------------------------------------------------------


def _silent(_qid: str, _modality: str, _where: str) -> None:
    """The instructor of those who give no instruction."""


def _asked_modality(
    instructions: str,
    number: int | None,
    numbers: Mapping[str, int],
    pool: Path,
    relevant: Mapping[str, Mapping[str, int]],
) -> Callable[[str], str]:
    """The candidate modality that a query's instruction names, by query id.

    A file whose name holds no task number may mix tasks; then each query's own number in the qrels counts.
    """
    if instructions == "gold":
        golds = {qid: first_gold(qid, dids) for qid, dids in relevant.items()}
        known = _modalities(pool, set(golds.values()))
        return lambda qid: known.get(golds[qid], "(its gold is not in the pool)")
    if number is None and (bare := [qid for qid in relevant if numbers.get(qid) not in TASKS]):
        raise InvalidInput(
            f"neither the file's name nor the qrels say which task {len(bare)} queries are of, such as {bare[0]}, "
            "so no instruction can be chosen; pass instructions='none'"
        )
    return lambda qid: TASKS[numbers[qid] if number is None else number][1]


def _modalities(pool: Path, wanted: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for where, record in read_jsonl(pool):
        did = document_id(record.get("did"), where)
        if did in wanted:
            found[did] = _modality(record, "modality", ("txt", "img_path"), where)
    return found


def _said(topics: Sequence[Topic], instructions: str, prompt: int) -> dict[str, Any]:
    """What of the instructions decides the result."""
    if instructions == "none":
        return {"instructions": "none"}
    texts = sorted({topic.query.instruction or "" for topic in topics})
    kind = "gold-modality (leaks)" if instructions == "gold" else instructions
    return {"instructions": kind, "prompt": prompt, "instruction": texts[0] if len(texts) == 1 else texts}


# -- records ----------------------------------------------------------------------------------------------------


def _topic(
    root: Path, record: Mapping[str, Any], where: str, relevant: Mapping[str, Mapping[str, int]], say: Instructor
) -> Topic:
    qid = query_id(record.get("qid"), where)
    text = text_of(record.get("query_txt"), where, "query_txt")
    image = _image(root, record.get("query_img_path"), where)
    modality = _modality(record, "query_modality", ("query_txt", "query_img_path"), where)
    if text is None and image is None:
        raise RecordError(f"{where}: query {qid} has neither query_txt nor query_img_path")
    query = Query(text, () if image is None else (image,), say(qid, modality, where))
    return Topic(qid, query, relevant[qid])


def _document(root: Path, record: Mapping[str, Any], where: str) -> Document:
    did = document_id(record.get("did"), where)
    text = text_of(record.get("txt"), where, "txt")
    image = _image(root, record.get("img_path"), where)
    if text is None and image is None:
        raise RecordError(f"{where}: candidate {did} has neither txt nor img_path")
    return Document(did, text, image)


def _image(root: Path, path: Any, where: str) -> ImageRef | None:
    return None if path is None or path == "" else picture(root, path, where)


def _modality(record: Mapping[str, Any], key: str, parts: tuple[str, str], where: str) -> str:
    """A record's modality as it says, else by which of its text and picture it has."""
    said = text_of(record.get(key), where, key)
    return plain(said) if said else modality_of(record.get(parts[0]) or None, bool(record.get(parts[1])))


def _unique(topics: Sequence[Topic], path: Path) -> None:
    seen: set[str] = set()
    for topic in topics:
        if topic.id in seen:
            raise RecordError(f"{path}: the query id {topic.id} comes twice; ids must be unique")
        seen.add(topic.id)
    if not topics:
        raise RecordError(f"{path} holds no query")


def _card(name: str, number: int | None, pool: str, cut: int) -> Card:
    arrow = " -> ".join(TASKS[number]) if number is not None else "mixed"
    return Card(
        title=f"M-BEIR {name} ({arrow}, {pool} pool)" if name in CELLS else f"{name} ({arrow}, {pool} pool)",
        source="https://huggingface.co/datasets/TIGER-Lab/M-BEIR (code: TIGER-AI-Lab/UniIR)"
        if name in CELLS
        else "a set in M-BEIR's layout",
        licence="MIT for M-BEIR; each picture and text keeps its own source's licence"
        if name in CELLS
        else "its owner's",
        metric=f"hit rate@{cut}, which M-BEIR's tables call Recall@{cut}",
        notes="The prompt is fixed and chosen by the task's number (UniIR draws one at random and reads its modality "
        "off the gold). Texts are used as written (UniIR capitalises them and adds a period). M-BEIR's pictures are "
        "shrunk to a short side of 256 pixels. OVEN and InfoSeek list positives of each other's pool: hit rate is not "
        "touched, true recall in a local pool is.",
    )

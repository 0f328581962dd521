"""OK-VQA: questions about pictures whose answer is not in the picture (Marino et al., CVPR 2019), over passages.

    OpenEnded_mscoco_{train2014,val2014}_questions.json    question_id, image_id, question; the form of VQA v2
    mscoco_{train2014,val2014}_annotations.json            ten answers a question, question_type, question_types
    {train2014,val2014}/COCO_val2014_000000297147.jpg      COCO's pictures
    okvqa_full_corpus.csv                                  the passages: kid, text

OK-VQA comes without passages. The file name above is of Google Search's (Luo et al., EMNLP 2021), which RA-VQA and
FLMR use; `passages.jsonl`, `passages.csv` or `passages.parquet` may stand in its place. No passage is labelled: one is
pseudo-relevant when it contains an answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vretrver.datasets import Card, Expected, Task, Topic
from vretrver.datasets.passages import checked_ids, rows_of
from vretrver.datasets.records import chosen, first_of, folder, id_of, list_of, object_of, picture, read_json, text_of
from vretrver.errors import RecordError
from vretrver.types import Query

INSTRUCTION = "Find a passage that answers the question about the picture."
SPLITS = {"test": "val2014", "train": "train2014"}
MEASURES = ("pr@5", "pr@1", "pr@10")
CARD = Card(
    title="OK-VQA",
    source="https://okvqa.allenai.org (passages: luomancs/retriever_reader_for_okvqa; pictures: COCO 2014)",
    licence="as stated at https://okvqa.allenai.org, not confirmed here; the pictures are Flickr's, under COCO's terms",
    metric="VQA soft accuracy over ten answers; PRRecall@5: a passage that contains an answer is among the first five",
    notes="No passage is labelled, so hit@k is over pseudo-relevant passages too. The answers are v1.1's stemmed ones, "
    "as the official evaluation marks: `race` where annotators wrote `racing`. 5,046 test questions.",
)


def load(root: str | os.PathLike[str], split: str = "test", instruction: str = INSTRUCTION) -> Task:
    """The test questions (COCO's val2014) or those for training.

    Args:
        root: the folder that holds the files above.
        split: `test` or `train`.
        instruction: what every query asks for, apart from its question; "" for nothing.

    Raises:
        InvalidInput: another split.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    part = SPLITS[chosen(split, SPLITS, "split")]
    pool, corpus = rows_of(
        place, "passages.jsonl", "passages.csv", "passages.parquet", "okvqa_full_corpus.csv", "okvqa_train_corpus.csv",
        what="OK-VQA's corpus of passages",
    )  # fmt: skip
    checked_ids(pool)
    questions = _Questions.of(place, part, instruction)
    path = first_of(place / f"OpenEnded_mscoco_{part}_questions.json", what="OK-VQA's question file")
    entries = list_of(object_of(read_json(path), str(path), "the file").get("questions"), str(path), "questions")
    topics = tuple(questions.topic(record, f"{path}: question {at}") for at, record in enumerate(entries))
    if len({topic.id for topic in topics}) != len(topics) or not topics:
        raise RecordError(f"{path} holds no question, or a question_id twice; ids must be unique")
    facts: dict[str, Any] = {"instruction": instruction, "corpus": corpus.name}
    return Task(f"okvqa/{split}", split, topics, pool, MEASURES, CARD, place, facts=facts)


@dataclass(frozen=True)
class _Questions:
    """What makes a question of a part a topic: annotations by question id, and the names of the kinds of question."""

    place: Path
    part: str
    annotations: Mapping[str, Mapping[str, Any]]
    kinds: Mapping[str, Any]
    instruction: str

    @classmethod
    def of(cls, place: Path, part: str, instruction: str) -> _Questions:
        path = first_of(place / f"mscoco_{part}_annotations.json", what="OK-VQA's annotation file")
        data = object_of(read_json(path), str(path), "the file")
        found: dict[str, Mapping[str, Any]] = {}
        for at, entry in enumerate(list_of(data.get("annotations"), str(path), "annotations")):
            where = f"{path}: annotation {at}"
            record = object_of(entry, where, "the annotation")
            found[id_of(record.get("question_id"), where, "question_id")] = record
        kinds = object_of(data.get("question_types") or {}, str(path), "question_types")
        return cls(place, part, found, kinds, instruction)

    def topic(self, entry: object, where: str) -> Topic:
        record = object_of(entry, where, "the question")
        name = id_of(record.get("question_id"), where, "question_id")
        text = text_of(record.get("question"), where, "question")
        if text is None:
            raise RecordError(f"{where}: question is empty")
        if name not in self.annotations:
            raise RecordError(f"{where}: question {name} has no annotation; take both files from one release")
        file = f"COCO_{self.part}_{id_of(record.get('image_id'), where, 'image_id').rjust(12, '0')}.jpg"
        kind = text_of(self.annotations[name].get("question_type"), where, "question_type") or ""
        return Topic(
            name,
            Query(text, (picture(self.place, f"{self.part}/{file}", where),), self.instruction or None),
            {},
            group=text_of(self.kinds.get(kind), where, "question_types") or kind,
            expected=_expected(self.annotations[name], where),
        )


def _expected(annotation: Mapping[str, Any], where: str) -> Expected:
    given: Sequence[Any] = list_of(annotation.get("answers"), where, "answers")
    said = [text_of(object_of(one, where, "an answer").get("answer"), where, "answer") or "" for one in given]
    if not any(said):
        raise RecordError(f"{where}: there is no answer in its annotation")
    return Expected("vqa", tuple(said), tuple(dict.fromkeys(one.lower() for one in said if one)))

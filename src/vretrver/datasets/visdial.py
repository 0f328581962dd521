"""VisDial v1.0 as image retrieval: ten rounds of question and answer, find the picture they are about.

    visdial_1.0_val.json                                   questions, answers, dialogs (Das et al., CVPR 2017)
    VisualDialog_val2018/VisualDialog_val2018_{id}.jpg     2,064 pictures, the id padded to twelve digits

The dialogue is written `Q: question? A: answer.`, round after round, without the picture's caption, as LamRA and
FROMAGe evaluate it; `caption=True` puts the caption first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.records import chosen, first_of, folder, id_of, list_of, object_of, picture, read_json, text_of
from vretrver.errors import RecordError
from vretrver.types import Document, Query

INSTRUCTION = "Find the picture that this dialogue is about."
MEASURES = ("hit@1", "hit@5", "hit@10", "mrr@10")
CARD = Card(
    title="VisDial (dialogue -> image)",
    source="https://visualdialog.org/data (retrieval protocol: LamRA, Liu et al., CVPR 2025)",
    licence="as stated at https://visualdialog.org; the pictures are Flickr's. Not confirmed here: read it there",
    metric="R@1: one picture answers each dialogue, so recall, hit rate and accuracy are one number",
    notes="The picture's caption is left out by default: with it the task is much easier. Two dialogues about alike "
    "pictures cannot always be told apart by their words.",
)


def load(
    root: str | os.PathLike[str], split: str = "val", *, caption: bool = False, instruction: str = INSTRUCTION
) -> Task:
    """The validation part: 2,064 dialogues, each to find its picture among all.

    Args:
        root: the folder that holds the two things above.
        split: `val`; the only one whose dialogues are complete and whose pictures are told.
        caption: whether the caption opens the dialogue.
        instruction: what every query asks for; "" for nothing.

    Raises:
        InvalidInput: another split.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    chosen(split, ("val",), "split")
    name = f"visdial_1.0_{split}.json"
    path = first_of(place / name, place / split / name, what="VisDial's dialogue file")
    data = object_of(object_of(read_json(path), str(path), "the file").get("data"), str(path), "data")
    questions = list_of(data.get("questions"), str(path), "questions")
    answers = list_of(data.get("answers"), str(path), "answers")
    pool: dict[str, Document] = {}
    topics = []
    for at, entry in enumerate(list_of(data.get("dialogs"), str(path), "dialogs")):
        where = f"{path}: dialog {at}"
        dialog = object_of(entry, where, "the dialog")
        image = id_of(dialog.get("image_id"), where, "image_id").rjust(12, "0")
        file = f"VisualDialog_{split}2018/VisualDialog_{split}2018_{image}.jpg"
        pool[image] = Document(image, image=picture(place, file, where))
        said = _rounds(dialog, questions, answers, where)
        if caption and (opening := text_of(dialog.get("caption"), where, "caption")):
            said.insert(0, f"{opening}.")
        topics.append(Topic(str(at), Query(" ".join(said), (), instruction or None), {image: 1}))
    facts: dict[str, Any] = {"instruction": instruction, "caption": caption}
    return Task(f"visdial/{split}", split, tuple(topics), tuple(pool.values()), MEASURES, CARD, place, facts=facts)


def _rounds(dialog: Mapping[str, Any], questions: Sequence[Any], answers: Sequence[Any], where: str) -> list[str]:
    said = []
    for number, entry in enumerate(list_of(dialog.get("dialog"), where, "dialog"), start=1):
        turn = object_of(entry, where, "a round")
        question = _entry(questions, turn.get("question"), f"{where}, round {number}", "question")
        said.append(f"Q: {question}? A: {_entry(answers, turn.get('answer'), f'{where}, round {number}', 'answer')}.")
    if not said:
        raise RecordError(f"{where}: there is no round in it")
    return said


def _entry(texts: Sequence[Any], at: Any, where: str, name: str) -> str:
    """A text by its number in the file's list."""
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < len(texts):
        raise RecordError(f"{where}: {name} is {at!r}; it must be a place in the list of {len(texts)} {name}s")
    return text_of(texts[at], where, name) or ""

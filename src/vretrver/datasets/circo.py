"""CIRCO: composed image retrieval with several right answers per query (Baldrati et al., ICCV 2023).

    annotations/{val,test}.json                                      the queries; test without its answers
    COCO2017_unlabeled/annotations/image_info_unlabeled2017.json     the pool: 123,403 pictures
    COCO2017_unlabeled/unlabeled2017/000000243611.jpg                the pictures

A query is a reference picture and the relative caption; the shared concept, which tells annotators what the two
pictures have in common, is no part of it. The reference picture stays in the pool, as in the published evaluation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.records import chosen, first_of, folder, id_of, list_of, object_of, picture, read_json, text_of
from vretrver.errors import InvalidInput, RecordError
from vretrver.types import Document, ImageRef, Query

INSTRUCTION = "Find a picture like this one, with the change that is described."
SUBMITTED = 50
MEASURES = ("map@5", "map@10", "map@25", "map@50", "recall@5", "recall@10", "recall@25", "recall@50", "hit@1", "hit@5")
CARD = Card(
    title="CIRCO",
    source="https://github.com/miccunifi/CIRCO (pictures: COCO 2017 unlabeled, https://cocodataset.org)",
    licence="CC BY-NC 4.0 for the annotations; the pictures are Flickr's, under COCO's terms of use",
    metric="mAP@5 over all right answers, divided by min(k, right answers); also mAP@10, 25, 50",
    notes="recall@k here is the share of all right answers among the first k; CIRCO's own Recall@k asks only whether "
    "the one target picture of the caption is there. The answers of test are not public: write the file of "
    "`submission` and send it to https://circo.micc.unifi.it. The reference picture is in the pool and may be ranked.",
)


def load(root: str | os.PathLike[str], split: str = "val", instruction: str = INSTRUCTION) -> Task:
    """CIRCO's validation (220 queries) or test (800, unjudged) part.

    Args:
        root: the repository's folder with the pictures beside it, as its README lays them out.
        split: `val` or `test`.
        instruction: what every query asks for, apart from its caption; "" for nothing.

    Raises:
        InvalidInput: another split.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    chosen(split, ("val", "test"), "split")
    pictures = _pool(place)
    path = first_of(place / "annotations" / f"{split}.json", what="CIRCO's annotation file")
    topics = tuple(
        _topic(record, f"{path}: entry {at}", pictures, split == "val", instruction)
        for at, record in enumerate(list_of(read_json(path), str(path), "the file"))
    )
    if len({topic.id for topic in topics}) != len(topics):
        raise RecordError(f"{path} has a query id twice; ids must be unique")
    pool = tuple(Document(name, image=ref) for name, ref in pictures.items())
    facts = {"instruction": instruction}
    return Task(f"circo/{split}", split, topics, pool, MEASURES, CARD, place, facts=facts)


def submission(ranked: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """What CIRCO's server takes, to be written as JSON: the 50 best picture ids by query id.

    Args:
        ranked: document ids by topic id, best first: every query of the split (CIRCO numbers them from 0), at least 50
            ids each.

    Raises:
        InvalidInput: the queries are not numbered 0, 1, 2, ..., or one has fewer than 50 different pictures.
    """
    names = sorted(ranked, key=lambda name: (len(name), name))
    if names != [str(number) for number in range(len(names))] or not names:
        raise InvalidInput(
            f"{len(names)} queries are ranked, and not from 0 to the last; the server takes all queries of the split, "
            "so run it without a limit"
        )
    for name in names:
        if len(set(ranked[name][:SUBMITTED])) < SUBMITTED:
            raise InvalidInput(
                f"query {name} ranks {len(set(ranked[name]))} pictures; the server takes {SUBMITTED} of each: "
                f"k must be at least {SUBMITTED}"
            )
    return {name: [int(one) for one in ranked[name][:SUBMITTED]] for name in names}


def _pool(root: Path) -> dict[str, ImageRef]:
    """Every picture of the unlabeled set by COCO's id."""
    name = "image_info_unlabeled2017.json"
    coco = root / "COCO2017_unlabeled"
    path = first_of(coco / "annotations" / name, root / "annotations" / name, what="COCO's list of unlabeled pictures")
    folders = (coco / "unlabeled2017", root / "images" / "unlabeled2017")
    pictures = next((one for one in folders if one.is_dir()), folders[0])
    info = object_of(read_json(path), str(path), "the file")
    found: dict[str, ImageRef] = {}
    for at, entry in enumerate(list_of(info.get("images"), str(path), "images")):
        where = f"{path}: image {at}"
        record = object_of(entry, where, "the entry")
        found[id_of(record.get("id"), where, "id")] = picture(pictures, record.get("file_name"), where)
    return found


def _topic(entry: object, where: str, pictures: Mapping[str, ImageRef], judged: bool, instruction: str) -> Topic:
    record = object_of(entry, where, "the entry")
    reference = id_of(record.get("reference_img_id"), where, "reference_img_id")
    right = [id_of(one, where, "gt_img_ids") for one in list_of(record.get("gt_img_ids"), where, "gt_img_ids")]
    if judged and not right:
        raise RecordError(f"{where}: gt_img_ids is empty; a query of val has answers")
    if stranger := next((name for name in (reference, *right) if name not in pictures), None):
        raise RecordError(f"{where}: picture {stranger} is not in COCO's list of unlabeled pictures")
    text = text_of(record.get("relative_caption"), where, "relative_caption")
    query = Query(text, (pictures[reference],), instruction or None)
    return Topic(id_of(record.get("id"), where, "id"), query, dict.fromkeys(right, 1))

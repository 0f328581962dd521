"""Multi-turn FashionIQ: two to four rounds of "like this one, but ...", find the garment (Yuan and Lam, SIGIR 2021).

    data/{all,dress,shirt,toptee}.val.json           [{"target": [url, name], "reference": [[url, [texts], name], ...]}]
    image_splits/split.{all,...}.val.json            [name, ...]: the pool
    images/{name}.jpg                                or fashioniq_images/, or M-BEIR's mbeir_images/fashioniq_images/

Each round shows a picture and says how the wanted one differs. A query's pictures are the rounds' pictures in order and
its text says `Picture 1: ...` for each; LamRA puts each text after its picture. The pictures of the rounds stay in
the pool, as in LamRA's evaluation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.records import chosen, first_of, folder, id_of, list_of, object_of, picture, read_json, text_of
from vretrver.errors import RecordError
from vretrver.types import Document, ImageRef, Query

INSTRUCTION = "Find the garment that results from the changes asked for, round by round."
PARTS = ("all", "dress", "shirt", "toptee")
PICTURES = ("images", "fashioniq_images", "mbeir_images/fashioniq_images")
MEASURES = ("hit@5", "hit@1", "hit@8", "hit@10", "mrr@10")
CARD = Card(
    title="Multi-turn FashionIQ",
    source="https://github.com/yfyuan01/MultiturnFashionRetrieval "
    "(pictures: https://github.com/hongwang600/fashion-iq-metadata)",
    licence="no licence is stated there; FashionIQ's annotations are under the Community Data License Agreement",
    metric="R@5, also R@8 and R@10, over the pool of all three categories; one garment answers each query",
    notes="The texts of a round are joined by ` and `, as LamRA does. Some pictures of FashionIQ can no longer be "
    "downloaded. A target that is not in the pool can never be found; `targets outside the pool` counts them.",
)


def load(root: str | os.PathLike[str], task: str = "all", split: str = "val", instruction: str = INSTRUCTION) -> Task:
    """The queries of all categories, or of one.

    Args:
        root: the folder that holds `data/`, `image_splits/` and the pictures.
        task: `all`, which the published numbers use, or `dress`, `shirt`, `toptee`.
        split: `val`, which the published numbers use, or `train`.
        instruction: what every query asks for; "" for nothing.

    Raises:
        InvalidInput: another task or split.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    chosen(task, PARTS, "task")
    chosen(split, ("val", "train"), "split")
    path = first_of(place / "data" / f"{task}.{split}.json", what="the query file")
    pictures = _Pictures(place)
    pool = _pool(place / "image_splits" / f"split.{task}.{split}.json", pictures)
    topics = tuple(
        _topic(str(at), entry, f"{path}: entry {at}", pictures, instruction)
        for at, entry in enumerate(list_of(read_json(path), str(path), "the file"))
    )
    outside = sum(not (topic.relevant.keys() <= pool.keys()) for topic in topics)
    facts: dict[str, Any] = {"instruction": instruction, **({"targets outside the pool": outside} if outside else {})}
    card = CARD if task == "all" else replace(CARD, title=f"{CARD.title}, {task}")
    return Task(f"mtfiq/{task}", split, topics, tuple(pool.values()), MEASURES, card, place, facts=facts)


class _Pictures:
    """Where the garments' pictures are, by name."""

    def __init__(self, root: Path) -> None:
        self._folder = next((root / name for name in PICTURES if (root / name).is_dir()), root / PICTURES[0])

    def of(self, name: str, where: str) -> ImageRef:
        return picture(self._folder, f"{name}.jpg", where)


def _pool(path: Path, pictures: _Pictures) -> dict[str, Document]:
    names = [id_of(name, str(path), "a name") for name in list_of(read_json(path), str(path), "the file")]
    return {name: Document(name, image=pictures.of(name, str(path))) for name in names}


def _topic(name: str, entry: Any, where: str, pictures: _Pictures, instruction: str) -> Topic:
    record: Mapping[str, Any] = object_of(entry, where, "the entry")
    target = list_of(record.get("target"), where, "target")
    rounds = [
        list_of(one, where, "a round of reference") for one in list_of(record.get("reference"), where, "reference")
    ]
    if len(target) != 2 or not rounds or any(len(one) != 3 for one in rounds):
        raise RecordError(f"{where}: not {{'target': [url, name], 'reference': [[url, [texts], name], ...]}}")
    images, lines = [], []
    for number, (_url, texts, garment) in enumerate(rounds, start=1):
        said = [text_of(text, where, "a text") for text in list_of(texts, where, "the texts")]
        images.append(pictures.of(id_of(garment, where, "a name"), where))
        lines.append(f"Picture {number}: {' and '.join(text for text in said if text)}")
    query = Query("\n".join(lines), tuple(images), instruction or None)
    return Topic(name, query, {id_of(target[1], where, "the target's name"): 1})

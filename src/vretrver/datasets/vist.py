"""VIST as image retrieval: five captions and the first four pictures of a story, find the fifth picture.

    sis/val.story-in-sequence.json           annotations, each a list of one entry (Huang et al., NAACL 2016)
    images/val/{photo_flickr_id}.jpg         or .png, .gif: about 20,000 pictures of Flickr

Protocol as in FROMAGe and LamRA: the pool is every picture that a story of the split uses, and the four pictures that
a query shows may not be ranked for it. The captions go into the text as `Picture 1: ...`, since a query's pictures come
before its words; LamRA puts each caption before its picture.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.records import chosen, first_of, folder, id_of, list_of, object_of, picture, read_json, text_of
from vretrver.errors import RecordError
from vretrver.types import Document, ImageRef, Query

INSTRUCTION = "These pictures and captions tell a story. Find the picture that belongs to the last caption."
MEASURES = ("hit@1", "hit@5", "hit@10", "mrr@10")
ENDINGS = (".jpg", ".png", ".gif")
CARD = Card(
    title="VIST (story -> image)",
    source="https://visionandlanguage.net/VIST (retrieval protocol: FROMAGe, Koh et al., ICML 2023; LamRA)",
    licence="the pictures are Flickr's, each under its own Creative Commons licence; the stories' licence is not "
    "confirmed here: read it at the source",
    metric="R@1: one picture answers each story",
    notes="Pictures keep leaving Flickr, so two papers' numbers may rest on different pools. The pictures that a query "
    "shows are excluded from its ranking. Several stories of one album share pictures.",
)


def load(root: str | os.PathLike[str], split: str = "val", instruction: str = INSTRUCTION) -> Task:
    """The stories of a split, each to find its last picture.

    Args:
        root: the folder that holds `sis/` and `images/`.
        split: `val`, which the published numbers use, or `test`.
        instruction: what every query asks for; "" for nothing.

    Raises:
        InvalidInput: another split.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    chosen(split, ("val", "test"), "split")
    path = first_of(place / "sis" / f"{split}.story-in-sequence.json", what="VIST's story file")
    stories = _stories(path)
    pictures = _pictures(place, split, {one["photo"] for story in stories.values() for one in story}, str(path))
    topics = tuple(_topic(name, story, pictures, instruction) for name, story in stories.items() if len(story) > 1)
    short = len(stories) - len(topics)
    facts: dict[str, Any] = {
        "instruction": instruction,
        **({"stories of one picture, left out": short} if short else {}),
    }
    pool = tuple(Document(name, image=ref) for name, ref in pictures.items())
    return Task(f"vist/{split}", split, topics, pool, MEASURES, CARD, place, facts=facts)


def _stories(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The steps of each story in their order: photo, caption, place."""
    stories: dict[str, list[dict[str, Any]]] = defaultdict(list)
    data = object_of(read_json(path), str(path), "the file")
    for at, entry in enumerate(list_of(data.get("annotations"), str(path), "annotations")):
        where = f"{path}: annotation {at}"
        one = list_of(entry, where, "the annotation")
        if len(one) != 1:
            raise RecordError(f"{where}: a list of {len(one)}; a story-in-sequence annotation is a list of one entry")
        record = object_of(one[0], where, "the entry")
        order = record.get("worker_arranged_photo_order")
        if isinstance(order, bool) or not isinstance(order, int):
            raise RecordError(f"{where}: worker_arranged_photo_order is {order!r}; it must be an integer")
        step = {
            "photo": id_of(record.get("photo_flickr_id"), where, "photo_flickr_id"),
            "caption": text_of(record.get("text"), where, "text") or "",
            "order": order,
        }
        stories[id_of(record.get("story_id"), where, "story_id")].append(step)
    return {name: sorted(story, key=lambda step: int(step["order"])) for name, story in stories.items()}


def _pictures(root: Path, split: str, names: set[str], where: str) -> dict[str, ImageRef]:
    """Each photo's file, by whichever ending is there; .jpg where none is."""
    folder_ = root / "images" / split
    there = set(os.listdir(folder_)) if folder_.is_dir() else set()
    files = {
        name: next((name + end for end in ENDINGS if name + end in there), name + ".jpg") for name in sorted(names)
    }
    return {name: picture(folder_, file, where) for name, file in files.items()}


def _topic(name: str, story: Sequence[Mapping[str, Any]], pictures: Mapping[str, ImageRef], instruction: str) -> Topic:
    *shown, last = story
    lines = [f"Picture {at}: {step['caption']}" for at, step in enumerate(shown, start=1)]
    lines.append(f"Picture {len(story)}, to be found: {last['caption']}")
    query = Query("\n".join(lines), tuple(pictures[step["photo"]] for step in shown), instruction or None)
    seen = tuple(dict.fromkeys(step["photo"] for step in shown if step["photo"] != last["photo"]))
    return Topic(name, query, {last["photo"]: 1}, excluded=seen)

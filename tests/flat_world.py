"""A task of the small-detail world whose pictures are one grey each: its words and its truth, without drawing."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from vretrver.datasets import Task, load_task
from vretrver.world import Scene, Truth, group, layout
from vretrver.world.scenes import VERSION


def flat_world(work: Path, size: int = 20, seed: int = 1, split: str = "train", distractors: int = 3) -> Task:
    """Every kind in every modality once in 20 topics. What is there already is not drawn again, so nothing is drawn."""
    folder = work / f"world{VERSION}-{split}-seed{seed}-d{distractors}"
    folder.mkdir(parents=True)
    questions, truths = [], []
    for index in range(size):
        one = group(seed, split, index, distractors)
        named = {f"{index:06d}-c{at}.jpg": scene for at, scene in enumerate(one.candidates) if isinstance(scene, Scene)}
        shown = [*named] or [*one.candidates]
        if one.picture:
            named[f"{index:06d}-q.jpg"] = one.picture
        for file, scene in named.items():
            Image.new("RGB", layout(scene).size, "grey").save(folder / file, "JPEG", quality=20)
            truths.append(Truth.of(file, scene).to_record())
        picture = f"{index:06d}-q.jpg" if one.picture else None
        questions.append(
            {"id": one.id, "kind": one.kind, "modality": one.modality, "text": one.text, "picture": picture}
            | {"candidates": shown, "answer": one.answer, "values": list(one.values)}
        )
    for name, records in (("topics.jsonl", questions), ("truth.jsonl", truths)):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return load_task("world", work=work, size=size, seed=seed, split=split, distractors=distractors)

"""One number for the data of a task: two machines that ask the same things of the same pool get the same digest.

It covers ids, texts, instructions, what is relevant, what answers in words, galleries and the names of pictures; not
the pictures' bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vretrver.datasets import Task, Topic
from vretrver.types import Document, ImageRef


def data_digest(task: Task) -> str:
    """SHA-256 (hex) over the topics in order and the pool in order, one line of canonical JSON each.

    A picture's path counts from `task.root`; one that lies elsewhere (GeneCIS's crops, the world's scenes) counts by
    its file's name; a picture of bytes by their SHA-256. The pool is streamed.
    """
    digest = hashlib.sha256()
    for record in _records(task):
        digest.update(_CANONICAL.encode(record).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _records(task: Task) -> Iterator[Any]:
    root = None if task.root is None else os.path.join(task.root, "")
    yield from (_topic(topic, root) for topic in task.topics)
    yield from (_document(document, root) for document in task.pool)


def _topic(topic: Topic, root: str | None) -> dict[str, Any]:
    query = topic.query
    expected = {} if topic.expected is None else {"expected": asdict(topic.expected)}
    return {
        "topic": topic.id,
        "text": query.text,
        "instruction": query.instruction,
        "images": [_named(ref, root) for ref in query.images],
        "relevant": dict(topic.relevant),
        "candidates": None if topic.candidates is None else list(topic.candidates),
        "excluded": list(topic.excluded),
        "group": topic.group,
        **expected,
    }


def _document(document: Document, root: str | None) -> dict[str, Any]:
    image = None if document.image is None else _named(document.image, root)
    return {"document": document.id, "text": document.text, "image": image, "printed": document.printed}


def _named(ref: ImageRef, root: str | None) -> str:
    if ref.path is None:
        return f"sha256:{hashlib.sha256(ref.data or b'').hexdigest()}"
    if root is not None and ref.path.startswith(root):
        return Path(ref.path[len(root) :]).as_posix()
    return f"elsewhere:{Path(ref.path).name}"

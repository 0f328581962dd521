"""Windows looked at in full: what the agent would see on each, whatever it has learned about when not to look.

The tables are what `fit.py` fits on. They are kept in a folder, so that a fit takes seconds. It leaves out fitting.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from runs.evidence.tasks import Asked
from tqdm import tqdm

from vretrver.embedders.lite import LiteEmbedder
from vretrver.episode import Episode
from vretrver.errors import ImageError, MissingPath
from vretrver.images import image_size
from vretrver.policies.evidence import EvidencePolicy
from vretrver.policies.evidence.looks import Eyes, Reads
from vretrver.policies.evidence.policy import Scene, what_was_seen
from vretrver.policies.evidence.weights import Weights, coarse_z, design, kind_of
from vretrver.retriever import Retriever
from vretrver.types import ImageRef, Window


@dataclass(frozen=True)
class Example:
    """One window: its kind, the coarse z, the signals as they count after all looks, and which positions answer."""

    source: str
    qid: str
    group: str
    kind: str
    z: NDArray[np.float64]
    signals: Mapping[str, NDArray[np.float64]]
    relevant: NDArray[np.bool_]


EXPLORING = {  # guesses that decide only what is selected while exploring; they are no part of the product
    "*": Weights(
        coarse=1.0,
        signals={
            "regions": 1.0, "details": 0.3, "palette": 0.3, "changed": 0.5, "asked": 3.0, "shown": 0.5, "named": 0.5,
            "said": 3.0, "print": 2.0,
        },
        certain=1.01,
        margin=0.0,
    )
}  # fmt: skip


def explored(
    source: str,
    asked: Sequence[Asked],
    retriever: Retriever,
    eyes: Eyes,
    centre: NDArray[np.float32],
    keep: Path,
    k: int,
) -> list[Example]:
    """An example per query, from the first k candidates; those in `keep` are not looked at again."""
    if keep.exists():
        with keep.open("rb") as file:
            known: list[Example] = pickle.load(file)  # our own file
        return known
    policy = EvidencePolicy(eyes, EXPLORING, centre)
    found = [
        example_of(source, one, Window(one.query, tuple(retriever.search([one.query], k)[0])), policy)
        for one in tqdm(asked, desc=source, unit="query")
    ]
    with keep.open("wb") as file:
        pickle.dump(found, file)
    return found


def example_of(source: str, asked: Asked, window: Window, policy: EvidencePolicy) -> Example:
    """One window looked at to the end."""
    episode = Episode(window, sizes_of(window))
    while not episode.done:
        episode.feed(policy.complete([episode.conversation])[0])
    judgement = policy.judge(Scene.of(window, EXPLORING), what_was_seen(episode.conversation))
    relevant = np.array([candidate.document.id in asked.relevant for candidate in window.candidates])
    kind = kind_of(window.query, window.candidates)
    return Example(source, asked.qid, asked.group, kind, coarse_z(window.candidates), design(judgement.table), relevant)


def sizes_of(window: Window) -> dict[ImageRef, tuple[int, int]]:
    images = {*window.query.images, *(c.document.image for c in window.candidates if c.document.image)}
    return dict(_readable(images))


def _readable(images: set[ImageRef]) -> Iterator[tuple[ImageRef, tuple[int, int]]]:
    for image in images:
        try:
            yield image, image_size(image)
        except (ImageError, MissingPath):
            continue


def eyes_of(reader: Reads | None, embedder: LiteEmbedder | None = None) -> Eyes:
    return Eyes(embedder or LiteEmbedder.load(), reader)


def recall(eyes: Eyes, path: Path) -> None:
    """Take up the sightings of an earlier run: those that depend on pixels and the trunk alone."""
    if path.exists():
        with path.open("rb") as file:
            eyes.sightings.update(pickle.load(file))  # our own file


def keep_sightings(eyes: Eyes, path: Path) -> None:
    kept = {key: value for key, value in eyes.sightings.items() if key[0] in ("look", "detail", "palette", "share")}
    with path.open("wb") as file:
        pickle.dump(kept, file)


def without(examples: Sequence[Example], names: frozenset[str]) -> list[Example]:
    """The same examples as if some signals had not been seen."""
    return [replace(e, signals={n: v * (n not in names) for n, v in e.signals.items()}) for e in examples]

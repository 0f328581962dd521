"""Seeded topics with a relevance that only the fake ranker knows: K = 50 candidates in a noisy first-stage order.

A topic has one to three relevant candidates, eight near misses, and the rest. What the ranker perceives is the hidden
relevance; in pictures, less exactly the fewer patches they are shown at (`LEGIBILITY`). These numbers are assumptions
that put the first stage and the ranker where published systems are; only differences between schedules mean something.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from statistics import fmean, pstdev

from vretrver.testing.serving import image_tokens
from vretrver.types import Candidate, Document

K = 50
COARSE_NOISE = (0.2, 0.5, 0.8, 1.1)  # standard deviation of the first stage's error; topics are easy or hard for it
RANKER_NOISE = 0.3  # of the ranker's, drawn for each window; a look halves it
POSITION_BIAS = 0.1  # what the first candidate of a window gains over the last
LEGIBILITY = 0.1  # error of a picture at 100 patches; falls with the square root of the patches, and is the same in
# every window: what a thumbnail has lost, no second look at the thumbnail brings back
SIZE = (640, 480)
WORDS = "amber basin cedar delta ember fjord grove harbor inlet juniper kelp lagoon maple north opal pine quarry river"


@dataclass(frozen=True, slots=True)
class Topic:
    """A query and its candidates, by their numbers 0..K-1.

    Args:
        hidden: relevance by number.
        coarse: the first stage's score by number, standardised over the candidates.
        relevant: the numbers that answer the query.
    """

    index: int
    hidden: tuple[float, ...]
    coarse: tuple[float, ...]
    relevant: frozenset[int]

    @property
    def query(self) -> str:
        return f"topic {self.index}: which of these shows what was asked for?"

    @property
    def order(self) -> list[int]:
        """The first stage's order, best first."""
        return sorted(range(K), key=lambda number: -self.coarse[number])


def candidates(of: Topic, documents: Sequence[Document]) -> list[Candidate]:
    """The first stage's list, best first; `documents` by number."""
    return [Candidate(documents[number], of.coarse[number], rank) for rank, number in enumerate(of.order, start=1)]


@lru_cache(maxsize=10_000)
def topic(index: int) -> Topic:
    chance = random.Random(f"topic {index}")
    answers = chance.choices((1, 2, 3), (0.6, 0.25, 0.15))[0]
    hidden = [chance.gauss(1.0, 0.12) for _ in range(answers)]
    hidden += [chance.gauss(0.55, 0.15) for _ in range(8)]
    hidden += [chance.gauss(0.0, 0.25) for _ in range(K - len(hidden))]
    places = chance.sample(range(K), K)  # a candidate's number says nothing about its relevance
    by_number = [hidden[places[number]] for number in range(K)]
    noise = chance.choice(COARSE_NOISE)
    found = [value + chance.gauss(0.0, noise) for value in by_number]
    mean, deviation = fmean(found), pstdev(found)
    coarse = [(score - mean) / deviation for score in found]
    relevant = frozenset(number for number in range(K) if places[number] < answers)
    return Topic(index, tuple(by_number), tuple(coarse), relevant)


@cache
def passage(number: int) -> str:
    """About eighty words, as the passages have for which RankGPT was made."""
    chance = random.Random(f"passage {number}")
    return f"Passage {number}. " + " ".join(chance.choices(WORDS.split(), k=78)) + "."


def caption(number: int) -> str:
    return f"Photo {number}."


def perceived(query: str, text: str, image: bytes | None) -> float:
    """What the ranker makes of a candidate, before the noise of a single window: `testing.agent.Relevance`."""
    asked, shown = re.match(r"topic (\d+):", query), re.match(r"(?:Passage|Photo) (\d+)\.", text)
    if asked is None or shown is None:
        return 0.0
    index, number = int(asked[1]), int(shown[1])
    seen = topic(index).hidden[number]
    if image is None:
        return seen
    return seen + _blur(index, number) * LEGIBILITY * math.sqrt(100 / max(1, image_tokens(image)))


def pictures(folder: Path, size: tuple[int, int] = SIZE) -> list[Path]:
    """K smooth random pictures as files; every topic's candidates show these."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(0)
    paths = [folder / f"photo{number}.jpg" for number in range(K)]
    for path in paths:
        coarse = Image.fromarray(chance.integers(0, 255, (24, 32, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)
    return paths


def numbers(order: Sequence[str]) -> list[int]:
    return [int(name) for name in order]


@lru_cache(maxsize=100_000)
def _blur(index: int, number: int) -> float:
    return random.Random(f"blur {index} {number}").gauss(0.0, 1.0)

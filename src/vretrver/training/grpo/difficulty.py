"""Which queries are asked next: those from which there is something to learn.

A group whose rollouts are all right or all wrong has no advantage and teaches nothing. So each query carries a running
estimate p of how often it is answered rightly, and is drawn with weight p (1 - p), which is the variance of a right
answer (learnability: Foster and Foerster 2025, arXiv 2502.12272), never less than a floor. Queries that nobody asked
yet count as p = 1/2. Draws are made without replacement and depend on seed, step and estimates alone, so a run that
goes on draws what it would have drawn.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from vretrver.errors import RecordError
from vretrver.evaluation.folder import write_text
from vretrver.training.grpo.settings import Difficulty

FILE = "difficulty.json"


class Estimates:
    """How often each query was answered rightly of late.

    Args:
        keys: of all queries.
        settings: how they are drawn.
        seed: of the draws.
    """

    def __init__(self, keys: Sequence[str], settings: Difficulty, seed: int) -> None:
        self._keys, self._settings, self._seed = list(keys), settings, seed
        self.right: dict[str, float] = {}
        self.times: dict[str, int] = {}

    def weight(self, key: str) -> float:
        """How much a query is preferred, from the floor to 0.25."""
        p = self.right.get(key, 0.5)
        return max(self._settings.floor, p * (1 - p))

    def draw(self, count: int, step: int, again: int = 0, but: Collection[str] = ()) -> list[str]:
        """Queries for a step; where there are fewer than asked for, they come round again.

        Args:
            again: which time queries are drawn for this step.
            but: not these, as long as there are others.
        """
        keys = [key for key in self._keys if key not in but] or self._keys
        order = self._ordered(keys, step, again)
        return [order[at % len(order)] for at in range(count)]

    def note(self, shares: Iterable[tuple[str, float]]) -> None:
        """Take in how groups went.

        Args:
            shares: of each group the query's key and the share of its rollouts that were right.
        """
        for key, share in shares:
            kept = self._settings.memory if key in self.right else 0.0
            self.right[key] = kept * self.right.get(key, 0.0) + (1 - kept) * share
            self.times[key] = self.times.get(key, 0) + 1

    def save(self, folder: Path) -> None:
        """Write `difficulty.json`.

        Raises:
            StorageError: the disk refuses.
        """
        write_text(folder / FILE, json.dumps({"right": self.right, "times": self.times}) + "\n")

    def load(self, folder: Path) -> None:
        """Take in what `save` wrote.

        Raises:
            RecordError: it is not there, or does not parse.
        """
        try:
            record = json.loads((folder / FILE).read_text(encoding="utf-8"))
            self.right = {str(key): float(value) for key, value in record["right"].items()}
            self.times = {str(key): int(value) for key, value in record["times"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise RecordError(f"{folder / FILE} cannot be read ({fault}); take the checkpoint away") from fault

    def _ordered(self, keys: Sequence[str], step: int, again: int) -> list[str]:
        chance = random.Random(f"{self._seed}:{step}:{again}")  # noqa: S311  # no secret
        if self._settings.prefer == "none":
            drawn = {key: (self.times.get(key, 0), chance.random()) for key in keys}
            return sorted(keys, key=drawn.__getitem__)
        # Efraimidis and Spirakis 2006: the largest of u^(1/w) are a weighted draw without replacement.
        rank = {key: math.log(1.0 - chance.random()) / self.weight(key) for key in keys}
        return sorted(keys, key=rank.__getitem__, reverse=True)

    @property
    def figures(self) -> Mapping[str, float]:
        """How many queries were asked, and the share of them between all right and all wrong."""
        asked = len(self.right)
        between = sum(0.05 < p < 0.95 for p in self.right.values())
        return {"asked": float(asked), "uncertain": between / asked if asked else 0.0}

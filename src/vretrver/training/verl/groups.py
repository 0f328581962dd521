"""A group's rollouts wait for one another: some rewards compare them, and verl scores each by itself.

verl's V1 trainer runs all rollouts of a prompt in one process, as tasks of one event loop, so a meeting place in that
process is enough. A rollout that broke says so (`leave`); the others are then scored without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.training.rewards import Judged, Reward, Score


@dataclass(slots=True)
class _Group:
    left: int
    judged: list[Judged] = field(default_factory=list)
    waiting: list[asyncio.Future[Score]] = field(default_factory=list)


class Groups:
    """The groups of one process that wait for their last rollout."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self._groups: dict[Hashable, _Group] = {}

    async def score(self, key: Hashable, size: int, judged: Judged) -> Score:
        """What a rollout earned, once every rollout of its group is there.

        Args:
            key: the group's own. size: how many rollouts it has, those that leave counted.
        """
        future: asyncio.Future[Score] = asyncio.get_running_loop().create_future()
        group = self._groups.setdefault(key, _Group(size))
        group.judged.append(judged)
        group.waiting.append(future)
        self._arrived(key)
        return await future

    def leave(self, key: Hashable, size: int) -> None:
        """A rollout of the group will not come."""
        self._groups.setdefault(key, _Group(size))
        self._arrived(key)

    def _arrived(self, key: Hashable) -> None:
        group = self._groups[key]
        group.left -= 1
        if group.left:
            return
        del self._groups[key]
        waiting = [future for future in group.waiting if not future.done()]
        try:
            scores = self._reward(group.judged)
        except Exception as fault:  # each of them must hear of it
            for future in waiting:
                future.set_exception(fault)
            return
        for future, score in zip(group.waiting, scores, strict=True):
            if not future.done():  # one that was cancelled
                future.set_result(score)


def group_size(sampling_params: Mapping[str, Any], rollout: Any) -> int:
    """How many rollouts a prompt has: verl does not say, but samples differently where it validates.

    Raises:
        InvalidInput: training and validation sample alike but in groups of different sizes.
    """
    if rollout.n == rollout.val_kwargs.n:
        return int(rollout.n)
    names = ("temperature", "top_p", "top_k")
    trains = all(sampling_params.get(name) == getattr(rollout, name) for name in names)
    validates = all(sampling_params.get(name) == getattr(rollout.val_kwargs, name) for name in names)
    if trains == validates:
        raise InvalidInput(
            "training and validation must sample differently (val_kwargs.temperature=0) or in groups of one size "
            "(val_kwargs.n = n), or a group's rollouts cannot be told to be complete"
        )
    return int(rollout.n if trains else rollout.val_kwargs.n)

"""Rollouts as trace files: `vretrver view` opens them, and each line says what the rollout earned.

A line is a trace file's, with `topic`, `rollout` (its number in the group), `step`, `draw`, `reward`, `terms`, `right`
and `trained` (whether its group was in the loss). One file a step and process, written whole; a run that goes on writes
the files of repeated steps again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from vretrver.evaluation.folder import made, write_text
from vretrver.training.grpo.rollouts import Group
from vretrver.viewer.trace_file import line_of

FOLDER = "rollouts"


def keep(folder: Path, groups: Iterable[Group], trained: Iterable[Group], step: int, process: int) -> Path:
    """Write the file of a step.

    Raises:
        StorageError: the disk refuses.
    """
    path = made(folder / FOLDER) / f"step-{step:06}.{process}.jsonl"
    write_text(path, "".join(_lines(groups, list(trained), step)))
    return path


def _lines(groups: Iterable[Group], trained: list[Group], step: int) -> Iterator[str]:
    for group in groups:
        learnt = not group.flat and any(group is one for one in trained)
        for number, one in enumerate(group.rollouts):
            record = json.loads(line_of(one.ranking, pictures=False, topic=group.exercise.topic.id))
            record |= {"rollout": number, "step": step, "draw": group.draw, "reward": one.score.total}
            record |= {"terms": dict(one.score.terms), "right": one.right, "trained": learnt}
            yield json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n"

"""Rollouts: a sampling agent asks every query several times, and what it did is kept (paper, section 3.4, stage II).

The product's own reranker and episode run them, so a rollout is what the agent would do when served. Many episodes
advance together; the policy batches them. Rollout number r of a query has a seed of its own. Each batch of rollouts is
on disk before the next begins; a run that was cut off goes on, with any number of processes. Files are trace files that
`vretrver view` opens. It leaves out which rollouts are any good (`rejection`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vretrver.errors import InvalidInput, PolicyError
from vretrver.evaluation.folder import made
from vretrver.evaluation.journal import Journal, read_journal
from vretrver.reranker import Reranker
from vretrver.trace import Ranking, StopReason
from vretrver.training.tasks import Asked
from vretrver.viewer.trace_file import line_of, records_of


@dataclass(frozen=True, slots=True)
class Rollout:
    """One time that one query was asked.

    Args:
        topic: the query's id. number: which time, from 0.
        ranking: with its traces.
    """

    topic: str
    number: int
    ranking: Ranking


def sample(
    agent: Callable[[int], Reranker],
    asked: Sequence[Asked],
    folder: Path,
    rollouts: int,
    *,
    at_once: int = 64,
    shuffle: int | None = None,
    part: tuple[int, int] = (0, 1),
    progress: bool = True,
) -> int:
    """Ask every query so many times, or go on where that was cut off.

    Args:
        agent: the reranker of rollout number r; its policy should draw with a seed of its own for each.
        folder: where rollouts are kept.
        at_once: how many episodes advance together.
        shuffle: a seed that draws another order of the candidates for each rollout; None keeps the order.
        part: (number of this process, how many there are); each asks its share of the queries.
        progress: draw progress on stderr.

    Returns:
        How many rollouts this call made.

    Raises:
        InvalidInput: two queries share an id, or a number is out of range.
        PolicyError: the policy failed on every window of a batch; what was finished is kept.
        StorageError: the disk refuses, or another process writes the same part. RecordError: a file is damaged.
    """
    from tqdm import tqdm

    if rollouts < 1 or at_once < 1:
        raise InvalidInput(f"rollouts is {rollouts} and at_once {at_once}; each must be 1 or more")
    if len({topic.id for topic, _candidates in asked}) != len(asked):
        raise InvalidInput("two queries share an id; each needs its own")
    done = finished(made(folder))
    number, of = part
    mine = asked[number::of]
    missing = [(r, [one for one in mine if (one[0].id, r) not in done]) for r in range(rollouts)]
    total = sum(len(batch) for _r, batch in missing)
    quiet = None if progress and number == 0 else True
    with tqdm(total=total, unit="rollout", desc="rollouts", disable=quiet) as bar:
        for r, waiting in missing:
            if not waiting:
                continue
            reranker = agent(r)
            with Journal(folder / f"{r:03}.{number}-of-{of}.jsonl") as journal:
                for start in range(0, len(waiting), at_once):
                    batch = _mixed(waiting[start : start + at_once], r, shuffle)
                    journal.append(_records(r, batch, _ranked(reranker, batch)))
                    bar.update(len(batch))
    return total


def finished(folder: Path) -> set[tuple[str, int]]:
    """Which rollouts a folder holds, as (topic, number)."""
    return {
        (record["topic"], record["rollout"])
        for path in sorted(folder.glob("*.jsonl"))
        for record in read_journal(path)[0]
    }


def read_rollouts(folder: Path) -> Iterator[Rollout]:
    """The rollouts of a folder, each once, in the order of their numbers.

    Raises:
        RecordError: a file does not parse.
    """
    seen: set[tuple[str, int]] = set()
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:  # a line that a process was writing when it died has no end
            whole = sum(line.endswith(b"\n") for line in lines)
        for record, ranking in records_of(path, range(1, whole + 1)):
            key = (str(record["topic"]), int(record["rollout"]))
            if key not in seen:
                seen.add(key)
                yield Rollout(*key, ranking)


def _mixed(batch: Sequence[Asked], number: int, seed: int | None) -> Sequence[Asked]:
    if seed is None:
        return batch
    draws = [random.Random(f"{seed}:{number}:{topic.id}") for topic, _candidates in batch]  # noqa: S311  # no secret
    return [
        (topic, draw.sample(candidates, len(candidates)))
        for draw, (topic, candidates) in zip(draws, batch, strict=True)
    ]


def _ranked(reranker: Reranker, batch: Sequence[Asked]) -> list[Ranking]:
    rankings = reranker.rerank_many([topic.query for topic, _ in batch], [candidates for _, candidates in batch])
    traces = [trace for ranking in rankings for trace in ranking.traces]
    if traces and all(trace.stop is StopReason.POLICY_ERROR for trace in traces):
        raise PolicyError(
            f"the policy failed on all {len(traces)} windows of a batch, the last time with: {traces[-1].error}; what "
            "was finished before is kept"
        )
    return rankings


def _records(number: int, batch: Sequence[Asked], rankings: Sequence[Ranking]) -> list[dict[str, object]]:
    return [
        json.loads(line_of(ranking, pictures=False, topic=topic.id)) | {"rollout": number}
        for (topic, _candidates), ranking in zip(batch, rankings, strict=True)
    ]

"""How a run looked, by query, read from its traces: calls, how many were answered, how many showed nothing new."""

from __future__ import annotations

from dataclasses import dataclass

from vretrver.report.run_folder import RunFolder
from vretrver.trace import Ranking, Trace
from vretrver.training.rewards import looks as rewarded
from vretrver.viewer.trace_file import records_of


@dataclass(frozen=True, slots=True)
class Looks:
    """One query's calls over all its windows.

    Args:
        calls: as many as were made. valid: of them, answered with what was asked for.
        redundant: as `redundant_calls` counts them.
    """

    calls: int
    valid: int
    redundant: int


def looks_of(run: RunFolder) -> dict[str, Looks]:
    """By query; a query that could not be asked is not in it, and {} where the run kept no traces.

    Raises:
        RecordError: a line does not parse, or the traces are of another run.
    """
    path = run.path / "traces.jsonl"
    if not path.is_file():
        return {}
    asked = [outcome.topic for outcome in run.outcomes if outcome.error is None]
    return {topic: looks(ranking) for topic, (_record, ranking) in zip(asked, records_of(path), strict=False)}


def looks(ranking: Ranking) -> Looks:
    """The calls of one query."""
    answers = [turn.observation for trace in ranking.traces for turn in trace.turns if turn.observation]
    return Looks(
        calls=len(answers),
        valid=sum(answer.valid for answer in answers),
        redundant=sum(redundant_calls(trace) for trace in ranking.traces),
    )


def redundant_calls(trace: Trace) -> int:
    """Calls of a window beyond its first, and a first one that was refused or showed nothing new."""
    return sum(at > 0 or look.redundant for at, look in enumerate(rewarded.looks_of(trace)))

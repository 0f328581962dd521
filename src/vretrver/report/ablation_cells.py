"""One row on one column: how often it was right, how sure that is, how it looked; and two rows against each other.

The seeds of a row are pooled by query: a query counts as often right as its seeds were, and the intervals are over
queries. So they say what other queries would give, not what another training would; that stands beside, seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from vretrver.errors import InvalidInput
from vretrver.evaluation.outcome import Outcome
from vretrver.evaluation.statistics import interval, paired_interval
from vretrver.report.ablation_looks import Looks, looks_of
from vretrver.report.ablation_plan import Column, Plan, seeds_of
from vretrver.report.run_folder import RunFolder, read_run

Ends = tuple[float, float]
_SHARES = ("format_valid", "tool_valid", "tool_rate")


@dataclass(frozen=True, eq=False)
class Cell:
    """One row on one column.

    Args:
        runs: its run folders by seed.
        topics: the queries that count, in order.
        hits: by query: 1 right, 0 wrong, between where seeds differ.
        by_seed: hit@1 of each seed.
        chance: hit@1 of a random order of the same candidates. incoming: of the first stage's order.
        calls, redundant: per query. format_valid, tool_valid, tool_rate: shares; None where the runs kept no traces, or
            nothing was called.
    """

    runs: Mapping[int, RunFolder]
    topics: tuple[str, ...]
    hits: tuple[float, ...]
    by_seed: Mapping[int, float]
    chance: float
    incoming: tuple[float, ...]
    calls: float
    redundant: float | None
    format_valid: float
    tool_valid: float | None
    tool_rate: float | None

    @property
    def hit(self) -> float:
        return sum(self.hits) / len(self.hits)

    @property
    def ends(self) -> Ends:
        """95 % bootstrap interval over queries."""
        return interval(self.hits)


@dataclass(frozen=True, slots=True)
class Difference:
    """b - a over the queries that both asked.

    Args:
        a, b: the means over these queries. ends: 95 % paired bootstrap of the difference.
        queries: how many. won, lost: of them, where b was right more often than a, and less.
    """

    a: float
    b: float
    ends: Ends
    queries: int
    won: int
    lost: int

    @property
    def mean(self) -> float:
        return self.b - self.a


Cells = Mapping[tuple[str, str], Cell]
"""By row and column; a cell that was not measured is not in it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything an ablation's runs say.

    Args:
        cells: by row and column. missing: what is not there, as (row, column, why).
    """

    cells: Cells
    missing: tuple[tuple[str, str, str], ...]

    def cell(self, row: str, column: str) -> Cell | None:
        return self.cells.get((row, column))


def read_cells(folder: Path, plan: Plan) -> Measured:
    """Read all run folders of an ablation. One that is not there or not finished is missing, nothing stands for it.

    Raises:
        InvalidInput: a run's answers are not public, or a column's runs are of different data; names the folder.
        RecordError, MissingPath: a run folder is broken; names the file.
    """
    cells: dict[tuple[str, str], Cell] = {}
    missing: list[tuple[str, str, str]] = []
    read: dict[Path, tuple[RunFolder, dict[str, Looks]]] = {}
    for column in plan.columns:
        first: RunFolder | None = None
        for row in plan.rows:
            found: dict[int, tuple[RunFolder, dict[str, Looks]]] = {}
            paths = seeds_of(folder / "runs" / column.folder, row.folder)
            for seed, path in paths.items():
                if not (path / "metrics.json").is_file():
                    missing.append((row.id, column.id, f"{path.name} is not finished"))
                    continue
                if path not in read:
                    run = read_run(path)
                    read[path] = (run, looks_of(run))
                run, looked = read[path]
                first = first or run
                _same_data(first, run)
                if _counted(run, column):
                    found[seed] = (run, looked)
                else:
                    missing.append((row.id, column.id, f"{path.name} has no query in {', '.join(column.groups)}"))
            if found:
                cells[row.id, column.id] = _cell(found, column)
            elif not paths:
                missing.append((row.id, column.id, "not run"))
    return Measured(cells, tuple(missing))


def difference(a: Cell, b: Cell) -> Difference | None:
    """b - a over common queries; None when there are none."""
    other = dict(zip(b.topics, b.hits, strict=True))
    return _difference([(hit, other[topic]) for topic, hit in zip(a.topics, a.hits, strict=True) if topic in other])


def pooled(pairs: Sequence[tuple[Cell, Cell]]) -> Difference | None:
    """b - a over the queries of several columns; None when there are none. Columns weigh as many queries as they have.

    Columns that share queries (parts of one run) count each query once.
    """
    return _difference(pooled_hits(pairs))


def pooled_hits(pairs: Sequence[tuple[Cell, Cell]]) -> list[tuple[float, float]]:
    """How often a and b were right, by query over several columns, each query once."""
    together: dict[tuple[str, str], tuple[float, float]] = {}
    for a, b in pairs:
        of = next(iter(a.runs.values())).config
        other = dict(zip(b.topics, b.hits, strict=True))
        for topic, hit in zip(a.topics, a.hits, strict=True):
            if topic in other:
                together[f"{of.get('data')} {of.get('degrade')}", topic] = (hit, other[topic])
    return list(together.values())


def against_incoming(cell: Cell) -> Difference | None:
    """The agent's order against the first stage's."""
    return _difference(list(zip(cell.incoming, cell.hits, strict=True)))


def _difference(pairs: Sequence[tuple[float, float]]) -> Difference | None:
    if not pairs:
        return None
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    won, lost = (sum(one) for one in zip(*((y > x, y < x) for x, y in pairs), strict=True))
    return Difference(sum(a) / len(a), sum(b) / len(b), paired_interval(a, b), len(pairs), won, lost)


def _cell(found: Mapping[int, tuple[RunFolder, dict[str, Looks]]], column: Column) -> Cell:
    kept = {seed: _counted(run, column) for seed, (run, _looks) in found.items()}
    topics = [one.topic for one in next(iter(kept.values()))]
    by_topic = {seed: {one.topic: one for one in outcomes} for seed, outcomes in kept.items()}
    topics = [topic for topic in topics if all(topic in known for known in by_topic.values())]
    outcomes = [[known[topic] for topic in topics] for known in by_topic.values()]
    each = list(zip(*outcomes, strict=True))
    looks = [[looked[topic] for topic in topics if topic in looked] for _run, looked in found.values()]
    every = [one for of_seed in looks for one in of_seed]
    asked = [one for of_seed in outcomes for one in of_seed]
    calls, valid = sum(one.calls for one in every), sum(one.valid for one in every)
    return Cell(
        runs={seed: run for seed, (run, _looks) in found.items()},
        topics=tuple(topics),
        hits=tuple(sum(one.first_after == 1 for one in of_topic) / len(of_topic) for of_topic in each),
        by_seed={
            seed: sum(one.first_after == 1 for one in part) / len(part)
            for seed, part in zip(by_topic, outcomes, strict=True)
        },
        chance=sum(_chance(of_topic[0]) for of_topic in each) / len(each),
        incoming=tuple(float(of_topic[0].first_before == 1) for of_topic in each),
        calls=sum(one.usage.tool_calls for one in asked) / len(asked),
        redundant=sum(one.redundant for one in every) / len(every) if every else None,
        format_valid=sum(_in_form(one) for one in asked) / len(asked),
        tool_valid=valid / calls if calls else None,
        tool_rate=sum(one.valid > 0 for one in every) / len(every) if every else None,
    )


def _counted(run: RunFolder, column: Column) -> list[Outcome]:
    """The outcomes of a run that count in a column: of its groups, with a known answer."""
    if not run.judged:
        raise InvalidInput(f"{run.path} has no measures: its answers are not public")
    return [
        one
        for one in run.outcomes
        if any(grade > 0 for grade in one.relevant.values())
        and (not column.groups or any(fnmatchcase(one.group, pattern) for pattern in column.groups))
    ]


def _in_form(outcome: Outcome) -> bool:
    """Whether every window ended in a ranking that nothing had to be mended in."""
    return outcome.error is None and not outcome.repairs and all(stop == "answered" for stop in outcome.stops)


def _chance(outcome: Outcome) -> float:
    """hit@1 of a random order of the candidates."""
    right = sum(outcome.relevant.get(name, 0) > 0 for name in outcome.coarse)
    return right / len(outcome.coarse) if outcome.coarse else 0.0


def _same_data(first: RunFolder, run: RunFolder) -> None:
    for what in ("data", "degrade", "degrade_on"):
        if run.config.get(what) != first.config.get(what):
            raise InvalidInput(
                f"{run.path} cannot stand beside {first.path}: their {what} differs; a column holds runs of one task"
            )

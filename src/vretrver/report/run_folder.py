"""A finished run, read back from its folder (`vretrver.evaluation.outcome` lists its files).

A run folder may come from someone else: sizes are bounded, JSON is parsed and checked, nothing in it names a file that
is opened here. It leaves out traces, which are read only when a page of them is made (`report.trace_page`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.evaluation.outcome import Outcome
from vretrver.usage import Tokens, Usage

MAX_JSON_BYTES = 64 * 2**20
MAX_LINE_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class RunFolder:
    """What one run measured. Two are the same when they are the same object.

    Args:
        path: the folder.
        metrics: metrics.json. config: config.json. timing: timing.json, {} when it is not there.
        outcomes: one per topic, in the task's order.
    """

    path: Path
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]
    outcomes: tuple[Outcome, ...] = field(repr=False)
    timing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.resolve().name or "run"

    @property
    def task(self) -> str:
        return str(self.metrics.get("task", ""))

    @property
    def headline(self) -> str:
        """The measure that the benchmark's own table reports."""
        return str(self.metrics.get("headline", "hit@1"))

    @property
    def judged(self) -> bool:
        """Whether the answers are public, so that there is anything to measure."""
        return self.metrics.get("judged") is not False and bool(mapping(self.metrics, "reranked"))

    def value(self, stage: str, measure: str) -> float | None:
        """A mean over topics, such as `value("reranked", "hit@1")`."""
        return number(mapping(self.metrics, stage).get(measure))

    def interval(self, stage: str, measure: str) -> tuple[float, float] | None:
        """The bootstrap interval of a mean; stage may be `difference` too."""
        ends = mapping(self.metrics, "interval", stage).get(measure)
        if not isinstance(ends, list) or len(ends) != 2:
            return None
        low, high = number(ends[0]), number(ends[1])
        return None if low is None or high is None else (low, high)

    @property
    def seconds(self) -> float | None:
        """Mean seconds per topic."""
        return number(mapping(self.timing, "seconds").get("mean"))

    @cached_property
    def by_topic(self) -> Mapping[str, Outcome]:
        return {outcome.topic: outcome for outcome in self.outcomes}


def read_run(folder: str | PathLike[str]) -> RunFolder:
    """Read a run folder.

    Raises:
        MissingPath: there is no such folder.
        InvalidInput: it holds no run, or a run that was not finished; says how many topics are journalled.
        RecordError: one of its files does not parse; names file and line.
    """
    path = Path(folder)
    if not path.is_dir():
        raise MissingPath(f"no such run folder: {path}")
    if not (path / "metrics.json").is_file():
        raise InvalidInput(_unfinished(path))
    metrics = _json_object(path / "metrics.json")
    config = _json_object(path / "config.json") if (path / "config.json").is_file() else mapping(metrics, "config")
    timing = _json_object(path / "timing.json") if (path / "timing.json").is_file() else {}
    if not isinstance(metrics.get("task"), str) or not isinstance(metrics.get("headline"), str):
        raise RecordError(f"{path / 'metrics.json'} names no task or no headline measure; it is not a run's")
    return RunFolder(path, metrics, config, tuple(_outcomes(path / "outcomes.jsonl")), timing)


def mapping(record: Any, *keys: str) -> Mapping[str, Any]:
    """The object under nested keys; {} when there is none, whatever there is instead."""
    value = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON's whole numbers have any length
        return None


def _unfinished(path: Path) -> str:
    journal = path / "journal.jsonl"
    if not journal.is_file():
        return f"{path} is not a run folder: it has no metrics.json; `vretrver eval ... -o {path}` makes one"
    done = len({topic for record in _lines(journal, cut_off=True) if (topic := _journalled(record)) is not None})
    return (
        f"the run in {path} is not finished: {done} topics are journalled; the same `vretrver eval` goes on from there"
    )


def _journalled(record: Mapping[str, Any]) -> str | None:
    topic = mapping(record, "outcome").get("topic")
    return topic if isinstance(topic, str) else None


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise RecordError(f"{path} has more than {MAX_JSON_BYTES} bytes; it is not a run's")
        return _parsed(path.read_bytes(), str(path))
    except OSError as fault:
        raise RecordError(f"cannot read {path}: {fault.strerror or fault}") from fault


def _outcomes(path: Path) -> Iterator[Outcome]:
    if not path.is_file():
        raise MissingPath(f"{path} is missing; without it a run cannot be reported")
    for at, record in enumerate(_lines(path), start=1):
        try:
            outcome = Outcome.from_record(record)
        except RecordError as fault:
            raise RecordError(f"{path} line {at}: {fault}") from fault
        if problem := _problem(outcome):
            raise RecordError(f"{path} line {at}: {problem}")
        yield outcome


def _problem(outcome: Outcome) -> str | None:
    """What of an outcome's values cannot be worked with."""
    ids = (*outcome.coarse, *outcome.order, *outcome.images, *outcome.tools, *outcome.stops)
    if not all(isinstance(one, str) for one in (*ids, outcome.topic, outcome.group, outcome.modality)):
        return "an id, picture or tool is not a string"
    if any(len(set(order)) < len(order) for order in (outcome.coarse, outcome.order)):
        return "a document is ranked twice"
    if not all(isinstance(one, str | None) for one in (outcome.query, outcome.error)):
        return "query or error is not a string"
    if not isinstance(outcome.relevant, Mapping) or any(number(grade) is None for grade in outcome.relevant.values()):
        return "relevant is not a map from ids to grades"
    amounts = (outcome.repairs, outcome.seconds, *outcome.confidence, *outcome.scores)
    if any(number(amount) is None for amount in amounts) or not _is_sound(outcome.usage):
        return "a count, score or confidence is not a number"
    return _problem_of_questions(outcome)


def _problem_of_questions(outcome: Outcome) -> str | None:
    """The same of what only runs of questions have."""
    bearing, given = {} if outcome.bearing is None else outcome.bearing, outcome.answered
    if not isinstance(bearing, Mapping) or any(number(grade) is None for grade in bearing.values()):
        return "bearing is not a map from ids to grades"
    if not isinstance(outcome.kind, str) or not isinstance(outcome.pseudo, bool):
        return "kind is not a string, or pseudo neither true nor false"
    if given is None:
        return None
    if not all(isinstance(one, str) for one in (given.text, *given.cited)) or not isinstance(given.error, str | None):
        return "an answer, what it cites or its error is not a string"
    sound = (given.score is None or number(given.score) is not None) and number(given.seconds) is not None
    return None if sound and _is_sound(given.usage) else "an answer's score or usage is not made of numbers"


def _is_sound(usage: Usage) -> bool:
    """Whether every count of a usage is a number, or not known where it need not be."""
    counts = {one.name: getattr(usage, one.name) for one in fields(usage)}
    unsure = [counts.pop("money"), *asdict(counts.pop("tokens") or Tokens()).values()]
    return all(number(count) is not None for count in [*counts.values(), *(one for one in unsure if one is not None)])


def _lines(path: Path, cut_off: bool = False) -> Iterator[Mapping[str, Any]]:
    """Each line's object; with `cut_off` the end of a file that is still being written is left out."""
    try:
        with path.open("rb") as file:
            at = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                at += 1
                if len(line) > MAX_LINE_BYTES:
                    raise RecordError(f"{path} line {at} is longer than {MAX_LINE_BYTES} bytes")
                if cut_off and not line.endswith(b"\n"):
                    return
                if line.strip():
                    yield _parsed(line, f"{path} line {at}")
    except OSError as fault:
        raise RecordError(f"cannot read {path}: {fault.strerror or fault}") from fault


def _parsed(raw: bytes, where: str) -> Mapping[str, Any]:
    try:
        record = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise RecordError(f"{where} is not JSON: {fault}") from fault
    if not isinstance(record, dict):
        raise RecordError(f"{where} holds a {type(record).__name__}; an object was expected")
    return record


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")

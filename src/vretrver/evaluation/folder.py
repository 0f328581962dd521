"""The run folder: who may write into it, and the files for readers, made from the journal alone.

`evaluation.outcome` lists the files. Each is written aside and put in place when it is complete. `merge` makes one
folder of the shards of a run.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, MissingPath, RecordError, StorageError
from vretrver.evaluation.answer_files import answer_files
from vretrver.evaluation.journal import Journal, read_journal
from vretrver.evaluation.outcome import FORMAT, Outcome
from vretrver.evaluation.runner import TRACES
from vretrver.evaluation.settings import differences
from vretrver.evaluation.summary import summarise, timing
from vretrver.evaluation.trec import by_place, one_word, write_qrels, write_run
from vretrver.viewer.trace_file import replace_file

JOURNAL = "journal.jsonl"
CONFIG = "config.json"
OUTCOMES = "outcomes.jsonl"
METRICS = "metrics.json"
TIMING = "timing.json"
_LOG = logging.getLogger(__name__)


def made(folder: Path) -> Path:
    """The folder, made if it is not there.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise StorageError(f"cannot make the run folder {folder}: {fault.strerror or fault}") from fault
    return folder


def claim(folder: Path, config: Mapping[str, Any]) -> None:
    """Make the folder this run's, or see that it is already.

    Raises:
        InvalidInput: it holds a run of another configuration; says what differs.
    """
    path = folder / CONFIG
    if not path.exists():
        write_json(path, config)
        return
    held = read_json(path)
    _refuse_other_format(folder, held)
    # A shard has the hash of the whole run, but not its topics.
    if (held.get("hash"), held.get("shard")) != (config["hash"], config["shard"]):
        apart = differences(config, held) or [f"shard is {config['shard']!r}, not {held.get('shard')!r}"]
        raise InvalidInput(
            f"{folder} holds another run: {'; '.join(apart[:4])}; give this run a folder of its own with -o, "
            "or remove that one"
        )


def _refuse_other_format(folder: Path, config: Mapping[str, Any]) -> None:
    if config.get("format") != FORMAT:
        raise InvalidInput(
            f"{folder} holds a run by another version of vretrver, whose journal this one cannot go on with; "
            "give this run a folder of its own with -o, or remove that one"
        )


def opened(folder: Path, config: Mapping[str, Any]) -> Journal:
    """The run's journal, held for writing; its first line names the configuration.

    Raises:
        InvalidInput: it is the journal of another configuration.
        StorageError, RecordError: as `Journal`.
    """
    journal = Journal(folder / JOURNAL)
    held = next((record["config"] for record in journal.records if "config" in record), None)
    if held is None and not journal.records:
        journal.append([{"config": config["hash"]}])
    elif held not in (None, config["hash"]):
        journal.close()
        raise InvalidInput(f"{journal.path} is the journal of another configuration; give this run another folder")
    return journal


def finish(folder: Path) -> dict[str, Any]:
    """Write the files for readers; the same journal gives the same bytes, timing.json apart.

    Returns:
        The content of metrics.json.
    """
    config = config_of(folder)
    outcomes = outcomes_of(folder)
    write_text(folder / OUTCOMES, "".join(json.dumps(one.to_record(), ensure_ascii=True) + "\n" for one in outcomes))
    coarse = {one_word(one.topic): list(zip(map(one_word, one.coarse), one.scores, strict=True)) for one in outcomes}
    ranked = {one_word(one.topic): by_place([*map(one_word, one.order)]) for one in outcomes}
    qrels = {one_word(one.topic): {one_word(name): grade for name, grade in one.relevant.items()} for one in outcomes}
    write_run(folder / "coarse.trec", coarse, tag=f"vretrver-{config['coarse'].partition(':')[0]}")
    write_run(folder / "run.trec", ranked, tag=f"vretrver-{config['policy'].partition(':')[0]}")
    write_qrels(folder / "qrels.trec", qrels)
    if config["task_id"] is not None:  # UniIR's seven columns
        write_run(folder / "run.mbeir.txt", ranked, tag="vretrver", task_id=config["task_id"])
    if any(one.answered is not None for one in outcomes):
        for name, text in answer_files(config["task"], outcomes).items():
            write_text(folder / name, text)
    if config["task"].startswith("circo"):
        _write_submission(folder, {one.topic: one.order for one in outcomes})
    metrics = summarise(
        outcomes, config["task"], config["split"], config["title"], config["measures"], config["k"], config
    )
    write_json(folder / METRICS, metrics)
    write_json(folder / TIMING, timing(outcomes) | {"machine": machine()})
    return metrics


def merge(shards: Sequence[str | os.PathLike[str]], folder: str | os.PathLike[str]) -> dict[str, Any]:
    """One run folder out of all shards of a run: the same metrics as if it had been run in one piece.

    Returns:
        The content of metrics.json.

    Raises:
        MissingPath: a shard's folder is no run.
        InvalidInput: the shards are of different runs, one is missing or comes twice, or one is not finished.
        StorageError: the disk refuses. RecordError: a file in them does not parse.
    """
    places = [Path(shard) for shard in shards]
    configs = [config_of(place) for place in places]
    _refuse_gaps(places, configs)
    place = made(Path(folder))
    claim(place, configs[0] | {"shard": None})
    told = sorted((one for shard in places for one in _told(shard)), key=lambda one: one[0])
    records = []
    with (place / TRACES).open("wb") as traces:
        for at, outcome, (shard, start, end) in told:
            with shard.open("rb") as file:
                file.seek(start)
                traces.write(file.read(end - start))
            records.append({"at": at, "traces_end": traces.tell(), "outcome": outcome})
    (place / JOURNAL).unlink(missing_ok=True)  # a merge that was cut off begins again
    with opened(place, configs[0]) as journal:
        journal.append(records)
    return finish(place)


def outcomes_of(folder: Path) -> list[Outcome]:
    """The journal's outcomes, in the order of the topics.

    Raises:
        RecordError: the journal is damaged.
    """
    found = {record["at"]: record["outcome"] for record in read_journal(folder / JOURNAL)[0] if "outcome" in record}
    return [Outcome.from_record(found[at]) for at in sorted(found)]


def config_of(folder: Path) -> dict[str, Any]:
    """A run folder's configuration.

    Raises:
        MissingPath: it is no run folder. RecordError: the file does not parse.
    """
    if not (folder / CONFIG).exists():
        raise MissingPath(f"{folder} is no run folder: it has no {CONFIG}; `vretrver eval ... -o {folder}` makes one")
    return read_json(folder / CONFIG)


def machine() -> dict[str, Any]:
    """What the timings were taken on."""
    return {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        RecordError: it does not parse.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise RecordError(f"cannot read {path}: {fault}") from fault
    if not isinstance(value, dict):
        raise RecordError(f"{path} holds a {type(value).__name__}; expected a JSON object")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """A JSON object to a file; see `write_text`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """A file that appears under its name only when it is complete.

    Raises:
        StorageError: the disk refuses; what was there before stays.
    """
    replace_file(path, [text])


def _write_submission(folder: Path, ranked: Mapping[str, Sequence[str]]) -> None:
    """What CIRCO's server takes, where the run is one that it would take."""
    from vretrver.datasets.circo import submission

    try:
        write_text(folder / "submission.json", json.dumps(submission(ranked)) + "\n")
    except InvalidInput as why:
        _LOG.warning("no submission.json for the server: %s", why)


def _refuse_gaps(places: Sequence[Path], configs: Sequence[Mapping[str, Any]]) -> None:
    for place, config in zip(places, configs, strict=True):
        if config["hash"] != configs[0]["hash"]:
            apart = "; ".join(differences(config, configs[0])[:4])
            raise InvalidInput(f"{place} is a shard of another run than {places[0]}: {apart}")
        if not (place / METRICS).exists():
            raise InvalidInput(f"{place} is not finished; run its command again, then merge")
    given = sorted(str(config["shard"]) for config in configs)
    of = given[0].partition("/")[2] if given else ""
    wanted = sorted(f"{number}/{of}" for number in range(1, int(of) + 1)) if of.isdigit() else []
    if given != wanted:
        raise InvalidInput(f"merge takes every shard of a run once; these are {', '.join(given) or 'none'}")


def _told(shard: Path) -> Iterator[tuple[int, dict[str, Any], tuple[Path, int, int]]]:
    """A shard's outcomes with their places, and where their traces lie."""
    start = 0
    for record in read_journal(shard / JOURNAL)[0]:
        if "outcome" in record:
            yield record["at"], record["outcome"], (shard / TRACES, start, record["traces_end"])
            start = record["traces_end"]

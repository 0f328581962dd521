"""`evaluate`: a task in, a run folder out.

It resolves what was asked for into a recorded configuration, makes the first stage and drives the runner. The loop is
`evaluation.runner`'s, the folder's files are `evaluation.folder`'s, the numbers are `evaluation.summary`'s.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vretrver import __version__, ocr
from vretrver.answering import Writer, names_a_writer
from vretrver.answering.prompt import system_prompt
from vretrver.budget import Budget
from vretrver.calibration import load_calibration, packaged
from vretrver.datasets import Task
from vretrver.datasets.digest import data_digest
from vretrver.datasets.missing import missing_pictures, without_missing
from vretrver.embedders import Embedder, load_embedder
from vretrver.errors import InvalidInput, MissingPath
from vretrver.evaluation.corruption import corrupted
from vretrver.evaluation.folder import claim, finish, made, opened, write_text
from vretrver.evaluation.journal import Journal
from vretrver.evaluation.outcome import FORMAT
from vretrver.evaluation.pools import cache_folder, pool_index, reader_of
from vretrver.evaluation.questions import Questions
from vretrver.evaluation.recording import RecordedPolicy
from vretrver.evaluation.runner import Runner
from vretrver.evaluation.settings import Settings, hashed, written
from vretrver.evaluation.stages import FirstStage, Indexed, Nearest, Ordered, Worded
from vretrver.indexes import load_index
from vretrver.policies import Policy, load_policy
from vretrver.policies.habits import toolbox_for, turns_for
from vretrver.protocol import Wire
from vretrver.reranker import Reranker
from vretrver.retriever import Retriever
from vretrver.usage import Prices
from vretrver.windows import load_planner

_LOG = logging.getLogger(__name__)


def evaluate(
    task: Task,
    folder: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    embedder: str | Embedder = "lite",
    policy: str | Policy | None = "evidence",
    answers: str | Policy | None = None,
    cache: str | os.PathLike[str] | None = None,
    allow_missing: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Run a task and write its run folder; called again on the same folder, go on where it was cut off.

    Args:
        task: from `vretrver.datasets.load_task`, or your own.
        folder: the run folder (`vretrver.evaluation.outcome` says what is in it), made if it is not there.
        settings: how; the defaults are the paper's.
        embedder, policy: names or objects; policy None (or "none") keeps the coarse order.
        answers: who answers the task's questions from what was ranked, a chat or local model; None asks for no answers.
        cache: where indexes and words read off pictures are kept; the user's cache folder by default.
        allow_missing: leave out what lacks its picture; else a missing picture is an error before anything starts.
        progress: draw progress on stderr when that is a terminal.

    Returns:
        The content of metrics.json.

    Raises:
        MissingPath: pictures are missing, and how many; their names are in `missing.txt` of the folder.
        InvalidInput: the folder holds a run of another configuration; says what differs. Or answers are asked for and
            the task asks no questions, or the policy cannot answer.
        PolicyError: the policy fails again and again.
        StorageError: the disk refuses.
        MissingExtra: a library that the settings need is not installed.
    """
    settings = settings or Settings()
    place, stored = made(Path(folder)), cache_folder(cache)
    task = _present(task, place, allow_missing)
    model = load_embedder(embedder)
    reads = ocr.available() if settings.ocr is None else settings.ocr
    agent = _policy(policy, model, reads, stored)
    writer = None if answers is None else _writer(answers, task, settings)
    config = resolve(task, settings, model, agent, reads, writer)
    claim(place, config)
    batches = settings.chosen(len(task.topics))
    with opened(place, config) as journal:
        recorded = None if agent is None else RecordedPolicy(agent, journal, journal.records)
        known = {record["at"] for record in journal.records if "outcome" in record}
        if any(at not in known for batch in batches for at in batch):
            task = corrupted(task, settings, stored)
            stage = _stage(task, settings, model, reads=reads, cache=stored, progress=progress)
            reranker = None if recorded is None else _reranker(recorded, settings, task)
            questions = None if writer is None else _questions(writer, journal, settings)
            runner = Runner(
                place,
                journal,
                stage,
                reranker,
                recorded,
                k=settings.k,
                shuffles=settings.shuffles,
                seed=settings.seed,
                questions=questions,
            )
            runner.run(task, batches, progress)
    return finish(place)


def resolve(  # noqa: PLR0917  # what a run is made of
    task: Task,
    settings: Settings,
    embedder: Embedder,
    policy: Policy | None,
    reads: bool,
    writer: Writer | None = None,
) -> dict[str, Any]:
    """The configuration as it is recorded, its hash inside; see `vretrver.evaluation.settings`."""
    config: dict[str, Any] = {
        "task": task.name,
        "title": task.card.title,
        "task_id": task.task_id,
        "split": task.split,
        "data": data_digest(task),
        "facts": dict(task.facts),
        "n_pool": len(task.pool),
        "galleries": any(topic.candidates is not None for topic in task.topics),
        "measures": list(task.measures),
        "embedder": embedder.name,
        "fingerprint": embedder.fingerprint,
        "ocr": reads,
        "coarse": "given" if task.given_order else _coarse_named(settings.coarse),
        "policy": "none" if policy is None else policy.name,
        "policy_fingerprint": getattr(policy, "fingerprint", None),
        "planner": settings.planner,
        "tools": [tool.name for tool in toolbox_for(policy, settings.toolbox).tools],
        "max_tool_turns": turns_for(policy, settings.max_tool_turns),
        "window_pixels": _wire(policy, settings, task).window_pixels,
        "budget": None if settings.budget is None else written(Budget.parse(settings.budget)),
        "prices": None if settings.prices is None else written(Prices.parse(settings.prices)),
        "second_look": settings.second_look,
        "fusion": settings.fusion,
        "gate": settings.gate,
        "calibration": _calibration_named(settings.calibration),
        "k": settings.k,
        "degrade": settings.degrade,
        "degrade_on": settings.degrade_on if settings.degrade else None,
        "shuffles": settings.shuffles,
        "limit": settings.limit,
        "shard": settings.shard,
        "seed": settings.seed,
        "batch": settings.batch,
        **({} if writer is None else _answering(writer, settings)),
        "version": __version__,
        "format": FORMAT,
    }
    config["hash"] = hashed(config)
    config["card"] = asdict(task.card)
    config["versions"] = {name: _version(name) for name in ("numpy", "pillow", "onnxruntime", "lancedb")}
    return config


# -- what a run is made of --------------------------------------------------------------------------------------


def _present(task: Task, place: Path, allow_missing: bool) -> Task:
    """The task, once it is known which of its pictures are there."""
    missing = missing_pictures(task)
    if not missing:
        return task
    names = place / "missing.txt"
    write_text(names, "".join(f"{name}\n" for name in missing))
    found = f"{len(missing)} pictures of {task.name} are missing, such as {', '.join(missing[:3])}; all are in {names}"
    if not allow_missing:
        raise MissingPath(f"{found}; get them, or leave out what needs them with --allow-missing")
    _LOG.warning("%s; what needs them is left out", found)
    kept = without_missing(task, missing)
    return replace(kept, facts={**kept.facts, "missing_pictures": len(missing)})


def _coarse_named(coarse: str) -> str:
    """The first stage as it is recorded: a run by its name and content, wherever it lies.

    Raises:
        MissingPath: there is no such run.
    """
    if not coarse.startswith("run:"):
        return coarse
    path = Path(coarse.removeprefix("run:"))
    if not path.is_file():
        raise MissingPath(f"no such run: {path}; give a TREC run file, such as run:other.trec")
    with path.open("rb") as file:
        return f"run:{path.name}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def _calibration_named(path: str | None) -> str:
    """The calibration as it is recorded: by its content, wherever it lies.

    Raises:
        MissingPath, InvalidInput: it cannot be loaded.
    """
    held = packaged() if path is None else load_calibration(path)
    content = json.dumps(held.to_record(), sort_keys=True)
    return f"{'packaged' if path is None else Path(path).name}@{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _stage(task: Task, settings: Settings, model: Embedder, *, reads: bool, cache: Path, progress: bool) -> FirstStage:
    if task.given_order:
        return Ordered.given(task)
    if settings.coarse == "bm25":
        return Worded(task.pool)
    if settings.coarse.startswith("run:"):
        return Ordered.run(Path(settings.coarse.removeprefix("run:")), task, settings.k)
    whole = settings.coarse == "hybrid"
    folder, skipped = pool_index(task, model, cache, reading=reads and whole, progress=progress)
    if skipped:
        first = ": ".join(skipped[0])
        _LOG.warning("%d documents cannot be indexed and will not be found; %s", len(skipped), first)
    index = load_index(folder)
    if not whole:
        asked = [task.topics[at] for batch in settings.chosen(len(task.topics)) for at in batch]
        return Nearest(index, model, asked, settings.k)
    return Indexed(Retriever(index, model, reader_of(cache) if reads else None))


def _policy(given: str | Policy | None, model: Embedder, reads: bool, cache: Path) -> Policy | None:
    """The agent; the embedded one shares the run's embedder where it can, and remembers what it has read."""
    if given is None or given == "none":
        return None
    if given != "evidence":
        return load_policy(given)
    from vretrver.embedders.lite import LiteEmbedder
    from vretrver.policies.evidence import EvidencePolicy

    sees = model if isinstance(model, LiteEmbedder) else None
    return EvidencePolicy.load(embedder=sees, reader=reader_of(cache) if reads else None, ocr=None if reads else False)


def _writer(given: str | Policy, task: Task, settings: Settings) -> Writer:
    """Who answers, in as few words as the benchmarks' marks ask for.

    Raises:
        InvalidInput: the task asks no questions, or the policy does not write.
    """
    if not any(topic.expected for topic in task.topics):
        raise InvalidInput(f"{task.name} asks no questions, so there is nothing to answer; leave answers out")
    policy = load_policy(names_a_writer(given) if isinstance(given, str) else given)
    prices = None if settings.prices is None else Prices.parse(settings.prices)
    return Writer(policy, source_tokens=settings.source_tokens, prices=prices, brief=True)


def _questions(writer: Writer, journal: Journal, settings: Settings) -> Questions:
    """The writer behind the journal."""
    recorded = RecordedPolicy(writer.policy, journal, journal.records, role="answer")
    behind = Writer(recorded, source_tokens=settings.source_tokens, wire=writer.wire, prices=writer.prices, brief=True)
    return Questions(behind, recorded, settings.sources)


def _answering(writer: Writer, settings: Settings) -> dict[str, Any]:
    """What of the answering decides the result."""
    prompt = system_prompt(writer.wire.boxes, writer.brief)
    return {
        "answers": writer.policy.name,
        "answers_fingerprint": getattr(writer.policy, "fingerprint", None),
        "answer_prompt": hashlib.sha256(prompt.encode()).hexdigest()[:12],
        "sources": settings.sources,
        "source_tokens": settings.source_tokens,
    }


def _reranker(policy: Policy, settings: Settings, task: Task) -> Reranker:
    return Reranker(
        policy,
        planner=load_planner(settings.planner),
        toolbox=toolbox_for(policy, settings.toolbox),
        max_tool_turns=turns_for(policy, settings.max_tool_turns),
        wire=_wire(policy, settings, task),
        budget=None if settings.budget is None else Budget.parse(settings.budget),
        prices=None if settings.prices is None else Prices.parse(settings.prices),
        second_look=settings.second_look,
        fusion=settings.fusion,
        gate=settings.gate,
        calibration=None if settings.calibration is None else load_calibration(settings.calibration),
    )


def _wire(policy: Policy | None, settings: Settings, task: Task) -> Wire:
    """The policy's dialect, its window pictures at the size that the run or else the task asks for."""
    wire: Wire = getattr(policy, "wire", None) or Wire()
    if settings.window_tokens is not None:
        return wire.showing(settings.window_tokens)
    return wire if task.window_pixels is None else replace(wire, window_pixels=task.window_pixels)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

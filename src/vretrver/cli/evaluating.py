"""The commands of a person who measures: eval, merge, report, compare, calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.cli.printing import print_json, printable
from vretrver.errors import MissingPath

if TYPE_CHECKING:
    from argparse import Namespace

ABLATION = "ablation"
"""`report ablation DIR` is the page of an ablation; a run folder of that name is ./ablation."""


def evaluate(options: Namespace) -> int:
    from vretrver.datasets import load_task, only_topics
    from vretrver.evaluation.evaluate import evaluate as run
    from vretrver.evaluation.pools import cache_folder
    from vretrver.evaluation.settings import Settings

    settings = Settings(
        coarse=options.coarse,
        k=options.top_k,
        planner=options.planner,
        tools=options.tools,
        max_tool_turns=options.max_tool_turns,
        window_tokens=options.window_tokens,
        budget=options.budget,
        prices=options.prices,
        second_look=options.second_look,
        fusion=options.fusion,
        gate=options.gate,
        calibration=options.calibration,
        ocr=options.ocr,
        degrade=options.degrade,
        degrade_on=options.degrade_on,
        shuffles=options.shuffles,
        limit=options.limit,
        shard=options.shard,
        seed=0 if options.seed is None or options.dataset == "world" else options.seed,
        batch=options.batch,
        sources=options.sources,
        source_tokens=options.source_tokens,
    )
    given = {name: getattr(options, name) for name in ("pool", "instructions", "size", "distractors")}
    if options.dataset == "world":
        given["seed"] = options.seed
    if options.group:
        given["groups"] = options.group
    work = cache_folder(options.cache) / "datasets" / options.dataset
    task = load_task(options.dataset, options.root, task=options.task, split=options.split, work=work, **given)
    if options.topics:
        task = only_topics(task, _ids(options.topics))
    metrics = run(
        task,
        options.output,
        settings,
        embedder=options.embedder,
        policy=options.policy,
        answers=options.answers,
        cache=options.cache,
        allow_missing=options.allow_missing,
    )
    return _show(metrics, options)


def calibrate(options: Namespace) -> int:
    from vretrver.evaluation.calibrating import calibrate as fitted
    from vretrver.evaluation.folder import write_json

    made, report = fitted(options.run)
    write_json(Path(options.output), made.to_record())
    if options.json:
        print_json(report.to_json())
    else:
        print(report.summary())
        print(f"use it with --calibration {printable(options.output)}")
    return 0


def merge(options: Namespace) -> int:
    from vretrver.evaluation.folder import merge as join

    return _show(join(options.shards, options.output), options)


def report(options: Namespace) -> int:
    from vretrver.report import write_ablation, write_report

    if options.runs[0] == ABLATION and len(options.runs) == 2:
        cases = 6 if options.traces is None else options.traces
        print(write_ablation(options.runs[1], options.output, cases=cases, pictures=not options.no_pictures))
        return 0
    runs, traces = [Path(run) for run in options.runs], 50 if options.traces is None else options.traces
    print(write_report(runs, options.output, traces=traces, pictures=not options.no_pictures))
    return 0


def compare(options: Namespace) -> int:
    from vretrver.report import compare as compared

    comparison = compared(options.a, options.b)
    if options.json:
        print_json(comparison.to_json())
    else:
        print(comparison.summary())
    return 0


def _ids(path: str) -> list[str]:
    if not Path(path).is_file():
        raise MissingPath(f"no such file of topic ids: {path}")
    return Path(path).read_text(encoding="utf-8").split()


def _show(metrics: dict[str, Any], options: Namespace) -> int:
    from vretrver.report import overview, read_run

    if options.json:
        print_json(metrics)
        return 0
    print(overview([read_run(options.output)]))
    if metrics["judged"]:
        _print_measures(metrics)
    if "answers" in metrics:
        _print_answers(metrics["answers"])
    for topic, why in metrics["errors"][:3]:
        print(f"not asked: {printable(topic)}: {printable(why)}")
    print(f"\nEverything is in {options.output}; as a page: vretrver report {options.output} -o report.html")
    return 0


def _print_answers(answers: dict[str, Any]) -> None:
    print(f"\n{answers['n']:,} questions, answered {_share(answers['answered'])}, citing {_share(answers['cited'])}")
    for name, meaning in (
        ("accuracy", ""),
        ("grounded", "   (right, and a source it cites contains an answer)"),
        ("borne_out", "   (a source it cites contains an answer)"),
    ):
        ends = answers["interval"].get(name)
        within = f"   95 % interval {ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
        print(f"{name:<10} {_share(answers[name]):>7}{within}{meaning}")
    for name, value in answers["combined"].items():
        print(f"{name:<13} {_share(value):>4}")


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


def _print_measures(metrics: dict[str, Any]) -> None:
    looked = metrics["config"]["policy"] != "none"
    print(f"\n{'':<10} {'before':>7} {'after':>7}   95 % interval of the difference" if looked else "")
    for name in dict.fromkeys([metrics["headline"], "hit@1", "hit@5", "hit@10"]):
        row = f"{name:<10} {metrics['coarse'][name]:>7.3f}"
        ends = metrics["interval"]["difference"].get(name)
        if looked:
            row += f" {metrics['reranked'][name]:>7.3f}" + (f"   {ends[0]:+.3f} to {ends[1]:+.3f}" if ends else "")
        print(row)
    print(f"{'ceiling':<10} {metrics['ceiling']:>7.3f}   (an answer is among the {metrics['k']} candidates)")

"""Run folders made on the spot: painted pictures, the real reranker with a scripted agent, and numbers for the head.

A plan says what becomes of each query: W won, L lost, R right before and after, X wrong before and after, M the answer
is not among the candidates, E the query could not be asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from vretrver.evaluation.outcome import Outcome, spending
from vretrver.evaluation.statistics import calibration, interval, paired_interval, sign_p
from vretrver.messages import Completion, Conversation, ToolCall
from vretrver.metrics import measure
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer, render_tool_call
from vretrver.reranker import Reranker
from vretrver.trace import Ranking
from vretrver.types import Candidate, Document, ImageRef, Query

MEASURES = ("hit@1", "hit@5", "hit@10", "recall@5", "map@5", "ndcg@10", "mrr@10", "recall@50")
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b9770e", "#6c3483", "#444444")
K = 5
HEADLINE = "mrr@10"
WORDS = "a red kite"


def make_run(
    folder: Path,
    plan: str = "WWRRRXLM",
    *,
    words: str = WORDS,
    config: dict[str, Any] | None = None,
    groups: Sequence[str] = ("",),
    pictures: bool = True,
    shuffles: int = 0,
    name: str = "doc",
) -> Path:
    """Write a run folder; returns it. `words` and `name` go into every caption, query and id."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_paint(folder.parent / f"{folder.name}-pictures" / f"{i}.png", i) for i in range(K)] if pictures else []
    outcomes, lines = [], []
    for at, fate in enumerate(plan):
        outcome, ranking = _ask(at, fate, words, name, paths, groups[at % len(groups)], shuffles)
        outcomes.append(outcome)
        if ranking is not None:
            lines.append(ranking.to_record() | {"pictures": {}, "originals": {}, "topic": outcome.topic})
    settings = _config(config or {}, shuffles)
    _write(folder / "config.json", settings)
    _write(folder / "metrics.json", _metrics(outcomes, settings, shuffles))
    _write(folder / "timing.json", {"seconds": {"total": 2.0, "mean": 0.25, "p50": 0.2, "p95": 0.5}, "machine": {}})
    _write_lines(folder / "outcomes.jsonl", [outcome.to_record() for outcome in outcomes])
    _write_lines(folder / "traces.jsonl", lines)
    return folder


def _ask(
    at: int, fate: str, words: str, name: str, paths: Sequence[str], group: str, shuffles: int
) -> tuple[Outcome, Ranking | None]:
    ids = tuple(f"{name}-{i}" for i in range(K))
    topic = f"q-{at}" if words == WORDS else f"q-{at} {words}"
    relevant = {"WX": ids[1], "LR": ids[0], "M": "elsewhere", "E": ids[0]}
    right = {next(given for fates, given in relevant.items() if fate in fates): 1}
    query = Query(f"{words} {at}", (ImageRef(path=paths[at % K]),) if paths and at % 2 else ())
    outcome = Outcome(
        topic, group, query.modality, query.text, tuple(image.label for image in query.images), right, (), (), (), ()
    )
    if fate == "E":
        return replace(outcome, error=f"gone: {words}"), None
    documents = [
        Document(one, f"{words}, picture {i}", ImageRef(path=paths[i]) if paths else None) for i, one in enumerate(ids)
    ]
    candidates = [Candidate(document, 1 - i / 10, i + 1) for i, document in enumerate(documents)]
    ranking = Reranker(ScriptedPolicy(_agent(fate, at))).rerank(query, candidates)
    trace = ranking.traces[0]
    shuffled = tuple(ranking.ids[i:] + ranking.ids[:i] if i == 1 and at == 0 else ranking.ids for i in range(shuffles))
    return replace(
        outcome,
        coarse=ids,
        scores=tuple(one.score for one in candidates),
        order=ranking.ids,
        confidence=tuple(result.confidence for result in ranking.results),
        no_match=ranking.no_match,
        usage=replace(ranking.usage, seconds=0.0),
        tools=tuple(turn.call.name for turn in trace.turns if turn.call),
        repairs=len(ranking.repairs),
        stops=(trace.stop.value,),
        shuffled=shuffled,
        seconds=0.25,
        policy_seconds=0.1,
    ), ranking


def _agent(fate: str, at: int) -> Any:
    """Looks at the second picture where there is one, then swaps the first two or not."""
    order = (1, 0, *range(2, K)) if fate in "WL" else tuple(range(K))

    def say(conversation: Conversation) -> Completion:
        shown = any(message.views for message in conversation.messages)
        if len(conversation.messages) == 2 and shown and fate != "R":
            call = ToolCall("crop_image", {"target_image": 2, "bbox_2d": [0.2, 0.2, 0.7, 0.7]})
            return Completion(render_tool_call(call, "The second might be it; a closer look."))
        sure = 0.55 + 0.1 * (at % 5)
        relevance = tuple(sure if i == order[0] else 0.1 for i in range(K))
        return Completion(render_answer(order, "That settles it."), relevance=relevance)

    return say


def _config(given: dict[str, Any], shuffles: int) -> dict[str, Any]:
    return {
        "task": "mbeir/cirr_task7", "split": "test", "data": "d" * 64, "facts": {"pool": "local"}, "n_pool": 21551,
        "embedder": "lite", "fingerprint": "lite-1", "ocr": False, "coarse": "hybrid", "policy": "evidence",
        "policy_fingerprint": "e-1", "planner": "sliding", "tools": ["select_images", "crop_image"],
        "max_tool_turns": 2, "window_pixels": None, "k": K, "degrade": None, "degrade_on": None, "shuffles": shuffles,
        "limit": None, "shard": None, "seed": 0, "version": "0", "hash": "h",
    } | given  # fmt: skip


def _metrics(outcomes: list[Outcome], config: dict[str, Any], shuffles: int) -> dict[str, Any]:
    asked = [outcome for outcome in outcomes if outcome.error is None]
    topics = {change: [one.topic for one in asked if one.change == change] for change in ("won", "tied", "lost")}
    groups = {
        group: [one for one in asked if one.group == group] for group in dict.fromkeys(one.group for one in asked)
    }
    right = [one.first_after == 1 for one in asked]
    return {
        "task": config["task"],
        "split": config["split"],
        "title": "CIRR",
        "n": len(outcomes),
        "k": K,
        "headline": HEADLINE,
        "coarse": _means(asked, "coarse"),
        "reranked": _means(asked, "order"),
        "ceiling": sum(one.first_before > 0 for one in asked) / len(asked),
        "wins": len(topics["won"]),
        "ties": len(topics["tied"]),
        "losses": len(topics["lost"]),
        "sign_p": sign_p(len(topics["won"]), len(topics["lost"])),
        "won": topics["won"],
        "lost": topics["lost"],
        "interval": {"level": 0.95, "resamples": 1000, "seed": 0} | _intervals(asked),
        "groups": {name: _group(part) for name, part in groups.items()} if len(groups) > 1 else {},
        "calibration": calibration([one.confidence[0] for one in asked], right),
        "looking": _looking(asked),
        "stability": {"shuffles": shuffles, "kendall_tau": 0.97, "top1": 0.875, "hit@1": [0.5, 0.625]}
        if shuffles
        else None,
        "usage": spending(asked),
        "errors": [[one.topic, one.error] for one in outcomes if one.error],
        "judged": True,
        "config": config,
    }


def _looking(asked: list[Outcome]) -> dict[str, Any]:
    tools = [tool for one in asked for tool in one.tools]
    by_calls = {
        calls: [one for one in asked if one.usage.tool_calls == calls]
        for calls in sorted({one.usage.tool_calls for one in asked})
    }
    return {
        "looked": sum(one.usage.tool_calls > 0 for one in asked) / len(asked),
        "by_calls": {
            str(calls): {
                "n": len(part),
                "hit@1 before": sum(one.first_before == 1 for one in part) / len(part),
                "hit@1 after": sum(one.first_after == 1 for one in part) / len(part),
            }
            for calls, part in by_calls.items()
        },
        "tools": {tool: tools.count(tool) for tool in dict.fromkeys(tools)},
        "repairs": 0,
        "stops": {"answered": len(asked)},
    }


def _means(part: list[Outcome], order: str) -> dict[str, float]:
    return {name: sum(_values(part, order, name)) / len(part) for name in MEASURES}


def _values(part: list[Outcome], order: str, name: str) -> list[float]:
    return [measure(name, getattr(one, order), one.relevant) for one in part]


def _group(part: list[Outcome]) -> dict[str, Any]:
    return {"n": len(part), "coarse": _means(part, "coarse"), "reranked": _means(part, "order")}


def _intervals(part: list[Outcome]) -> dict[str, Any]:
    found: dict[str, Any] = {"coarse": {}, "reranked": {}, "difference": {}}
    for name in ("hit@1", "hit@5", HEADLINE):
        before, after = _values(part, "coarse", name), _values(part, "order", name)
        found["coarse"][name] = list(interval(before, 1000))
        found["reranked"][name] = list(interval(after, 1000))
        found["difference"][name] = list(paired_interval(before, after, 1000))
    return found


def _paint(path: Path, number: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (320, 240), "#f4efe6")
    drawing = ImageDraw.Draw(picture)
    drawing.ellipse((90, 50, 230, 190), fill=COLOURS[number % len(COLOURS)])
    drawing.rectangle((140, 100, 150 + 8 * number, 130), fill="white")
    picture.save(path)
    return str(path)


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record))


def _write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))

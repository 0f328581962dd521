"""Robustness: what happens to a task as its pictures get worse, and at which stage answers are lost.

A curve needs runs of one task that differ in `degrade` alone; one operation a run. The undegraded run is every curve's
first point.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vretrver.report.chart import Point, Series, legend, plot
from vretrver.report.comparison import changed_settings
from vretrver.report.markup import Child, Html, h
from vretrver.report.run_folder import RunFolder, number
from vretrver.report.tables import table
from vretrver.report.words import amount, value

FALLING = frozenset({"jpeg", "lowres"})  # quality and side: the lower, the worse the picture
CLEAN = {"jpeg": math.inf, "lowres": math.inf, "brightness": 1.0, "contrast": 1.0}  # 0 for the others
NAMES = {
    "blur": "blur, px at 512",
    "noise": "noise, share of full scale",
    "jpeg": "JPEG quality",
    "occlude": "share covered",
    "lowres": "longer side, px",
}
_FREE = ("degrade", "degrade_on", "shuffles", "hash", "versions")  # what leaves the clean order as it is
_FATES = ("First when clean", "Still first", "Ranked lower", "Not found", "Of these “no match”")
_TITLES = {"jpeg": "JPEG compression", "lowres": "Low resolution", "occlude": "Occlusion"}
WHERE = {"queries": "query pictures", "pool": "pool pictures", "both": "all pictures"}


@dataclass(frozen=True)
class Curve:
    """Runs alike but for the strength of one operation. `points` holds (strength, run), the clean run first."""

    operation: str
    on: str
    points: tuple[tuple[float, RunFolder], ...]

    @property
    def clean(self) -> RunFolder:
        return self.points[0][1]

    @property
    def worst(self) -> tuple[float, RunFolder]:
        headline = self.clean.headline
        return min(self.points[1:], key=lambda point: point[1].value("reranked", headline) or 0.0)


def curves(runs: Sequence[RunFolder]) -> list[Curve]:
    """The curves that some runs of one task make up; none when nothing was degraded."""
    found: list[Curve] = []
    for alike in _alike(runs):
        clean = next((run for run in alike if not run.config.get("degrade")), None)
        parts: dict[tuple[str, str], dict[float, RunFolder]] = {}
        for run in alike:
            if parsed := _single(run.config.get("degrade")):
                operation, strength = parsed
                parts.setdefault((operation, str(run.config.get("degrade_on") or "")), {})[strength] = run
        for (operation, on), by_strength in parts.items() if clean else ():
            worse = sorted(by_strength.items(), key=lambda item: item[0], reverse=operation in FALLING)
            assert clean is not None
            found.append(Curve(operation, on, ((CLEAN.get(operation, 0.0), clean), *worse)))
    return found


def robustness(found: Sequence[Curve], names: Mapping[RunFolder, str]) -> list[Html]:
    """A chart and a table for each task and operation, over all policies that were run under it."""
    together: dict[tuple[str, str, str], list[Curve]] = {}
    for curve in found:
        together.setdefault((curve.clean.task, curve.operation, curve.on), []).append(curve)
    return [_operation(operation, on, given, names) for (_task, operation, on), given in together.items()]


def failures(clean: RunFolder, worse: RunFolder) -> dict[str, int]:
    """Of the queries answered right on clean pictures, what became of them.

    Returns:
        right: how many were right when clean; kept: still right; ranked_lower: the answer was among the candidates and
        did not come first; not_found: the first stage did not find it; said_no_match: of those gone wrong, how many
        the run marked as matching nothing.
    """
    counts = {"right": 0, "kept": 0, "ranked_lower": 0, "not_found": 0, "said_no_match": 0}
    for topic, before in clean.by_topic.items():
        after = worse.by_topic.get(topic)
        if after is None or before.first_after != 1:
            continue
        counts["right"] += 1
        gone = "kept" if after.first_after == 1 else "ranked_lower" if after.first_after else "not_found"
        counts[gone] += 1
        counts["said_no_match"] += gone != "kept" and after.no_match
    return counts


def _operation(operation: str, on: str, given: Sequence[Curve], names: Mapping[RunFolder, str]) -> Html:
    headline, task = given[0].clean.headline, given[0].clean.task
    title = f"{_TITLES.get(operation, operation.capitalize())} on {WHERE.get(on, 'pictures')}, {task}"
    strengths = sorted({at for curve in given for at, _run in curve.points}, reverse=operation in FALLING)
    series = _series(given, strengths, headline)
    seen = [end for one in series for point in one.points for end in (point.y, *(point.ends or ()))]
    fifths = min(5, int(max(seen, default=1.0) * 5) + 1)  # of 100 %, so that the ticks are round
    chart = plot(
        series,
        label=f"{headline} as {operation} gets stronger",
        x_range=(-0.25, len(strengths) - 0.75),
        y_range=(0.0, fifths / 5),
        x_ticks=[(float(at), _strength(operation, one)) for at, one in enumerate(strengths)],
        y_ticks=[(part / 5, f"{20 * part} %") for part in range(fifths + 1)],
        x_title=NAMES.get(operation, operation),
        y_title=headline,
    )
    rows = [_row(curve, at, run, names) for curve in given for at, run in curve.points]
    numbers = table(title, ["Run", operation, f"{headline} before", f"{headline} after", *_FATES], rows)
    words = [_in_words(curve, names) for curve in given]
    beside = h("div", {"class": "beside"}, h("div", {}, chart), h("div", {}, legend(series), words))
    return h("div", {"class": "figure"}, h("h3", {}, title), beside, numbers)


def _series(given: Sequence[Curve], strengths: Sequence[float], headline: str) -> list[Series]:
    """One line a policy, and one a first stage, which policies may share."""
    lines: dict[str, tuple[Point, ...]] = {}
    for stage in ("coarse", "reranked"):
        for curve in given:
            looked = stage == "reranked" and curve.clean.config.get("policy") not in (None, "none")
            points = tuple(_points(curve, strengths, stage, headline))
            if points and (looked or points not in lines.values()):
                name = _line_name(curve.clean, stage)
                lines[name if name not in lines else f"{name}, {curve.clean.name}"] = points
    return [Series(name, points) for name, points in lines.items()]


def _points(curve: Curve, strengths: Sequence[float], stage: str, headline: str) -> Iterator[Point]:
    for at, run in sorted(curve.points, key=lambda point: strengths.index(point[0])):
        if (y := run.value(stage, headline)) is not None:
            said = f"{run.config.get('degrade') or 'clean'}: {value(y)}"
            yield Point(float(strengths.index(at)), y, said, run.interval(stage, headline))


def _strength(operation: str, strength: float) -> str:
    return "clean" if strength == CLEAN.get(operation, 0.0) else amount(strength)


def _line_name(run: RunFolder, stage: str) -> str:
    who, when = ("embedder", "first stage") if stage == "coarse" else ("policy", "reranked")
    return f"{run.config.get(who)}, {when}"


def _row(curve: Curve, at: float, run: RunFolder, names: Mapping[RunFolder, str]) -> list[Child]:
    measured = [value(run.value(stage, run.headline)) for stage in ("coarse", "reranked")]
    fates = [f"{count:,}" for count in failures(curve.clean, run).values()]
    return [names[run], _strength(curve.operation, at), *measured, *fates]


def _in_words(curve: Curve, names: Mapping[RunFolder, str]) -> Html:
    strength, worst = curve.worst
    counts = failures(curve.clean, worst)
    gone = counts["right"] - counts["kept"]
    said = (
        f"{names[worst]}: at {curve.operation} {amount(strength)} it keeps {counts['kept']:,} of the "
        f"{counts['right']:,} answers that came first on clean pictures."
    )
    if gone:
        said += (
            f" Of the {gone:,} gone, {counts['not_found']:,} were lost by the first stage, which no longer finds the "
            f"answer, and {counts['ranked_lower']:,} in ranking, with the answer among the candidates. It said that "
            f"nothing matches for {counts['said_no_match']:,} of them."
        )
    return h("p", {}, said)


def _alike(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs by everything in their configuration but the degradation."""
    parts: dict[str, list[RunFolder]] = {}
    for run in runs:
        if run.judged:
            key = {name: given for name, given in run.config.items() if name not in _FREE}
            parts.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    return [part for part in parts.values() if "degrade" in changed_settings([run.config for run in part])]


def _single(spec: object) -> tuple[str, float] | None:
    """`blur=2` -> ("blur", 2.0); None for no operation, and for several at once, which have no one strength."""
    steps = [step for step in str(spec or "").split(",") if step and not step.startswith("seed=")]
    if len(steps) != 1:
        return None
    name, _, strength = steps[0].partition("=")
    try:
        parsed = number(float(strength))
    except ValueError:
        return None
    return None if parsed is None else (name.strip(), parsed)

"""How training went, as pictures: reward terms, looking, length, entropy and wasted groups over the steps of stage III.

Reads `training/train_log.jsonl` of a checkpoint (`training.curves`), one object a line: `step` and figures. Long runs
are drawn as means over as many equal stretches of steps as a chart has room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vretrver.errors import RecordError
from vretrver.report.chart import MARKERS, Point, Series, legend, plot
from vretrver.report.markup import Child, Html, h
from vretrver.report.run_folder import number
from vretrver.report.tables import table
from vretrver.report.words import DASH, amount
from vretrver.training.curves import LOG, read_log

PLACE = "training"
POINTS = 40
TERM = "reward/"
FIGURES = {
    "reward": "Reward",
    "hit@1": "hit@1 of rollouts",
    "tool_rate": "Share of rollouts that look",
    "calls": "Calls an episode",
    "redundant_calls": "Redundant calls an episode",
    "length": "Tokens written an episode",
    "entropy": "Entropy, nats a token",
    "zero_variance": "Groups without a difference",
    "format_valid": "Share in form",
    "clip_share": "Tokens that were clipped",
    "grad_norm": "Gradient norm",
}
"""What is drawn, in this order; a figure that no log holds is left out."""
SHARES = {"hit@1", "tool_rate", "zero_variance", "format_valid", "clip_share"}


@dataclass(frozen=True, slots=True)
class Log:
    """One training's log.

    Args:
        name: of the row that it made. records: `step` and figures, steps rising.
    """

    name: str
    records: tuple[Mapping[str, Any], ...]

    def figure(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of a figure; what is no finite number is passed over."""
        found = ((record["step"], number(record.get(name))) for record in self.records)
        return [(step, value) for step, value in found if value is not None]

    @property
    def terms(self) -> list[str]:
        names = (name for record in self.records for name in record if name.startswith(TERM))
        return list(dict.fromkeys(names))


def read_logs(folders: Mapping[str, Path]) -> list[Log]:
    """The logs of checkpoints that were trained by rewards, by name; others have none and are not in it.

    Raises:
        RecordError: a log does not parse; names it.
    """
    logs = []
    for name, folder in folders.items():
        place = folder / PLACE
        if not (place / LOG).is_file():
            continue
        records = read_log(place)
        for record in records:
            if not isinstance(record.get("step"), int) or isinstance(record["step"], bool):
                raise RecordError(f"{place / LOG}: a line has no step; it is not a training's log")
        if any("reward" in record for record in records):
            logs.append(Log(name, tuple(sorted(records, key=lambda one: int(one["step"])))))
    return logs


def dynamics(logs: Sequence[Log]) -> Html | None:
    """Panels with a line a training, a panel of terms for each, and how each figure began and ended."""
    if not logs:
        return None
    together = [drawn for name, title in FIGURES.items() if (drawn := _panel(title, name, logs)) is not None]
    terms = [drawn for log in logs if (drawn := _terms(log)) is not None]
    names = [Series(log.name, ()) for log in logs]
    said = "A point is a mean over a stretch of steps. In the paper tool calls and length fall and then settle."
    several = len(logs) > 1
    return h("div", {}, h("p", {"class": "lead"}, said), legend(names) if several else None,
        h("div", {"class": "figures apart" if several else "figures"}, together),
        [h("h3", {}, "Terms of the reward, as weighted into it"), h("div", {"class": "figures apart"}, terms)]
        if terms else None,
        h("h3", {}, "From the first fifth of the steps to the last"), _ends(logs))  # fmt: skip


def _panel(title: str, name: str, logs: Sequence[Log]) -> Html | None:
    series = [Series(log.name, _points(log.figure(name))) for log in logs[:MARKERS]]
    if not any(one.points for one in series):
        return None
    return h("div", {"class": "figure"}, h("h4", {}, title), _chart(series, title, share=name in SHARES))


def _terms(log: Log) -> Html | None:
    series = [Series(name.removeprefix(TERM), _points(log.figure(name))) for name in log.terms[:MARKERS]]
    series = [one for one in series if one.points]
    if not series:
        return None
    return h("div", {"class": "figure"}, h("h4", {}, log.name), _chart(series, f"Terms of the reward: {log.name}"),
        legend(series))  # fmt: skip


def _chart(series: Sequence[Series], title: str, *, share: bool = False) -> Html:
    points = [point for one in series for point in one.points]
    steps = [point.x for point in points]
    low, high = min(point.y for point in points), max(point.y for point in points)
    ends = (0.0, 1.0) if share else _round_ends(low, high)
    ticks = [ends[0] + part * (ends[1] - ends[0]) / 4 for part in range(5)]
    return plot(
        series,
        label=title,
        x_range=(min(steps), max(steps)),
        y_range=ends,
        x_ticks=[(at, f"{at:.0f}") for at in dict.fromkeys((min(steps), (min(steps) + max(steps)) // 2, max(steps)))],
        y_ticks=[(at, f"{100 * at:.0f} %" if share else _tick(at)) for at in ticks],
        x_title="step",
        y_title="",
    )


def _round_ends(low: float, high: float) -> tuple[float, float]:
    """Ends that hold both, zero where it is near, and quarters that can be read."""
    low, high = (min(low, 0.0), high) if low >= 0 and low < 0.6 * high else (low, high)
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** (len(f"{int(span)}") - 1 if span >= 1 else -next(n for n in range(1, 16) if span * 10**n >= 1))
    step = next(unit * k / 4 for k in (1, 2, 4, 8, 20, 40, 80) if unit * k >= span)
    begin = step * int(low // step)
    while begin + 4 * step < high - 1e-12:
        step *= 2
        begin = step * int(low // step)
    return begin, begin + 4 * step


def _tick(at: float) -> str:
    return f"{at:,.0f}" if abs(at) >= 100 else f"{at:.3g}"


def _points(values: Sequence[tuple[int, float]]) -> tuple[Point, ...]:
    stretch = max(1, -(-len(values) // POINTS))
    parts = [values[at : at + stretch] for at in range(0, len(values), stretch)]
    found = ((_mean(step for step, _ in part), _mean(value for _, value in part)) for part in parts)
    return tuple(Point(step, value, f"{amount(abs(value)) if value >= 0 else f'-{amount(-value)}'} at step {step:.0f}",
        size=2.2) for step, value in found)  # fmt: skip


def _ends(logs: Sequence[Log]) -> Html:
    head = ["Training", "Steps", *FIGURES.values()]
    rows: list[list[Child]] = []
    for log in logs:
        cells = [_from_to(log.figure(name)) for name in FIGURES]
        rows.append([log.name, f"{log.records[-1]['step']:,}", *cells])
    return table("How figures began and ended", head, rows)


def _from_to(values: Sequence[tuple[int, float]]) -> str:
    if not values:
        return DASH
    part = max(1, len(values) // 5)
    first, last = (_mean(value for _step, value in some) for some in (values[:part], values[-part:]))
    return f"{_figure(first)} → {_figure(last)}"


def _figure(given: float) -> str:
    return f"{given:,.0f}" if abs(given) >= 100 else f"{given:.2f}" if abs(given) >= 0.095 else f"{given:.3f}"


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)

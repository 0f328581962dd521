"""The report's figures with their numbers: calibration, tool use against gain, order stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from vretrver.report.chart import Point, Series, plot, strip
from vretrver.report.markup import Child, Html, h
from vretrver.report.run_folder import RunFolder, mapping, number
from vretrver.report.tables import table
from vretrver.report.words import DASH, amount, difference, percent, value

Bin: TypeAlias = tuple[float, float, float, float, int]
"""low, high, mean confidence, share right, queries"""
_TICKS = [(part / 4, f"{25 * part} %") for part in range(5)]


def calibration(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html | None:
    """A reliability curve a run: does an answer given with 80 % confidence come out right in 80 % of cases?"""
    drawn = [_reliability(run, names[run]) for run in runs]
    kept = [one for one in drawn if one is not None]
    return h("div", {"class": "figures"}, kept) if kept else None


def looking(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html | None:
    """By number of tool calls: how many queries, and the share right before and after; then what was called."""
    told = [run for run in runs if mapping(run.metrics, "looking", "by_calls")]
    rows = [[names[run] if at == 0 else None, *row] for run in told for at, row in enumerate(_calls_rows(run))]
    if not rows:
        return None
    head = ["Run", "Tool calls", "Queries", "hit@1 before", "hit@1 after", "Change, points", "0 to 100 %"]
    gain = table("Tool calls and gain", head, rows, words=(0, 6))
    used = table("What was called", ["Run", "Looked", "Repairs", "Tools", "Windows ended"],
        [_used(run, names[run]) for run in told], words=(0, 3, 4))  # fmt: skip
    return h("div", {}, gain, h("h3", {}, "What was called"), used)


def stability(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html | None:
    """What became of the order when the same candidates were handed over shuffled."""
    rows: list[list[Child]] = []
    for run in runs:
        given = mapping(run.metrics, "stability")
        if not given:
            continue
        rates = given.get("hit@1")
        known = [one for one in map(number, rates if isinstance(rates, list) else []) if one is not None]
        spread = f"{value(min(known))} to {value(max(known))}" if known else DASH
        tau, top = number(given.get("kendall_tau")), number(given.get("top1"))
        rows.append(
            [
                names[run],
                amount(number(given.get("shuffles"))),
                value(tau),
                percent(top),
                value(run.value("reranked", "hit@1")),
                spread,
            ]
        )
    head = ["Run", "Shuffles", "Kendall's τ", "Same first", "hit@1 as found", "hit@1 shuffled"]
    return table("Order stability", head, rows) if rows else None


def _reliability(run: RunFolder, name: str) -> Html | None:
    given = mapping(run.metrics, "calibration")
    listed = given.get("bins")
    bins = [one for one in map(_bin, listed if isinstance(listed, list) else []) if one is not None]
    if not bins:
        return None
    chart = plot(
        [Series(name, _reliability_points(bins))],
        label=f"Reliability of {name}: share right against confidence",
        x_range=(0, 1), y_range=(0, 1), x_ticks=_TICKS, y_ticks=_TICKS,
        x_title="confidence of the first result", y_title="share right", diagonal=True,
    )  # fmt: skip
    rows = [[f"{percent(low, 0)} to {percent(high, 0)}", f"{n:,}", *map(percent, both)] for low, high, *both, n in bins]
    numbers = table(f"Reliability of {name}", ["Confidence", "Queries", "Mean confidence", "Right"], rows)
    said = f"{run.task}. ECE {value(number(given.get('ece')))}; {_leaning(bins)}."
    folded = h("details", {}, h("summary", {}, "The numbers"), numbers)
    return h("div", {"class": "figure"}, h("h3", {}, name), h("p", {"class": "aside"}, said), chart, folded)


def _reliability_points(bins: Sequence[Bin]) -> tuple[Point, ...]:
    """A bin's mark has an area that grows with the number of queries in it."""
    most = max(n for *_rest, n in bins)
    return tuple(
        Point(
            sure,
            right,
            f"confidence {percent(sure, 0)}, right {percent(right, 0)} of {n:,}",
            size=2.5 + 5 * (n / most) ** 0.5,
        )
        for _low, _high, sure, right, n in bins
    )


def _leaning(bins: Sequence[Bin]) -> str:
    total = sum(n for *_rest, n in bins)
    over = sum((sure - right) * n for _low, _high, sure, right, n in bins) / total
    if abs(over) < 0.02:
        return "on average as sure as it is right"
    return f"on average {100 * abs(over):.0f} points {'surer' if over > 0 else 'less sure'} than it is right"


def _bin(given: Any) -> Bin | None:
    known = [number(mapping(given).get(name)) for name in ("low", "high", "confidence", "right", "n")]
    low, high, sure, right, n = known
    if low is None or high is None or sure is None or right is None or n is None or n < 1:
        return None
    return (low, high, sure, right, int(n))


def _calls_rows(run: RunFolder) -> list[list[Child]]:
    by_calls = mapping(run.metrics, "looking", "by_calls")
    return [_calls_row(calls, mapping(by_calls[calls])) for calls in sorted(by_calls, key=lambda one: (len(one), one))]


def _used(run: RunFolder, name: str) -> list[Child]:
    given = mapping(run.metrics, "looking")
    looked, repairs = percent(number(given.get("looked")), 0), amount(number(given.get("repairs")))
    return [name, looked, repairs, _counts(given, "tools"), _counts(given, "stops")]


def _calls_row(calls: str, part: Mapping[str, Any]) -> list[Child]:
    before, after, n = (number(part.get(key)) for key in ("hit@1 before", "hit@1 after", "n"))
    cells: list[Child] = [calls, amount(n), value(before), value(after)]
    if before is None or after is None:
        return [*cells, DASH, None]
    said = f"{calls} tool calls: {percent(before)} right before, {percent(after)} after"
    return [*cells, difference(after - before), strip(before, after, None, (0, 1), said)]


def _counts(given: Mapping[str, Any], key: str) -> str:
    return ", ".join(f"{name} {amount(number(count))}" for name, count in mapping(given, key).items()) or "none"

"""What the ablation was to show, and whether it does: computed from the cells, never stated by hand.

    looking      the full agent beats reinforcement learning on text alone by 10 points, with intervals apart
    economy      policy optimisation lowers redundant calls by 30 % at equal or better hit@1
    untrained    the full agent beats the embedded `evidence` policy on the world, beyond chance
    real         the full agent does not lower hit@1 of the first stage's order on real pictures

The paper's figure for the first is 5.4 points on four M-BEIR tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vretrver.evaluation.statistics import interval
from vretrver.report.ablation_cells import Cell, Measured, against_incoming, pooled, pooled_hits
from vretrver.report.ablation_plan import Plan
from vretrver.report.words import amount, difference, percent, value

POINTS = 0.10
FEWER = 0.30


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Args:
        name: short. asked: what was to be shown. found: what was measured, in words.
        met: None where cells are missing.
    """

    name: str
    asked: str
    found: str
    met: bool | None


def targets(plan: Plan, measured: Measured) -> list[Target]:
    """All targets, over the columns of their kind together; degraded columns decide none."""
    world, real = _wholes(plan, "world"), _wholes(plan, "real")
    return [
        _looking(plan, measured, world),
        _economy(plan, measured, world),
        _untrained(plan, measured, world),
        _real(plan, measured, real),
    ]


def _wholes(plan: Plan, kind: str) -> list[str]:
    """The columns of a kind, without those that are parts of another: no query decides twice."""
    whole = {column.folder for column in plan.columns if not column.groups}
    return [
        column.id for column in plan.columns if column.kind == kind and not (column.groups and column.folder in whole)
    ]


def _looking(plan: Plan, measured: Measured, columns: Sequence[str]) -> Target:
    asked = "Looking: the full agent beats text-only RL by 10 points or more on the small-detail world, intervals apart"
    pairs, gone = _pairs(measured, plan.roles.text, plan.roles.full, columns)
    found = pooled(pairs)
    if found is None:
        return Target("looking", asked, gone, None)
    text, full = (interval(hits) for hits in zip(*pooled_hits(pairs), strict=True))
    apart = text[1] < full[0]
    said = (
        f"{value(found.b)} [{value(full[0])}, {value(full[1])}] against {value(found.a)} [{value(text[0])}, "
        f"{value(text[1])}], {difference(found.mean)} points [{difference(found.ends[0])}, {difference(found.ends[1])}]"
        f" on {found.queries:,} queries; the intervals {'lie apart' if apart else 'overlap'}"
    )
    return Target("looking", asked, said + _partly(gone), found.mean >= POINTS and apart)


def _economy(plan: Plan, measured: Measured, columns: Sequence[str]) -> Target:
    asked = "Economy: policy optimisation makes 30 % fewer redundant calls, at equal or better hit@1"
    pairs, gone = _pairs(measured, plan.roles.before, plan.roles.full, columns)
    found = pooled(pairs)
    before, after = (_redundant([pair[side] for pair in pairs]) for side in (0, 1))
    if found is None or before is None or after is None:
        return Target("economy", asked, gone or "the runs kept no traces", None)
    if not before:
        said = f"there was nothing to lower: {amount(before)} redundant calls a query before, {amount(after)} after"
        return Target("economy", asked, said + _partly(gone), None)
    said = (
        f"{amount(before)} redundant calls a query before, {amount(after)} after ({percent(after / before - 1, 0)}); "
        f"hit@1 {difference(found.mean)} points [{difference(found.ends[0])}, {difference(found.ends[1])}]"
    )
    return Target("economy", asked, said + _partly(gone), after <= (1 - FEWER) * before and found.mean >= 0)


def _untrained(plan: Plan, measured: Measured, columns: Sequence[str]) -> Target:
    asked = "Training: the full agent beats the embedded evidence policy on the small-detail world"
    pairs, gone = _pairs(measured, plan.roles.evidence, plan.roles.full, columns)
    found = pooled(pairs)
    if found is None:
        return Target("untrained", asked, gone, None)
    said = (
        f"{value(found.b)} against {value(found.a)}, {difference(found.mean)} points [{difference(found.ends[0])}, "
        f"{difference(found.ends[1])}] on {found.queries:,} queries"
    )
    return Target("untrained", asked, said + _partly(gone), found.ends[0] > 0)


def _real(plan: Plan, measured: Measured, columns: Sequence[str]) -> Target:
    asked = "No harm: on real pictures the full agent does not lower the first stage's hit@1"
    if not columns:
        return Target("real", asked, "no column of real pictures was run", None)
    told, met, gone = [], [], []
    for name in columns:
        cell = measured.cell(plan.roles.full, name)
        found = None if cell is None else against_incoming(cell)
        if found is None:
            gone.append(name)
            continue
        met.append(found.mean >= 0)
        told.append(
            f"{name}: {value(found.a)} before, {value(found.b)} after, {difference(found.mean)} points "
            f"[{difference(found.ends[0])}, {difference(found.ends[1])}]"
        )
    missing = f"not measured: {', '.join(gone)}" if gone else ""
    return Target("real", asked, "; ".join([*told, *([missing] if missing else [])]), all(met) if met else None)


def _pairs(measured: Measured, a: str, b: str, columns: Sequence[str]) -> tuple[list[tuple[Cell, Cell]], str]:
    """The columns where both rows are there, and what is missing of the others, in words."""
    both = [(measured.cell(a, one), measured.cell(b, one)) for one in columns]
    kept = [(one, other) for one, other in both if one is not None and other is not None]
    gone = [
        f"{row} on {name}"
        for name, cells in zip(columns, both, strict=True)
        for row, cell in zip((a, b), cells, strict=True)
        if cell is None
    ]
    if not columns:
        return kept, "no column of the small-detail world is in the plan"
    return kept, f"not measured: {', '.join(gone)}" if gone else ""


def _partly(gone: str) -> str:
    return f"; {gone}" if gone else ""


def _redundant(cells: Sequence[Cell]) -> float | None:
    """Redundant calls a query over several columns."""
    known = [(cell.redundant, len(cell.topics)) for cell in cells if cell.redundant is not None]
    if not known or len(known) < len(cells):
        return None
    return sum(mean * count for mean, count in known) / sum(count for _mean, count in known)

"""The ablation's tables: rows by columns, each row's way of looking, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence

from vretrver.report import paper
from vretrver.report.ablation_cells import Cell, Measured
from vretrver.report.ablation_cells import difference as paired
from vretrver.report.ablation_chart import Dot, forest
from vretrver.report.ablation_plan import Column, Plan, Row
from vretrver.report.ablation_targets import Target
from vretrver.report.markup import Child, Html, h
from vretrver.report.tables import table
from vretrver.report.words import DASH, amount, difference, percent, value

GONE = "not measured"
_MET = {True: "met", False: "missed", None: "open"}


def parts(plan: Plan) -> dict[str, list[Row]]:
    """Rows by the table that they stand in."""
    found: dict[str, list[Row]] = {}
    for row in plan.rows:
        found.setdefault(row.part, []).append(row)
    return found


def results(plan: Plan, measured: Measured) -> list[Html]:
    """hit@1 of every row on every column, one table a part, the paper's own figure at the end."""
    return [_titled(title, _results(title, rows, plan, measured)) for title, rows in parts(plan).items()]


def _results(title: str, rows: Sequence[Row], plan: Plan, measured: Measured) -> Html:
    published = any(row.paper for row in rows)
    head = ["Row", "How it was made", *(column.label for column in plan.columns)]
    head += ["Paper's own, %"] if published else []
    body = [
        [row.label, row.what, *(_hit(measured.cell(row.id, column.id)) for column in plan.columns)]
        + ([_published(row)] if published else [])
        for row in rows
    ]
    rest: list[Child] = [DASH] if published else []
    body += [[*line, *rest] for line in _lines(plan, measured)]
    return table(title, head, body, words=(0, 1))


def _hit(cell: Cell | None) -> Child:
    if cell is None:
        return h("span", {"class": "gone"}, GONE)
    low, high = cell.ends
    found: list[Child] = [h("b", {}, value(cell.hit)), f" [{value(low)}, {value(high)}]"]
    if len(cell.by_seed) > 1:
        each = ", ".join(value(one) for one in cell.by_seed.values())
        found.append(h("span", {"class": "seeds"}, f"seeds {each}"))
    return found


def _published(row: Row) -> str:
    return DASH if row.published is None else f"{row.published:.1f}"


def _lines(plan: Plan, measured: Measured) -> list[list[Child]]:
    """What rows are held against, and on how many queries."""
    found = [_any(plan, measured, column) for column in plan.columns]
    chance = [DASH if cell is None else value(cell.chance) for cell in found]
    incoming = [DASH if cell is None else value(sum(cell.incoming) / len(cell.incoming)) for cell in found]
    queries = [DASH if cell is None else f"{len(cell.topics):,}" for cell in found]
    return [
        ["Chance", "a random order of the same candidates", *chance],
        ["Incoming order", "what the agent was handed", *incoming],
        ["Queries", "", *queries],
    ]


def _any(plan: Plan, measured: Measured, column: Column) -> Cell | None:
    return next((cell for row in plan.rows if (cell := measured.cell(row.id, column.id))), None)


def looking(plan: Plan, measured: Measured) -> list[Html]:
    """How each row looked, a table a column."""
    head = ["Row", "In form", "Looked", "Calls a query", "Calls answered", "Redundant calls a query", "hit@1"]
    drawn = []
    for column in plan.columns:
        rows = [_looked(row, cell) for row in plan.rows if (cell := measured.cell(row.id, column.id))]
        if rows:
            drawn.append(_titled(column.label, table(f"How rows looked: {column.label}", head, rows)))
    return drawn


def _looked(row: Row, cell: Cell) -> list[Child]:
    return [
        row.label,
        percent(cell.format_valid, 0),
        percent(cell.tool_rate, 0),
        amount(cell.calls),
        percent(cell.tool_valid, 0) if cell.tool_valid is not None else "no calls",
        amount(cell.redundant),
        value(cell.hit),
    ]


def differences(plan: Plan, measured: Measured) -> Html | None:
    """Paired differences of the pairs that matter, a column each; the paper's own beside."""
    head = ["From", "To", *(column.label for column in plan.columns), "Paper's own"]
    rows: list[list[Child]] = []
    for pair in plan.compared:
        a, b = plan.row_of[pair.a], plan.row_of[pair.b]
        cells = [_change(measured.cell(a.id, column.id), measured.cell(b.id, column.id)) for column in plan.columns]
        theirs = None if a.published is None or b.published is None else (b.published - a.published) / 100
        rows.append([a.label, b.label, *cells, difference(theirs)])
    return table("Differences", head, rows, words=(0, 1)) if rows else None


def _change(a: Cell | None, b: Cell | None) -> Child:
    found = None if a is None or b is None else paired(a, b)
    if found is None:
        return h("span", {"class": "gone"}, GONE)
    low, high = found.ends
    way = "rose" if low > 0 else "fell" if high < 0 else "open"
    return [
        h("b", {"class": way}, difference(found.mean)),
        f" [{difference(low)}, {difference(high)}]",
        h("span", {"class": "seeds"}, f"won {found.won:,}, lost {found.lost:,}"),
    ]


def charts(plan: Plan, measured: Measured) -> Html | None:
    """A panel a column."""
    seen = [end for cell in measured.cells.values() for end in (cell.ends[1], cell.chance, *cell.by_seed.values())]
    most = min(1.0, (int(max(seen, default=1.0) * 5 - 1e-9) + 1) / 5)
    drawn = []
    for column in plan.columns:
        cell = _any(plan, measured, column)
        if cell is None:
            continue
        incoming = sum(cell.incoming) / len(cell.incoming)
        lines = [("chance", cell.chance, f"chance: {value(cell.chance)}")]
        lines += [("incoming", incoming, f"the incoming order: {value(incoming)}")]
        dots = [_dot(row, measured.cell(row.id, column.id), row.id == plan.roles.full) for row in plan.rows]
        chart = forest(dots, label=f"hit@1 by row: {column.label}", most=most, lines=lines)
        said = f"{len(cell.topics):,} queries. Dashed: chance {value(cell.chance)}; dotted: the incoming order."
        drawn.append(h("div", {"class": "figure"}, h("h3", {}, column.label), h("p", {"class": "aside"}, said), chart))
    return h("div", {"class": "figures wide"}, drawn) if drawn else None


def _dot(row: Row, cell: Cell | None, strong: bool) -> Dot:
    if cell is None:
        return Dot(row.label, None, None, (), GONE)
    low, high = cell.ends
    note = f"{value(cell.hit)} [{value(low)}, {value(high)}]"
    return Dot(row.label, cell.hit, cell.ends, tuple(cell.by_seed.values()), note, strong)


def verdicts(found: Sequence[Target]) -> Html:
    """The targets, as a list that opens the page."""
    ways = {True: "rose", False: "fell", None: "open"}
    return h("ul", {"class": "opening"}, [
        h("li", {"class": ways[one.met]}, h("p", {"class": "label"}, f"{_MET[one.met]} · {one.asked}"),
            h("p", {}, f"{one.found[:1].upper()}{one.found[1:]}."))
        for one in found
    ])  # fmt: skip


def order(plan: Plan, measured: Measured) -> Html | None:
    """The paper's ablation and ours in the paper's own order of rows."""
    rows = [row for figure in paper.ABLATION for row in plan.rows if row.paper == figure.system]
    if not rows:
        return None
    head = ["Paper's row", "Paper's own, %", "Ours", *(f"{column.label}, %" for column in plan.columns)]
    body: list[list[Child]] = []
    for row in rows:
        cells = [measured.cell(row.id, column.id) for column in plan.columns]
        ours = [DASH if cell is None else f"{100 * cell.hit:.1f}" for cell in cells]
        body.append([row.paper, _published(row), row.label, *ours])
    said = (
        f"{paper.SOURCE}. {paper.ABLATED}: another benchmark, another measure and a model of 7B. "
        "Only the order can be compared, not the height."
    )
    return h("div", {}, h("p", {"class": "lead"}, said), table("The paper's order", head, body, words=(0, 2)))


def absent(plan: Plan, measured: Measured) -> Html | None:
    """What was not measured, and why."""
    if not measured.missing:
        return None
    names = plan.row_of
    labels = {column.id: column.label for column in plan.columns}
    rows: list[list[Child]] = [[names[row].label, labels[column], why] for row, column, why in measured.missing]
    return table("Not measured", ["Row", "Column", "Why"], rows, words=(0, 1, 2))


def _titled(title: str, body: Html) -> Html:
    return h("div", {"class": "part"}, h("h3", {}, title), body)

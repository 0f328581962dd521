"""Queries that training changed: what the agent put first before and after it, and both traces one click away."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vretrver.errors import StorageError
from vretrver.report.ablation_cells import Cell, Measured
from vretrver.report.ablation_plan import Pair, Plan
from vretrver.report.markup import Html, h
from vretrver.report.run_folder import RunFolder
from vretrver.report.thumbnails import Thumbnails
from vretrver.report.trace_page import Traces, read_chosen, write_trace_page
from vretrver.trace import Ranking

TEXT = 320


@dataclass(frozen=True)
class Side:
    """One of the two rows: its label, its run (of its first seed), the traces of the chosen queries, links to them."""

    label: str
    run: RunFolder
    traces: Traces
    links: Mapping[str, str]

    def ranking(self, topic: str) -> Ranking | None:
        return self.traces[topic][1] if topic in self.traces else None


def examples(plan: Plan, measured: Measured, out: Path, most: int, thumbnails: Thumbnails) -> Html | None:
    """For the pairs of roles, on the first column where both were measured: queries won and lost, half of each.

    Args:
        out: the page; trace pages go beside it. most: queries of each pair.
    """
    drawn = []
    for before in (plan.roles.before, plan.roles.text):
        pair = Pair(before, plan.roles.full)
        column = next((one.id for one in plan.columns if _both(measured, pair, one.id) is not None), None)
        if column is not None and (part := _pair(pair, column, plan, measured, (out, most, thumbnails))) is not None:
            drawn.append(part)
    return h("div", {}, drawn) if drawn else None


def _both(measured: Measured, pair: Pair, column: str) -> tuple[Cell, Cell] | None:
    a, b = measured.cell(pair.a, column), measured.cell(pair.b, column)
    return None if a is None or b is None else (a, b)


def _pair(pair: Pair, column: str, plan: Plan, measured: Measured, shown: tuple[Path, int, Thumbnails]) -> Html | None:
    out, most, thumbnails = shown
    cells = _both(measured, pair, column)
    assert cells is not None
    runs = [next(iter(cell.runs.values())) for cell in cells]
    won, lost = _changed(cells, runs)
    chosen = [*won[: max(most - most // 2, most - len(lost))], *lost[: most // 2]][:most]
    if not chosen:
        return None
    sides = [
        _side(plan.row_of[row].label, run, chosen, out, f"{column}-{row}", thumbnails)
        for row, run in zip((pair.a, pair.b), runs, strict=True)
    ]
    label = next(one.label for one in plan.columns if one.id == column)
    title = f"{sides[0].label} → {sides[1].label}, {label}: {len(won):,} won, {len(lost):,} lost"
    cases = [_case(topic, sides, thumbnails) for topic in chosen]
    return h("div", {"class": "part"}, h("h3", {}, title), h("div", {"class": "cases"}, cases))


def _changed(cells: tuple[Cell, Cell], runs: Sequence[RunFolder]) -> tuple[list[str], list[str]]:
    """Queries right after and not before, and the other way round, of the first seed of both."""
    also = set(cells[1].topics)
    common = [topic for topic in cells[0].topics if topic in also]
    right = [[run.by_topic[topic].first_after == 1 for topic in common] for run in runs]
    changed = list(zip(common, *right, strict=True))
    won = [topic for topic, before, after in changed if after and not before]
    return won, [topic for topic, before, after in changed if before and not after]


def _side(  # noqa: PLR0917  # a run, what of it is shown, and where
    label: str, run: RunFolder, chosen: Sequence[str], out: Path, name: str, thumbnails: Thumbnails
) -> Side:
    found = read_chosen(run, set(chosen))
    traces = {topic: found[topic] for topic in chosen if topic in found}
    if not traces:
        return Side(label, run, {}, {})
    beside = out.with_name(out.stem + ".files")
    try:
        beside.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise StorageError(f"cannot make {beside}: {fault.strerror or fault}") from fault
    numbers = write_trace_page(run, traces, beside / f"{name}.html", thumbnails.wanted)
    folder = quote(os.fsencode(beside.name), safe="")
    return Side(label, run, traces, {topic: f"{folder}/{name}.html#{number}" for topic, number in numbers.items()})


def _case(topic: str, sides: Sequence[Side], thumbnails: Thumbnails) -> Html:
    rankings = [side.ranking(topic) for side in sides]
    known = next((one for one in rankings if one), None)
    pictures = [thumbnails.show(ref, "Query picture") for ref in (known.query.images[:1] if known else ())]
    one = sides[0].run.by_topic[topic]
    right = next((name for name, grade in one.relevant.items() if grade > 0), None)
    way = "won" if sides[1].run.by_topic[topic].first_after == 1 else "lost"
    return h("article", {"class": f"case {way}"},
        h("div", {"class": "asking"}, pictures,
            h("div", {}, h("p", {"class": "words"}, _short(one.query) if one.query else "the picture alone"),
                h("p", {"class": "id"}, topic), h("p", {"class": "id"}, one.group))),
        h("div", {"class": "plates"}, [_plate(side, topic, thumbnails) for side in sides],
            h("figure", {"class": "right"}, h("figcaption", {}, "Right answer"),
                _picture(right, known, thumbnails, "Right"))),
    )  # fmt: skip


def _plate(side: Side, topic: str, thumbnails: Thumbnails) -> Html:
    outcome, ranking = side.run.by_topic[topic], side.ranking(topic)
    first = outcome.order[0] if outcome.order else None
    right = outcome.first_after == 1
    calls = ", ".join(f"{tool} × {outcome.tools.count(tool)}" for tool in dict.fromkeys(outcome.tools))
    verdict = h("span", {"class": "verdict-mark"}, "right" if right else "not right")
    link = side.links.get(topic)
    return h("figure", {"class": "right" if right else "wrong"},
        h("figcaption", {}, f"{side.label} puts first", verdict),
        _picture(first, ranking, thumbnails, side.label),
        h("p", {"class": "id"}, f"{calls or 'no tool was used'}; {', '.join(dict.fromkeys(outcome.stops))}"),
        h("p", {"class": "said"}, _short(_last_words(ranking))) if ranking else None,
        h("a", {"class": "button", "href": link}, "See how it looked") if link else None,
    )  # fmt: skip


def _picture(name: str | None, ranking: Ranking | None, thumbnails: Thumbnails, said: str) -> Html:
    documents = {result.document.id: result.document for result in ranking.results} if ranking else {}
    document = documents.get(name or "")
    shown = thumbnails.show(document.image, f"{said}: {name}") if document else None
    if shown is not None:
        return shown
    if document is not None and document.text:
        return h("p", {"class": "caption"}, _short(document.text))
    return h("p", {"class": "missing"}, "no picture")


def _last_words(ranking: Ranking) -> str:
    """What it wrote before its answer in the last window, without tags."""
    turns = [turn for trace in ranking.traces for turn in trace.turns]
    return turns[-1].text.partition("</think>")[0].replace("<think>", "").strip() if turns else ""


def _short(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"

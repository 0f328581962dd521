"""The report's tables: all runs, the paper's figures, runs of one task side by side, groups, cost, data, errors."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from vretrver.errors import VretrverError
from vretrver.report import paper
from vretrver.report.chart import strip
from vretrver.report.comparison import changed_settings, compare
from vretrver.report.markup import Child, Html, h
from vretrver.report.run_folder import RunFolder, mapping, number
from vretrver.report.words import DASH, amount, difference, money, p_value, percent, setting, value

_OF_THE_TASK = (
    "task",
    "split",
    "data",
    "facts",
    "n_pool",
    "limit",
    "shuffles",
    "hash",
    "versions",
    "card",
    "galleries",
)
ERRORS = 100  # errors of a run that are spelled out


def table(label: str, head: Sequence[Child], rows: Iterable[Sequence[Child]], words: Collection[int] = (0,)) -> Html:
    """A table that scrolls sideways by itself where the screen is narrow.

    Args:
        words: which columns, from 0, hold words; the others hold numbers and are set to the right.
    """
    kinds = ["words" if at in words else "n" for at in range(len(head))]
    top = h("tr", {}, [h("th", {"scope": "col", "class": kind}, one) for kind, one in zip(kinds, head, strict=True)])
    body = [_row(row, kinds) for row in rows]
    drawn = h("table", {}, h("thead", {}, top), h("tbody", {}, body))
    return h("div", {"class": "scroll", "role": "region", "aria-label": label, "tabindex": 0}, drawn)


def _row(cells: Sequence[Child], kinds: Sequence[str]) -> Html:
    first = h("th", {"scope": "row", "class": kinds[0]}, cells[0])
    return h("tr", {}, first, [h("td", {"class": kind}, one) for kind, one in zip(kinds[1:], cells[1:], strict=True)])


def all_runs(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html:
    """One row a run: what came of it on the benchmark's own measure, then what was run, and what it took."""
    domain = _domain(runs)
    scale = f"{100 * domain[0]:.0f} to {100 * domain[1]:.0f} %"
    found = ["Before → after", scale, "95 % interval", "Paper, %", "Ceiling", "Won / tied / lost", "p"]
    made = ["Policy", "Embedder", "Queries", "k", "Looked", "Tool calls", "s / query"]
    head = ["Run", "Task", "Measure", *found, *made]
    rows = [_run_row(run, names[run], at, domain) for at, run in enumerate(runs, start=1)]
    return table("All runs", head, rows, words=(0, 1, 2, 4, 10, 11))


def beside_the_paper(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html:
    """The paper's figures with source, and which of these runs stands beside each."""
    figures = [
        [one.system, one.what, one.measure, f"{one.percent:.1f}", _ours(one, runs, names)] for one in paper.FIGURES
    ]
    ablation = [[one.system, f"{one.percent:.1f}"] for one in paper.ABLATION]
    main = table(
        "The paper's main figures", ["System", "On", "Measure", "Paper, %", "These runs, %"], figures, (0, 1, 2, 4)
    )
    return h("div", {}, h("p", {"class": "lead"}, f"Source: {paper.SOURCE}. {paper.SETTING}"), main,
        h("h3", {}, "The paper's ablation"), h("p", {"class": "lead"}, f"{paper.ABLATED}."),
        table("The paper's ablation", ["System", "Paper, %"], ablation))  # fmt: skip


def _ours(figure: paper.Figure, runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> str:
    mine = [run for run in runs if paper.beside(run.task) is figure and run.judged]
    said = [f"{names[run]}: {_percent([run]):.1f} ({run.headline})" for run in mine]
    return ", ".join([*_averages(mine, names), *said] if figure.prefix == "mbeir/" else said) or DASH


def _averages(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> list[str]:
    """The mean over M-BEIR's cells, for runs that differ in nothing but the cell; only a whole one is the paper's."""
    together: dict[str, list[RunFolder]] = {}
    for run in runs:
        made = {name: given for name, given in run.config.items() if name not in _OF_THE_TASK}
        together.setdefault(json.dumps(made, sort_keys=True), []).append(run)
    return [
        f"average over {len(part)} of {len(paper.CELLS)} cells ({names[part[0]]} and runs alike): {_percent(part):.1f}"
        for part in together.values()
        if len({run.task for run in part}) == len(part) > 1
    ]


def _percent(runs: Sequence[RunFolder]) -> float:
    """The mean of the runs' headlines after reranking."""
    return sum(100 * (run.value("reranked", run.headline) or 0) for run in runs) / len(runs)


def side_by_side(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html:
    """Runs of one task: a column for each setting that differs, and each run against the first, paired by topic."""
    first, headline = runs[0], runs[0].headline
    changed = changed_settings([run.config for run in runs])
    measures = list(dict.fromkeys((headline, "hit@1")))
    head = ["Run", *changed, *measures, "Against the first", "95 % interval", "Won / lost", "Tool calls", "s / query"]
    rows = [
        [names[run], *(setting(given[at]) for given in changed.values()),
         *(value(run.value("reranked", one)) for one in measures), *_against(first, run),
         amount(_mean(run, "tool_calls")), amount(run.seconds)]
        for at, run in enumerate(runs)
    ]  # fmt: skip
    same = None if changed else h("p", {"class": "aside"}, "Their settings are the same.")
    return h("div", {}, table(f"{first.task}, side by side", head, rows, words=range(1 + len(changed))), same)


def groups(run: RunFolder) -> Html:
    """The parts of a benchmark, each before and after."""
    measures = list(dict.fromkeys((run.headline, "hit@1")))
    changes = [f"{name}{when}" for name in measures for when in (" before", " after", ", change")]
    rows = []
    for name, part in mapping(run.metrics, "groups").items():
        cells: list[Child] = [name or "(no name)", amount(number(mapping(part).get("n")))]
        for measure in measures:
            before, after = (number(mapping(part, stage).get(measure)) for stage in ("coarse", "reranked"))
            change = None if before is None or after is None else after - before
            cells += [value(before), value(after), difference(change)]
        rows.append([*cells, _drawn(part, run.headline)])
    return table(f"{run.name} by part", ["Part", "Queries", *changes, "0 to 100 %"], rows, words=(0, 2 + len(changes)))


def _drawn(part: object, measure: str) -> Html | None:
    before, after = (number(mapping(part, stage).get(measure)) for stage in ("coarse", "reranked"))
    if before is None or after is None:
        return None
    return strip(before, after, None, (0.0, 1.0), f"{measure}: {value(before)} before, {value(after)} after")


def cost(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html:
    """What each run spent per query, and where tokens are known how many in all and for what money."""
    kinds = {"windows": "Windows", "rounds": "Rounds", "policy_calls": "Policy calls", "tool_calls": "Tool calls"}
    kinds |= {"images": "Pictures shown", "cache_hits": "From a cache"}
    head = ["Run", *kinds.values(), "Seconds", "median", "95th", "Calls in all"]
    rows = []
    for run in runs:
        seconds = [number(mapping(run.timing, "seconds").get(part)) for part in ("mean", "p50", "p95")]
        calls = _spent(run, "policy_calls", "total")
        rows.append([names[run], *(amount(_mean(run, kind)) for kind in kinds), *map(amount, seconds), amount(calls)])
    lead = h("p", {"class": "lead"}, "Means per query; the last column is the whole run's.")
    return h("div", {}, lead, table("What a query took", head, rows), _tokens(runs, names))


def _tokens(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html | None:
    told = [run for run in runs if _spent(run, "prompt_tokens", "total")]
    if not told:
        return None
    head = ["Run", "Prompt tokens / query", "cached", "of pictures", "Completion tokens / query", "Prompt in all",
            "Completion in all", "Money / query", "Money in all"]  # fmt: skip
    rows = [
        [names[run], amount(_mean(run, "prompt_tokens")), _share(run, "cached_tokens"), _share(run, "image_tokens"),
         amount(_mean(run, "completion_tokens")), amount(_spent(run, "prompt_tokens", "total")),
         amount(_spent(run, "completion_tokens", "total")), money(_mean(run, "money")),
         money(_spent(run, "money", "total"))]
        for run in told
    ]  # fmt: skip
    return h("div", {}, h("h3", {}, "Tokens, as the policies report them"), table("Tokens and money", head, rows))


def _share(run: RunFolder, kind: str) -> str:
    """How much of the prompt's tokens is of a kind."""
    part, whole = _spent(run, kind, "total"), _spent(run, "prompt_tokens", "total")
    return percent(part / whole, 0) if part is not None and whole else DASH


def data(runs: Sequence[RunFolder]) -> Html | None:
    """What each benchmark is, whose, and how its own table measures; None when no run says."""
    rows: dict[str, list[Child]] = {}
    for run in runs:
        if card := mapping(run.config, "card"):
            told = [str(card.get(name) or DASH) for name in ("title", "source", "licence", "metric", "notes")]
            rows.setdefault(told[0], list(told))
    head = ("Benchmark", "Source", "Licence", "Its own measure", "Notes")
    return table("Data", head, rows.values(), words=range(len(head))) if rows else None


def errors(run: RunFolder) -> Html | None:
    """The topics that could not be asked, and why; None when all could."""
    given = run.metrics.get("errors")
    pairs = [one for one in given if isinstance(one, list) and len(one) == 2] if isinstance(given, list) else []
    if not pairs:
        return None
    more = h("p", {"class": "aside"}, f"and {len(pairs) - ERRORS:,} more") if len(pairs) > ERRORS else None
    rows = [[str(topic), str(reason)[:400]] for topic, reason in pairs[:ERRORS]]
    return h(
        "div", {}, table(f"Errors of {run.name}", ["Query", "Why it could not be asked"], rows, words=(0, 1)), more
    )


def _run_row(run: RunFolder, name: str, at: int, domain: tuple[float, float]) -> list[Child]:
    config, metrics = run.config, run.metrics
    looked = number(mapping(metrics, "looking").get("looked"))
    return [
        h("a", {"href": f"#run-{at}"}, name),
        f"{run.task} {metrics.get('split') or ''}",
        run.headline,
        *_measured(run, name, domain),
        _paper(run),
        value(number(metrics.get("ceiling"))),
        _wins(run),
        p_value(number(metrics.get("sign_p"))),
        setting(config.get("policy")),
        setting(config.get("embedder")),
        amount(number(metrics.get("n"))),
        amount(number(metrics.get("k"))),
        percent(looked, 0),
        amount(_mean(run, "tool_calls")),
        amount(run.seconds),
    ]


def _measured(run: RunFolder, name: str, domain: tuple[float, float]) -> list[Child]:
    """Before and after in numbers and drawn, and the interval."""
    before, after = run.value("coarse", run.headline), run.value("reranked", run.headline)
    ends = run.interval("reranked", run.headline)
    if before is None or after is None:
        return [DASH, None, DASH]
    said = f"{name}: {run.headline} {value(before)} before, {value(after)} after"
    drawn = strip(before, after, ends, domain, said)
    return [f"{value(before)} → {value(after)}", drawn, f"{value(ends[0])} to {value(ends[1])}" if ends else DASH]


def _paper(run: RunFolder) -> str:
    figure = paper.beside(run.task)
    if figure is None:
        return DASH
    return f"{figure.percent:.1f} {'on 16 cells' if figure.prefix == 'mbeir/' else figure.measure}"


def _against(first: RunFolder, run: RunFolder) -> list[str]:
    if run is first:
        return ["the first", DASH, DASH]
    try:
        contrast = compare(first, run).contrasts[0]
    except VretrverError:
        return [DASH, DASH, DASH]
    low, high = contrast.interval
    return [
        f"{difference(contrast.difference)} points",
        f"{difference(low)} to {difference(high)}",
        f"{len(contrast.won):,} / {len(contrast.lost):,}",
    ]


def _wins(run: RunFolder) -> str:
    counts = [number(run.metrics.get(kind)) for kind in ("wins", "ties", "losses")]
    return " / ".join(amount(one) for one in counts)


def _mean(run: RunFolder, kind: str) -> float | None:
    return _spent(run, kind, "mean")


def _spent(run: RunFolder, kind: str, part: str) -> float | None:
    return number(mapping(run.metrics, "usage", kind).get(part))


def _domain(runs: Sequence[RunFolder]) -> tuple[float, float]:
    """The scale that all strips share: every value and interval, with a little air."""
    seen = [run.value(stage, run.headline) for run in runs for stage in ("coarse", "reranked")]
    seen += [end for run in runs for end in run.interval("reranked", run.headline) or ()]
    known = [one for one in seen if one is not None]
    return (max(0.0, min(known) - 0.03), min(1.0, max(known) + 0.03)) if known else (0.0, 1.0)

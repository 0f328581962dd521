"""The ablation's page: what each stage of training is worth, in one page without script.

`ablation_plan` says what is compared and where runs lie, `ablation_cells` reads and measures, `ablation_targets` holds
the result to what was to be shown; `ablation_tables`, `ablation_chart`, `dynamics` and `ablation_examples` draw. What
was not measured is shown as missing.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from vretrver.errors import InvalidInput
from vretrver.report import ablation_tables as tables
from vretrver.report.ablation_cells import Measured, read_cells
from vretrver.report.ablation_examples import examples
from vretrver.report.ablation_plan import FILE, Plan, read_plan
from vretrver.report.ablation_targets import targets
from vretrver.report.dynamics import dynamics, read_logs
from vretrver.report.markup import Child, Html, h
from vretrver.report.shell import whole_page
from vretrver.report.thumbnails import Thumbnails
from vretrver.viewer.trace_file import replace_file

_READ = (
    ("hit@1", "the share of queries whose first result is right; in brackets its 95 % bootstrap interval over queries"),
    ("seeds", "trainings of the same row with other random numbers; they are pooled by query, each stands beside"),
    ("differences", "of the same queries: paired bootstrap; an interval that holds zero may be chance"),
    ("chance", "hit@1 of a random order of the same candidates"),
    ("incoming order", "the first stage's, which the agent is handed; it stands where the agent gives no ranking"),
    ("in form", "every window ended in a ranking, and nothing in it had to be mended"),
    ("looked", "queries with at least one call that was answered with what it asked for"),
    ("redundant calls", "calls beyond a window's first, and a first one that was refused or showed nothing new"),
    ("paper's own", "figures of the paper, on another benchmark and with a model of 7B: for the order alone"),
)  # fmt: skip


def write_ablation(
    folder: str | PathLike[str], out_html: str | PathLike[str], *, cases: int = 6, pictures: bool = True
) -> Path:
    """Write the page of an ablation's folder, and trace pages of its examples in `<out without ending>.files/`.

    Args:
        folder: holds `ablation.toml` and `runs/<column>/<row>[-seedN]` (`report.ablation_plan`).
        out_html: where the page goes; replaced once it is complete.
        cases: queries shown of each pair of rows.
        pictures: whether originals that the runs name are opened, as for `write_report`.

    Returns:
        The page's path.

    Raises:
        MissingPath: there is no such folder or no plan in it. InvalidInput: the plan or a run is not sound, or no run
            is there. RecordError: a file does not parse; names it. StorageError: the page cannot be written.
    """
    place, out = Path(folder), Path(out_html)
    if cases < 0:
        raise InvalidInput(f"{cases} examples were asked for; it is the number shown of each pair of rows, 0 or more")
    plan = read_plan(place)
    measured = read_cells(place, plan)
    if not measured.cells:
        raise InvalidInput(
            f"{place} holds no finished run of any row and column of its {FILE}; they lie in runs/<column>/<row>"
        )
    logs = read_logs({row.label: place / row.training for row in plan.rows if row.training})
    thumbnails = Thumbnails(pictures)
    shown = examples(plan, measured, out, cases, thumbnails) if cases else None
    page = whole_page(
        plan.title,
        plan.title,
        _opening(plan, measured),
        [
            ("Results", "results", [tables.charts(plan, measured), *tables.results(plan, measured)]),
            ("Differences", "differences", tables.differences(plan, measured)),
            ("Beside the paper", "paper", tables.order(plan, measured)),
            ("How they looked", "looking", tables.looking(plan, measured)),
            ("How training went", "dynamics", dynamics(logs)),
            ("Query by query", "queries", shown),
            ("Not measured", "missing", tables.absent(plan, measured)),
        ],
        words=_READ,
        thumbnails=thumbnails,
    )
    replace_file(out, [page])
    return out


def _opening(plan: Plan, measured: Measured) -> Child:
    note: Html | None = h("p", {"class": "lead"}, plan.note) if plan.note else None
    return [note, tables.verdicts(targets(plan, measured))]

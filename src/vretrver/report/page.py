"""The report: one self-contained page of runs, and a viewer page of traces per run beside it.

Everything that comes from a run is untrusted and enters the page as text (`report.markup`). The page has no script at
all; its content policy lets it load nothing but its own style and `data:` pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from urllib.parse import quote

from vretrver.errors import InvalidInput, StorageError
from vretrver.report.answers import answers
from vretrver.report.cases import cases, choose
from vretrver.report.figures import calibration, looking, stability
from vretrver.report.markup import Child, Html, h, joined
from vretrver.report.robustness import curves, robustness
from vretrver.report.run_folder import RunFolder, mapping, read_run
from vretrver.report.shell import whole_page
from vretrver.report.tables import all_runs, beside_the_paper, cost, data, errors, groups, side_by_side
from vretrver.report.thumbnails import Thumbnails
from vretrver.report.trace_page import read_chosen, write_trace_page
from vretrver.report.words import opening
from vretrver.viewer.trace_file import replace_file

MAX_RUNS = 200
_READ = (
    ("hit@k", "the share of queries with a right answer among the first k (M-BEIR's tables call it Recall@k)"),
    ("PR@k", "the share of questions with a passage that contains an answer among the first k"),
    ("before, after", "the first stage's order, which compares embeddings; the order after the agent looked"),
    ("ceiling", "the share of queries with a right answer among the k candidates: no ranking of them can do better"),
    ("won, lost", "a right answer came to first place; it left first place. Everything else is tied"),
    ("95 % interval", "percentile bootstrap over queries; a change whose interval holds zero may be chance"),
    ("p", "two-sided exact sign test of won against lost"),
    ("looked", "the share of queries with at least one tool call"),
    ("ECE", "expected calibration error: how far confidence is from the share that was right, on average"),
)  # fmt: skip


def write_report(
    runs: Sequence[str | PathLike[str] | RunFolder],
    out_html: str | PathLike[str],
    traces: int = 50,
    *,
    pictures: bool = True,
) -> Path:
    """Write the report of some runs, and for each run `<out_html without its ending>.files/<run>.html` with traces.

    Args:
        runs: run folders, read or to be read.
        out_html: where the page goes; replaced once it is complete.
        traces: queries shown per run: lost and won ones first, then ties.
        pictures: whether originals that the runs name by path are opened for thumbnails. Say False to publish a report
            of runs that came from someone else, whose paths might name private pictures of yours.

    Returns:
        The page's path.

    Raises:
        InvalidInput: no run, or more than `MAX_RUNS`, or a folder that is no finished run.
        MissingPath, RecordError: as `read_run`. StorageError: the page or the folder beside it cannot be written.
    """
    if not runs or len(runs) > MAX_RUNS:
        raise InvalidInput(f"{len(runs)} runs were given; a report takes 1 to {MAX_RUNS}")
    if traces < 0:
        raise InvalidInput(f"traces is {traces}; it is the number of queries shown per run, 0 or more")
    read = list(dict.fromkeys(run if isinstance(run, RunFolder) else read_run(run) for run in runs))
    out, names, thumbnails = Path(out_html), names_of(read), Thumbnails(pictures)
    pages = zip(read, file_names_of(list(names.values())), strict=True)
    shown = [_shown_cases(run, file, out, traces, thumbnails) for run, file in pages]
    replace_file(out, [_page(read, names, shown, thumbnails)])
    return out


def names_of(runs: Sequence[RunFolder]) -> dict[RunFolder, str]:
    """A name for each run that no other has: its folder's, with a number where two folders are called the same."""
    return dict(zip(runs, _apart([run.name for run in runs], " ({})"), strict=True))


def file_names_of(names: Sequence[str]) -> list[str]:
    """A file's name for each run's, sound on any system and no two the same even where letters' case does not count."""
    kept = (re.sub(r"[^A-Za-z0-9._-]", lambda odd: f"_{ord(odd[0]):x}", name)[:80].lstrip(".") for name in names)
    return [f"{name}.html" for name in _apart([name or "run" for name in kept], "-{}")]


def _apart(names: Sequence[str], suffix: str) -> list[str]:
    taken: set[str] = set()
    apart = []
    for name in names:
        count, one = 1, name
        while one.casefold() in taken:
            count += 1
            one = name + suffix.format(count)
        taken.add(one.casefold())
        apart.append(one)
    return apart


def _shown_cases(run: RunFolder, file: str, out: Path, most: int, thumbnails: Thumbnails) -> Html:
    chosen = choose(run.outcomes, most) if run.judged else []
    found = read_chosen(run, {outcome.topic for outcome in chosen})
    found = {outcome.topic: found[outcome.topic] for outcome in chosen if outcome.topic in found}
    links: dict[str, str] = {}
    if found:
        beside = out.with_name(out.stem + ".files")
        try:
            beside.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise StorageError(f"cannot make {beside}: {fault.strerror or fault}") from fault
        numbers = write_trace_page(run, found, beside / file, thumbnails.wanted)
        folder = quote(os.fsencode(beside.name), safe="")
        links = {topic: f"{folder}/{file}#{number}" for topic, number in numbers.items()}
    return cases(run, chosen, found, links, thumbnails)


def _page(
    runs: Sequence[RunFolder], names: Mapping[RunFolder, str], shown: Sequence[Html], thumbnails: Thumbnails
) -> str:
    title = f"Retrieval report: {names[runs[0]]}" if len(runs) == 1 else f"Retrieval report: {len(runs)} runs"
    return whole_page(
        title,
        "Did looking help?",
        _opening(runs, names),
        _sections(runs, names, shown),
        words=_READ,
        thumbnails=thumbnails,
    )


def _opening(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html:
    return h("ul", {"class": "opening"}, [_opening_line(run, names[run]) for run in runs])


def _opening_line(run: RunFolder, name: str) -> Html:
    ends = run.interval("difference", "hit@1") or (0.0, 0.0)
    way = "rose" if ends[0] > 0 else "fell" if ends[1] < 0 else "open"
    label = h("p", {"class": "label"}, f"{name} · {run.metrics.get('title') or run.task}")
    return h("li", {"class": way}, label, h("p", {}, opening(run)))


def _sections(
    runs: Sequence[RunFolder], names: Mapping[RunFolder, str], shown: Sequence[Html]
) -> list[tuple[str, str, Child]]:
    """Title, anchor and content of every part; a part without content is None and left out."""
    grouped = [run for run in runs if mapping(run.metrics, "groups")]
    tasks = _same_task(runs)
    failed = [(run, drawn) for run in runs if (drawn := errors(run)) is not None]
    return [
        ("All runs", "all", all_runs(runs, names)),
        ("Side by side", "side-by-side", _titled((part[0].task, side_by_side(part, names)) for part in tasks)),
        ("Robustness", "robustness", joined(robustness(curves(runs), names)) or None),
        ("By part", "parts", _titled((names[run], groups(run)) for run in grouped)),
        ("Questions and answers", "answers", answers(runs, names)),
        ("Calibration", "calibration", calibration(runs, names)),
        ("Looking and gain", "looking", looking(runs, names)),
        ("Order stability", "stability", stability(runs, names)),
        ("Cost", "cost", cost(runs, names)),
        ("Errors", "errors", _titled((names[run], drawn) for run, drawn in failed)),
        ("Beside the paper", "paper", beside_the_paper(runs, names)),
        ("Data", "data", data(runs)),
        ("Query by query", "queries", [
            h("div", {"class": "run", "id": f"run-{at}"}, h("h3", {}, f"{names[run]} · {run.task}"), drawn)
            for at, (run, drawn) in enumerate(zip(runs, shown, strict=True), start=1)
        ]),
    ]  # fmt: skip


def _titled(parts: Iterable[tuple[str, Html]]) -> Html | None:
    drawn = [h("div", {"class": "part"}, h("h3", {}, title), body) for title, body in parts]
    return joined(drawn) if drawn else None


def _same_task(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Judged runs of one task, split and data, where there are several."""
    parts: dict[tuple[str, str, str], list[RunFolder]] = {}
    for run in runs:
        if run.judged:
            parts.setdefault((run.task, str(run.metrics.get("split")), str(run.config.get("data"))), []).append(run)
    return [part for part in parts.values() if len(part) > 1]

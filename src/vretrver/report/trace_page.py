"""A run's chosen traces as a viewer page beside the report, with thumbnails made now from the originals.

A run writes its traces without pictures: thumbnails of every candidate of every query would be gigabytes, and a report
shows a few dozen queries. The i-th topic that could be asked has the i-th line of traces.jsonl.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from vretrver.errors import RecordError
from vretrver.report.run_folder import RunFolder
from vretrver.trace import Ranking
from vretrver.viewer.page import page
from vretrver.viewer.pictures import pictures_of
from vretrver.viewer.trace_file import records_of, replace_file

MAX_PICTURE_BYTES = 768 * 2**10  # per trace: the query, every look, and some thirty candidates
MAX_PAGE_PICTURES = 128 * 2**20

Traces = dict[str, tuple[dict[str, Any], Ranking]]


def read_chosen(run: RunFolder, topics: Collection[str]) -> Traces:
    """The records and rankings of some topics; those without a trace are not in it, {} when the run kept none.

    Raises:
        RecordError: a line does not parse, or belongs to another topic than its place says.
    """
    path = run.path / "traces.jsonl"
    if not topics or not path.is_file():
        return {}
    asked = [outcome.topic for outcome in run.outcomes if outcome.error is None]
    topic_at = {line: topic for line, topic in enumerate(asked, start=1) if topic in topics}
    found: Traces = {}
    for (line, topic), (record, ranking) in zip(topic_at.items(), records_of(path, topic_at.keys()), strict=False):
        if record.get("topic", topic) != topic:
            raise RecordError(
                f"{path} line {line} is of topic {record.get('topic')!r}, where outcomes.jsonl has {topic!r}; "
                "the two files are not of the same run"
            )
        found[topic] = (record, ranking)
    return found


def write_trace_page(run: RunFolder, traces: Traces, out_html: Path, with_pictures: bool = True) -> dict[str, int]:
    """Write the viewer's page of these traces, in their order.

    Returns:
        Topic -> the number that its link ends with: `out_html#3`.

    Raises:
        StorageError: the page cannot be written.
    """
    each = min(MAX_PICTURE_BYTES, MAX_PAGE_PICTURES // max(1, len(traces)))
    records = []
    for record, ranking in traces.values():
        kept = {key: value for key, value in record.items() if key not in ("pictures", "originals", "topic")}
        records.append(kept | {"pictures": pictures_of(ranking, each) if with_pictures else {}})
    replace_file(out_html, [page(records, f"{run.name}: {run.task}")])
    return {topic: number for number, topic in enumerate(traces, start=1)}

"""Receipts and invoices, searched by what is printed on them: drawn, photographed, indexed, asked for, on a page.

    python examples/receipts.py -o receipts

Forty papers are drawn with this script, so what stands on them is known; most are made into photographs of a table,
some pale, far away or lying on their side. They are indexed as pictures without captions: all that a search knows is
what the optical reader read. Then an agent of the example's own (`receipts_clerk`) looks at what the search found.
Everything told on stdout and on the page is computed. A demonstration on drawn papers, no benchmark: the rules of
the agent and the papers have one author.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_photos import kept
from receipts_asks import SERIES, Ask, asks
from receipts_clerk import Clerk
from receipts_drawn import faces, sheet
from receipts_facts import VENDORS, Paper, Vendor, papers
from receipts_page import receipts_page
from receipts_photographed import Box, taken, ways
from receipts_reading import Met, met_on, wanted

from vretrver import Pipeline, Ranking, Reranker, Retriever, VretrverError, load_policy
from vretrver.images import encode_jpeg
from vretrver.ingest import build_index
from vretrver.ocr import Reads
from vretrver.ocr_memory import RememberedReader
from vretrver.policies import Policy
from vretrver.types import ImageRef
from vretrver.viewer import render, write_traces


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of the collection: the paper, how it was taken, and where each detail is printed on it."""

    paper: Paper
    way: str
    file: Path
    boxes: dict[str, Box]


@dataclass(frozen=True, slots=True)
class Told:
    """An ask and what came of it.

    Args:
        shot: the right picture, None where nothing is right.
        met: what was found printed on the first result; read: the same on the right picture.
    """

    ask: Ask
    ranking: Ranking
    shot: Shot | None
    met: tuple[Met, ...]
    read: tuple[Met, ...]
    link: str = ""

    @property
    def before(self) -> int | None:
        """Place of the right picture as it was found; None where it was not among the candidates."""
        return self._place("coarse")

    @property
    def after(self) -> int | None:
        return self._place("rank")

    @property
    def boxed(self) -> bool:
        """Whether each quoted detail's true place lies in a box that the first result is shown with."""
        return self.shot is not None and all(self._is_in(self.shot.boxes[detail]) for detail in self.ask.details)

    @property
    def why(self) -> str:
        """Why it came out as it did, as far as can be computed."""
        if self.shot is None:
            return "says so" if self.ranking.no_match else "takes the nearest for an answer"
        if self.after is None:
            return f"the right one ({self.shot.way}) was not among the candidates"
        if self.after == 1:
            return ""
        sure = [one for one in self.read if one.share == 1]
        missing = len(wanted(self.ask.text)) - len(sure)
        read = f"{missing} of the wanted details could not be read on it" if missing else "all of it was read"
        return f"the right one ({self.shot.way}) came in place {self.after}: {read}"

    def _place(self, stage: str) -> int | None:
        right = None if self.shot is None else self.shot.file.name
        return next(
            (r.rank if stage == "rank" else r.candidate.rank for r in self.ranking.results if r.document.id == right),
            None,
        )

    def _is_in(self, true: Box) -> bool:
        x, y = (true[0] + true[2]) / 2, (true[1] + true[3]) / 2
        boxes = (one.line.box for one in self.met)
        return any(x0 - 8 <= x <= x1 + 8 and y0 - 8 <= y <= y1 + 8 for x0, y0, x1, y1 in boxes)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("receipts"), help="folder (default: receipts)")
    parser.add_argument("--each", type=int, default=6, metavar="N", help="searches of each kind (default 6)")
    parser.add_argument("--policy", help="who looks: evidence, chat:URL#MODEL, ...; by default the example's own clerk")
    options = parser.parse_args(argv)
    try:
        page, _told = run(options.output, each=options.each, policy=options.policy)
    except KeyboardInterrupt:
        print("\nstopped; what was read is kept, the same command goes on from there", file=sys.stderr)
        return 1
    except VretrverError as error:
        print(f"receipts: {error}", file=sys.stderr)
        return 1
    print(f"\nOpen {page.resolve().as_uri()}")
    return 0


def run(
    folder: Path,
    *,
    vendors: tuple[Vendor, ...] = VENDORS,
    how: Sequence[str] | None = None,
    each: int = 6,
    policy: str | Policy | None = None,
    reader: Reads | None = None,
    say: Callable[[str], None] = print,
) -> tuple[Path, list[Told]]:
    """Draw, index, ask, and write the page.

    Args:
        folder: where all of it goes; what is there already is used again.
        how: the way each paper is taken, over and over; `receipts_photographed.WAYS` in their proportions when None.
        policy: who looks, a policy or what `load_policy` takes; the clerk when None. Frames are what the clerk reads.
        reader: reads print; the package's, remembering in the folder, when None.

    Returns:
        The page's path, and what came of each ask.
    """
    reader = RememberedReader(folder / "read.jsonl") if reader is None else reader
    shots = collection(folder, reader, vendors=vendors, how=how, say=say)
    clerk = Clerk(reader)
    looks = load_policy(policy) if isinstance(policy, str) else policy or clerk
    pipeline = Pipeline(Retriever.open(folder / "papers.vr"), Reranker(looks))
    (folder / "traces").mkdir(exist_ok=True)
    told = []
    for ask in asks([shot.paper for shot in shots], each):
        told.append(_told(ask, pipeline, clerk, shots, folder))
        places = f"{told[-1].before or '-':>3} -> {told[-1].after or '-':<3}" if ask.right else " " * 10
        say(f"  {places} {ask.text:<62.62} {told[-1].why}")
    facts = facts_of(shots, told)
    for name, value in facts:
        say(f"{name + ':':<44} {value}")
    page = folder / "index.html"
    page.write_text(receipts_page(told, facts, SERIES), encoding="utf-8")
    return page, told


def collection(
    folder: Path,
    reader: Reads,
    *,
    vendors: tuple[Vendor, ...] = VENDORS,
    how: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> list[Shot]:
    """The papers drawn and indexed as far as they were not; arguments as `run`."""
    shots = drawn(folder / "papers", papers(vendors), how)
    say(f"{len(shots)} papers ({faces()} faces): {_counted([shot.way for shot in shots])}")
    report = build_index(folder / "papers", folder / "papers.vr", ocr=reader, progress=True)
    say(f"index: {report.added} new, {report.unchanged} unchanged, {report.read} read, {report.seconds:.0f} s")
    return shots


def drawn(folder: Path, made: Sequence[Paper], how: Sequence[str] | None = None) -> list[Shot]:
    """The papers as pictures in a folder, with `truth.jsonl` beside it. What is there with this content stays."""
    taking = ways(len(made)) if how is None else [how[at % len(how)] for at in range(len(made))]
    shots = []
    for at, (paper, way) in enumerate(zip(made, taking, strict=True)):
        picture, boxes = taken(sheet(paper), way, at)
        shots.append(Shot(paper, way, kept(folder / f"{paper.id}.jpg", encode_jpeg(picture, 85)), boxes))
    lines = [{"id": shot.file.name, "way": shot.way, **_truth(shot.paper), "boxes": shot.boxes} for shot in shots]
    kept(folder.with_name("truth.jsonl"), "".join(json.dumps(line) + "\n" for line in lines).encode())
    return shots


def _truth(paper: Paper) -> dict[str, Any]:
    day, total = paper.day.isoformat(), paper.total
    return {"vendor": paper.vendor.name, "day": day, "number": paper.number, "total": total}


def _told(ask: Ask, pipeline: Pipeline, clerk: Clerk, shots: Sequence[Shot], folder: Path) -> Told:
    ranking = pipeline.search(ask.text, k=20, top_k=20)
    write_traces(folder / "traces" / f"{ask.name}.jsonl", [ranking])
    render(folder / "traces" / f"{ask.name}.jsonl", folder / "traces" / f"{ask.name}.html", title=ask.text)
    shot = next((shot for shot in shots if shot.paper.id == ask.right), None)
    right = next((r.document.image for r in ranking.results if shot and r.document.id == shot.file.name), None)
    first = ranking.results[0]
    looked = {e.box for e in first.evidence if e.box is not None}
    return Told(
        ask,
        ranking,
        shot,
        met(clerk, ask, first.document.image, looked),
        met(clerk, ask, right),
        f"traces/{ask.name}.html",
    )


def met(clerk: Clerk, ask: Ask, image: ImageRef | None, looked: Collection[Box] = ()) -> tuple[Met, ...]:
    """What of an ask stands on a picture, the parts that were looked at closely included."""
    if image is None:
        return ()
    lines = [*clerk.lines(image), *(line for box in looked for line in clerk.lines(image, box))]
    return tuple(met_on(lines, wanted(ask.text)))


def facts_of(shots: Sequence[Shot], told: Sequence[Told]) -> list[tuple[str, str]]:
    """The figures, computed from the truth: in all, by kind of search, by way of taking."""
    asked = [one for one in told if one.shot is not None]
    absent = [one for one in told if one.shot is None]
    rows = [("papers", str(len(shots))), ("searches", str(len(told)))]
    rows += [("right one first, found -> after looking", _hits(asked))]
    rows += [(f"  {series}", _hits([t for t in asked if t.ask.series == series])) for series in SERIES]
    taking = dict.fromkeys(shot.way for shot in shots)
    rows += [(f"  taken: {way}", _hits([t for t in asked if t.shot and t.shot.way == way])) for way in taking]
    first = [one for one in asked if one.after == 1]
    rows += [("of those first: every quoted detail in its box", f"{sum(one.boxed for one in first)} of {len(first)}")]
    rows += [("nothing is right, and it says so", f"{sum(one.ranking.no_match for one in absent)} of {len(absent)}")]
    rows += [
        ("something is right, and it says nothing is", f"{sum(one.ranking.no_match for one in asked)} of {len(asked)}")
    ]
    return [row for row in rows if not row[1].endswith("of 0")]


def _hits(told: Sequence[Told]) -> str:
    before, after = (
        sum(place == 1 for place in places) for places in ([t.before for t in told], [t.after for t in told])
    )
    return f"{before} -> {after} of {len(told)}"


def _counted(names: Sequence[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())


if __name__ == "__main__":
    sys.exit(main())

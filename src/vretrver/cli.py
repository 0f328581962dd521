"""The `vretrver` command: verb, thing, `-o` where. Each command parses, calls the library, prints.

Results go to stdout (`--json` for one JSON object), progress to stderr. Exit status: 0 done, 1 failed
or stopped (one line says why; `--debug` shows the traceback), 2 misused.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from vretrver import __version__
from vretrver.errors import InvalidInput, VretrverError

if TYPE_CHECKING:
    from vretrver.reranker import Reranker
    from vretrver.trace import Ranking
    from vretrver.types import Document, Query

_EPILOG = """\
examples:
  vretrver index photos/ -o photos.vr
  vretrver search photos.vr "milk carton with 1.5 % fat" -k 10
  vretrver search photos.vr --image shoe.jpg "the same in red" --trace run.jsonl
  vretrver view run.jsonl -o run.html
  vretrver teach photos.vr labels.csv

`vretrver COMMAND --help` says more. Nothing is downloaded, and nothing leaves this machine.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parse(sys.argv[1:] if argv is None else argv)
    run: Callable[[argparse.Namespace], int] = options.run
    # A plain `kill` should end work as gently as Ctrl-C does: what was acknowledged is kept.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(options)
    except BrokenPipeError:  # `vretrver ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("vretrver: stopped; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 1
    except VretrverError as error:
        if options.debug:
            raise
        print(f"vretrver: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except Exception as error:
        if options.debug:
            raise
        print(
            f"vretrver: unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]} "
            "(a bug: please report it with the output of --debug)",
            file=sys.stderr,
        )
        return 1


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options may stand between the positionals: `search INDEX --image a.jpg "text"`; plain parse_args refuses that."""
    parser, commands = _parser()
    command = commands.get(argv[0]) if argv else None
    return parser.parse_args(argv) if command is None else command.parse_intermixed_args(argv[1:])


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _index(options: argparse.Namespace) -> int:
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
        _print_json(report.to_json())
    else:
        print(report.summary())
    return 0


def _search(options: argparse.Namespace) -> int:
    from vretrver.pipeline import Pipeline
    from vretrver.retriever import Retriever

    query = _query(options.text, options)
    pipeline = Pipeline(Retriever.open(options.index), _reranker(options))
    ranking = pipeline.search(query, k=options.k, top_k=max(options.top_k, options.k), where=_where(options.where))
    return _show(ranking, options)


def _rerank(options: argparse.Namespace) -> int:
    from vretrver.embedders import load_embedder
    from vretrver.reranker import coarse_candidates

    query = _query(options.text, options)
    documents = _documents(options)
    reranker = _reranker(options)
    candidates = coarse_candidates(query, documents, load_embedder(options.embedder))
    if reranker is None:
        from vretrver.reranker import coarse_ranking

        return _show(coarse_ranking(query, candidates, k=options.k), options)
    return _show(reranker.rerank(query, candidates, top_k=options.k), options)


def _teach(options: argparse.Namespace) -> int:
    from vretrver.teaching import teach, undo

    if options.undo == (options.labels is not None):
        raise InvalidInput("teach takes either a file of labels or --undo")
    report = undo(options.index) if options.undo else teach(options.index, options.labels)
    if options.json:
        _print_json(report.to_json())
    else:
        print(report.summary())
    return 0


def _view(options: argparse.Namespace) -> int:
    from vretrver.viewer import render

    render(options.traces, options.output)
    print(options.output)
    return 0


def _info(options: argparse.Namespace) -> int:
    from vretrver.indexes import load_index

    facts = load_index(options.index).info()
    if options.json:
        _print_json(facts)
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {value}")
    return 0


def _query(text: str | None, options: argparse.Namespace) -> Query:
    from vretrver.images import image_size
    from vretrver.types import ImageRef, Query

    query = Query(text, tuple(ImageRef.of(path) for path in options.image or ()))
    for image in query.images:  # a picture that cannot be asked about is the user's to mend; say so before any work
        image_size(image)
    return query


def _documents(options: argparse.Namespace) -> list[Document]:
    from vretrver.types import Document, ImageRef

    documents = [Document(path, image=ImageRef(path=path)) for path in options.files]
    if options.documents:
        from vretrver.ingest import read_listing

        documents += read_listing(options.documents)
    return documents


def _reranker(options: argparse.Namespace) -> Reranker | None:
    if options.policy == "none":
        return None
    from vretrver.policies import load_policy
    from vretrver.reranker import Reranker

    return Reranker(load_policy(options.policy))


def _where(pairs: Sequence[str] | None) -> dict[str, Any] | None:
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


def _show(ranking: Ranking, options: argparse.Namespace) -> int:
    if options.trace:
        from vretrver.viewer import write_traces

        write_traces(options.trace, [ranking])
    if options.json:
        _print_json(ranking.to_json())
    else:
        _print_ranking(ranking)
    return 0


def _print_ranking(ranking: Ranking) -> None:
    if ranking.no_match:
        print("Nothing here is likely to match. The nearest:")
    for result in ranking.results:
        moved = "" if result.candidate.rank == result.rank else f"  (was {result.candidate.rank})"
        print(f"{result.rank:>3}  {result.confidence:4.0%}  {_printable(result.document.id)}{moved}")
        if result.document.text:
            print(f"           {_printable(result.document.text)[:100]}")
        for evidence in result.evidence:
            print(f"           {evidence.tool}: {_printable(evidence.note)[:160]}")
    usage = ranking.usage
    cost = f"{usage.policy_calls} agent turns, {usage.tool_calls} looks, {usage.seconds:.2f} s"
    print(f"{len(ranking.results)} results, {cost}", file=sys.stderr)


def _printable(text: str) -> str:
    """One line without control characters: a caption must not drive the user's terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="vretrver",
        description="Search that looks before it answers: finds pictures and texts, inspects them, then ranks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vretrver {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_index(commands)
    _add_search(commands)
    _add_rerank(commands)
    _add_teach(commands)
    _add_view(commands)
    _add_info(commands)
    return parser, commands.choices


_Commands = Any  # argparse's own type for this is private


def _command(commands: _Commands, name: str, run: Callable[..., int], summary: str, more: str = "") -> Any:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary}\n\n{more}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_index(commands: _Commands) -> None:
    parser = _command(
        commands,
        "index",
        _index,
        "Index a folder of pictures, a listing, or an M-BEIR candidate pool.",
        "Captions come from a .txt or .json beside each picture, or from --captions. Running it again touches only\n"
        "what changed. Pictures are searchable as soon as they are embedded; words printed on them are read in a\n"
        "second pass, which may be stopped and resumed.",
    )
    parser.add_argument("source", help="a folder, a .jsonl/.csv/.parquet listing, or an M-BEIR pool (.jsonl)")
    parser.add_argument("-o", "--output", required=True, metavar="INDEX", help="the index to make or update")
    parser.add_argument("--captions", metavar="FILE", help="listing (.jsonl/.csv/.parquet) with captions and metadata")
    parser.add_argument("--image-root", metavar="DIR", help="folder that the listing's picture paths start from")
    parser.add_argument("--embedder", default="lite", help="lite (default) or sentence-transformers:MODEL")
    parser.add_argument(
        "--ocr",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="read the words printed on the pictures (default: when the extra [ocr] is installed)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def _add_results(parser: Any) -> None:
    parser.add_argument("--image", action="append", metavar="FILE", help="a picture to ask with; may be repeated")
    parser.add_argument("-k", type=_positive, default=10, help="how many results (default 10)")
    parser.add_argument("--policy", default="evidence", help="evidence (default), or none: the coarse order alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--trace", metavar="FILE", help="append what the agent did to this .jsonl, for `vretrver view`")


def _add_search(commands: _Commands) -> None:
    parser = _command(
        commands,
        "search",
        _search,
        "Search an index with text, pictures, or both; look at the candidates; rank them.",
    )
    parser.add_argument("index", metavar="INDEX", help="made by `vretrver index`")
    parser.add_argument("text", nargs="?", help="what to look for")
    _add_results(parser)
    parser.add_argument(
        "--top-k", type=_positive, default=50, help="candidates the agent reranks (default 50, as in the paper)"
    )
    parser.add_argument("--where", action="append", metavar="NAME=VALUE", help="keep documents with this metadata")


def _add_rerank(commands: _Commands) -> None:
    parser = _command(
        commands,
        "rerank",
        _rerank,
        "Rank the pictures (or texts, or pairs) you name; no index needed.",
        'With --image alone, give "" for the text: vretrver rerank --image shoe.jpg "" a.jpg b.jpg',
    )
    parser.add_argument("text", help="what to look for")
    parser.add_argument("files", nargs="*", metavar="FILE", help="pictures to rank")
    parser.add_argument("--documents", metavar="LISTING", help=".jsonl/.csv/.parquet with id, text, image")
    parser.add_argument("--embedder", default="lite", help="orders them before the agent looks (default lite)")
    _add_results(parser)


def _add_teach(commands: _Commands) -> None:
    parser = _command(
        commands,
        "teach",
        _teach,
        "Teach an index your own labels or captions; takes seconds, keeps everything else, can be undone.",
        "LABELS is a .csv, .jsonl or .parquet with the columns path (or id) and label (or caption).",
    )
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("labels", metavar="LABELS", nargs="?")
    parser.add_argument("--undo", action="store_true", help="go back to before the last lesson")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def _add_view(commands: _Commands) -> None:
    parser = _command(
        commands,
        "view",
        _view,
        "Turn a trace file into one page that opens by itself: every turn, every crop drawn on its picture.",
    )
    parser.add_argument("traces", metavar="TRACES", help="written by --trace")
    parser.add_argument("-o", "--output", required=True, metavar="HTML")


def _add_info(commands: _Commands) -> None:
    parser = _command(commands, "info", _info, "Say what an index holds: documents, embedder, lessons, words read.")
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())

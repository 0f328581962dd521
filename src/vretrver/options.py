"""The command line's options and their help; what the commands do is `vretrver.cli`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from vretrver import __version__

_EPILOG = """\
examples:
  vretrver index photos/ -o photos.vr
  vretrver search photos.vr "milk carton with 1.5 % fat" -k 10
  vretrver search photos.vr --image shoe.jpg "the same in red" --trace run.jsonl
  vretrver view run.jsonl -o run.html
  vretrver teach photos.vr labels.csv

`vretrver COMMAND --help` says more. Nothing is downloaded, and nothing leaves this machine.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options of one command; exits with status 2 when they are misused.

    Options may stand between the positionals, `search INDEX --image a.jpg "text"`, which plain parse_args refuses.
    """
    parser, commands = parsers()
    command = commands.get(argv[0]) if argv else None
    return parser.parse_args(argv) if command is None else command.parse_intermixed_args(argv[1:])


def parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The command line's parser, and each command's own."""
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


def _command(commands: _Commands, name: str, summary: str, more: str = "") -> Any:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary}\n\n{more}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(command=name)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_index(commands: _Commands) -> None:
    parser = _command(
        commands,
        "index",
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
        "Turn a trace file into one page that opens by itself: every turn, every crop drawn on its picture.",
    )
    parser.add_argument("traces", metavar="TRACES", help="written by --trace")
    parser.add_argument("-o", "--output", required=True, metavar="HTML")


def _add_info(commands: _Commands) -> None:
    parser = _command(commands, "info", "Say what an index holds: documents, embedder, lessons, words read.")
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value

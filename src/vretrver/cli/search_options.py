"""Options of index, search, rerank, teach, view, info and doctor."""

from __future__ import annotations

import argparse
from typing import Any

from vretrver.cli.parsing import POLICIES, Commands, add_certainty, add_costs, add_looking, command, positive


def add(commands: Commands) -> None:
    """Add the commands."""
    _add_index(commands)
    _add_search(commands)
    _add_rerank(commands)
    _add_teach(commands)
    _add_view(commands)
    _add_info(commands)
    _add_doctor(commands)


def _add_index(commands: Commands) -> None:
    parser = command(
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
    parser.add_argument("-k", type=positive, default=10, help="how many results (default 10)")
    parser.add_argument("--policy", default="evidence", help=POLICIES)
    add_looking(parser)
    add_costs(parser)
    add_certainty(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--trace", metavar="FILE", help="append what the agent did to this .jsonl, for `vretrver view`")


def _add_search(commands: Commands) -> None:
    parser = command(
        commands,
        "search",
        "Search an index with text, pictures, or both; look at the candidates; rank them.",
    )
    parser.add_argument("index", metavar="INDEX", help="made by `vretrver index`")
    parser.add_argument("text", nargs="?", help="what to look for")
    _add_results(parser)
    parser.add_argument(
        "--top-k", type=positive, default=50, help="candidates the agent reranks (default 50, as in the paper)"
    )
    parser.add_argument("--where", action="append", metavar="NAME=VALUE", help="keep documents with this metadata")


def _add_rerank(commands: Commands) -> None:
    parser = command(
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


def _add_teach(commands: Commands) -> None:
    parser = command(
        commands,
        "teach",
        "Teach an index your own labels or captions; takes seconds, keeps everything else, can be undone.",
        "LABELS is a .csv, .jsonl or .parquet with the columns path (or id) and label (or caption).",
    )
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("labels", metavar="LABELS", nargs="?")
    parser.add_argument("--undo", action="store_true", help="go back to before the last lesson")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def _add_view(commands: Commands) -> None:
    parser = command(
        commands,
        "view",
        "Turn a trace file into one page that opens by itself: every turn, every crop drawn on its picture.",
    )
    parser.add_argument("traces", metavar="TRACES", help="written by --trace, or a run folder's traces.jsonl")
    parser.add_argument("-o", "--output", required=True, metavar="HTML")
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="open the originals of traces that came without thumbnails, as a run's do; for traces of your own",
    )


def _add_info(commands: Commands) -> None:
    parser = command(commands, "info", "Say what an index holds: documents, embedder, lessons, words read.")
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_doctor(commands: Commands) -> None:
    parser = command(
        commands,
        "doctor",
        "Ask a chat endpoint whether it is there and can do what a search needs.",
        "Is the model there, does it take several images, does it keep the protocol, which box convention does it\n"
        "speak, how long does it take. The exit status is 1 when a check failed. An API key is read from\n"
        "VRETRVER_API_KEY or OPENAI_API_KEY and never shown.",
    )
    parser.add_argument("--policy", required=True, help="chat:URL#MODEL, such as chat:http://localhost:8000/v1#MODEL")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")

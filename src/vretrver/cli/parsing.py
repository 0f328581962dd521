"""What every command's options are made with."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

Commands: TypeAlias = Any  # argparse's own type for this is private

POLICIES = (
    "evidence (default), chat:URL#MODEL, local:MODEL, cross-encoder:MODEL, or none: the coarse order alone; "
    "options of chat: and local: stand behind the name, such as ,stop=false,retries=2"
)


def command(commands: Commands, name: str, summary: str, more: str = "") -> Any:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary}\n\n{more}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(command=name)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_looking(parser: Any) -> None:
    """Options of what an agent is shown, and of the tools it may call."""
    parser.add_argument(
        "--planner",
        default="sliding:20,10",
        metavar="PLAN",
        help="which windows are ranked: sliding:WINDOW,STRIDE (default sliding:20,10, the paper's), merge:WINDOW,TOP, "
        "onepass:WINDOW or adaptive:EPS",
    )
    parser.add_argument(
        "--tools",
        metavar="NAMES",
        help="select, zoom, compare (regions of several pictures at once), with commas, or none; by default what a "
        "trained model learnt with, else select,zoom",
    )
    parser.add_argument(
        "--max-tool-turns",
        type=int,
        metavar="N",
        help="tool calls per window; by default as many as a trained model learnt with, else 2",
    )


def add_answers(parser: Any) -> None:
    """Options of who answers questions from what was found."""
    parser.add_argument(
        "--answers", metavar="POLICY", help="who answers questions: chat:URL#MODEL or local:MODEL; nobody by default"
    )
    parser.add_argument(
        "--source-tokens",
        type=positive,
        default=1024,
        metavar="N",
        help="image tokens (28x28 pixels each) that a picture may take among an answer's sources, 4 to 5120 "
        "(default 1024)",
    )


def add_costs(parser: Any) -> None:
    """Options of what a query may cost, and how that is reckoned."""
    parser.add_argument(
        "--budget",
        metavar="SPEC",
        help="what a query may cost, such as seconds=5,calls=4,tokens=20000,images=60,money=0.02; "
        "when one of them is spent, the best order so far is the answer",
    )
    parser.add_argument(
        "--prices",
        metavar="SPEC",
        help="what a million tokens cost, such as prompt=0.4,cached=0.1,completion=1.6, in any currency",
    )
    parser.add_argument(
        "--window-tokens",
        type=positive,
        metavar="N",
        help="image tokens (28x28 pixels each) that a picture may take among the candidates, 4 to 5120 (default 512); "
        "tools cut from the original all the same",
    )


def add_certainty(parser: Any) -> None:
    """Options of how sure a ranking is to be."""
    parser.add_argument(
        "--second-look",
        choices=("reverse", "shuffle"),
        help="rank the head of the list once more with its candidates in another order, where the budget has room, "
        "and merge both orders",
    )
    parser.add_argument(
        "--fusion",
        type=share,
        default=0.0,
        metavar="W",
        help="how much the coarse order counts in the result: 0 (default) the agent alone, 1 the coarse stage alone",
    )
    parser.add_argument(
        "--gate",
        type=share,
        metavar="P",
        help="nobody looks where the coarse stage gives its first result at least this chance; 0 to 1",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="made by `vretrver calibrate` for your own model and data: what chances and confidences are read from",
    )


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value

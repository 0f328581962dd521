"""What every command's options are made with."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

Commands: TypeAlias = Any  # argparse's own type for this is private

POLICIES = "evidence (default), chat:URL#MODEL, local:MODEL, cross-encoder:MODEL, or none: the coarse order alone"


def command(commands: Commands, name: str, summary: str, more: str = "") -> Any:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary}\n\n{more}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(command=name)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value

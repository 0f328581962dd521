"""The command line's options and their help; what the commands do is beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vretrver import __version__
from vretrver.cli import answering, evaluation_options, mcp, search_options, serving, training, watching

_EPILOG = """\
examples:
  vretrver index photos/ -o photos.vr
  vretrver search photos.vr "milk carton with 1.5 % fat" -k 10
  vretrver search photos.vr --image shoe.jpg "the same in red" --trace run.jsonl
  vretrver view run.jsonl -o run.html
  vretrver ask photos.vr "which bus goes to the harbour?" --policy chat:http://localhost:8000/v1#MODEL
  vretrver serve photos.vr
  vretrver watch photos/ -o photos.vr
  vretrver teach photos.vr labels.csv
  vretrver eval jsonl --root my-benchmark -o runs/mine
  vretrver train synthesize runs/world.toml -o data/sft

`vretrver COMMAND --help` says more. Nothing is downloaded, and nothing leaves this machine unless you name a
chat: server.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options of one command; exits with status 2 when they are misused.

    Options may stand between the positionals, `search INDEX --image a.jpg "text"`, which plain parse_args refuses.
    """
    parser, commands = parsers()
    words = 2 if argv[:1] == ["train"] else 1
    command = commands.get(" ".join(argv[:words])) if len(argv) >= words else None
    return parser.parse_args(argv) if command is None else command.parse_intermixed_args(argv[words:])


def parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The command line's parser, and each command's own; those of `train` by two words."""
    parser = argparse.ArgumentParser(
        prog="vretrver",
        description="Search that looks before it answers: finds pictures and texts, inspects them, then ranks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vretrver {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    search_options.add(commands)
    answering.add(commands)
    evaluation_options.add(commands)
    mcp.add(commands)
    serving.add(commands)
    watching.add(commands)
    stages = training.add(commands)
    return parser, {**commands.choices, **stages}

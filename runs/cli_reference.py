"""Write docs/cli.md from the commands' own --help, so that the two never differ. Run after changing an option."""

from __future__ import annotations

import os
from pathlib import Path

DESTINATION = Path(__file__).parents[1] / "docs" / "cli.md"


def reference() -> str:
    """The whole of docs/cli.md."""
    os.environ["COLUMNS"] = "100"  # argparse wraps to the terminal; the document must not depend on it
    from vretrver.cli.options import parsers

    parser, commands = parsers()
    parts = [
        "# The command line",
        "Written by `python runs/cli_reference.py` from `--help`. Results go to stdout, progress to stderr. "
        "Exit status: 0 done, 1 failed or stopped, 2 misused.",
        _block(parser.format_help()),
    ]
    for name, command in commands.items():
        parts += [f"## vretrver {name}", _block(command.format_help())]
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    return f"```\n{text.rstrip()}\n```"


if __name__ == "__main__":
    DESTINATION.write_text(reference(), encoding="utf-8")
    print(DESTINATION)

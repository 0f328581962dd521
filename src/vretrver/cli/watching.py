"""The command of a person whose folder changes: watch."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from vretrver.cli.parsing import Commands, command
from vretrver.cli.printing import printable

if TYPE_CHECKING:
    from argparse import Namespace

    from vretrver.watching import Note

_MORE = """\
Brings the index up to date, then takes in what is added, changed, renamed or deleted, until it is stopped (Ctrl-C or
SIGTERM; what was finished is kept). One line on stderr for each batch of changes. A file that cannot be read is named,
and tried again when something changes. A folder that is gone or empty deletes nothing. Search or `vretrver serve` the
same index meanwhile. To update once, use `vretrver index`."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "watch", "Keep an index in step with a folder until stopped.", _MORE)
    parser.add_argument("folder", metavar="FOLDER", help="pictures, with captions beside them as for `vretrver index`")
    parser.add_argument("-o", "--output", required=True, metavar="INDEX", help="the index to make or keep in step")
    parser.add_argument("--captions", metavar="FILE", help="listing (.jsonl/.csv/.parquet) with captions and metadata")
    parser.add_argument("--embedder", default="lite", help="lite (default) or sentence-transformers:MODEL")
    parser.add_argument(
        "--ocr",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="read the words printed on the pictures (default: when the extra [ocr] is installed)",
    )
    parser.add_argument(
        "--poll",
        type=float,
        metavar="SECONDS",
        help="look through the folder every so often, for network drives, of whose changes the system does not tell",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line on stdout instead")


def watch(options: Namespace) -> int:
    """Watch until stopped."""
    from vretrver.watching import watch

    try:
        watch(
            options.folder,
            options.output,
            options.embedder,
            options.ocr,
            listing=options.captions,
            poll=options.poll,
            tell=_print_json if options.json else _print,
        )
    except KeyboardInterrupt:  # stopped, as it is meant to be; acknowledged batches are kept
        return 0
    return 0


def _print(note: Note) -> None:
    for line in note.text.splitlines():
        print(printable(line), file=sys.stderr, flush=True)


def _print_json(note: Note) -> None:
    print(json.dumps(note.to_json(), ensure_ascii=False), flush=True)

"""The `vretrver` command: verb, thing, `-o` where. Each command parses, calls the library, prints.

Results go to stdout (`--json` for one JSON object), progress to stderr. Exit status: 0 done, 1 failed
or stopped (one line says why; `--debug` shows the traceback), 2 misused.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from vretrver.cli.options import parse
from vretrver.errors import VretrverError

if TYPE_CHECKING:
    from argparse import Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = parse(sys.argv[1:] if argv is None else argv)
    # A plain `kill` should end work as gently as Ctrl-C does: what was acknowledged is kept.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status: int = _command(options.command)(options)
        return status
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


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _command(name: str) -> Callable[[Namespace], int]:
    from vretrver.cli import answering, evaluating, mcp, searching, serving, training, training_stages, watching

    commands: dict[str, Callable[[Namespace], int]] = {
        "index": searching.index,
        "search": searching.search,
        "rerank": searching.rerank,
        "ask": answering.ask,
        "teach": searching.teach,
        "view": searching.view,
        "info": searching.info,
        "doctor": searching.doctor,
        "eval": evaluating.evaluate,
        "merge": evaluating.merge,
        "report": evaluating.report,
        "compare": evaluating.compare,
        "calibrate": evaluating.calibrate,
        "mcp": mcp.mcp,
        "serve": serving.serve,
        "watch": watching.watch,
        "synthesize": training.synthesize,
        "sft": training_stages.sft,
        "rsft": training_stages.rsft,
        "eapo": training_stages.eapo,
    }
    return commands[name]

"""The command of a person whose assistant searches: mcp."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING

from vretrver.cli.parsing import (
    POLICIES,
    Commands,
    add_answers,
    add_certainty,
    add_costs,
    add_looking,
    command,
    positive,
)

if TYPE_CHECKING:
    from argparse import Namespace

_MORE = """\
The assistant starts this command itself and speaks to it over stdin and stdout; its configuration names the command:
  {"mcpServers": {"photos": {"command": "vretrver", "args": ["mcp", "/path/to/photos.vr"]}}}
With --http it listens on 127.0.0.1 instead, for clients on this machine: http://127.0.0.1:PORT/mcp. Where
VRETRVER_TOKEN is set in the environment, they send `Authorization: Bearer TOKEN`; else whoever can connect to this
machine's loopback can search. Tools: search_images, rerank, inspect, and with --answers also ask. Assistants wait
about a minute for an answer: with a slow model, give --budget seconds=30."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "mcp", "Let assistants search an index: a server of the Model Context Protocol.", _MORE)
    parser.add_argument("index", metavar="INDEX", help="made by `vretrver index`")
    parser.add_argument("--http", action="store_true", help="streamable HTTP on 127.0.0.1 instead of stdin and stdout")
    parser.add_argument("--port", type=_port, default=7332, help="for --http (default 7332)")
    parser.add_argument("--policy", default="evidence", help=POLICIES)
    parser.add_argument("--top-k", type=positive, default=50, help="candidates the agent looks at (default 50)")
    add_answers(parser)
    add_looking(parser)
    add_costs(parser)
    add_certainty(parser)


def mcp(options: Namespace) -> int:
    """Serve until the assistant hangs up, or until it is stopped."""
    from vretrver.cli.agents import reranker_of, writer_of
    from vretrver.mcp_server import Searcher, build_server, serve

    reranker = reranker_of(options)
    searcher = Searcher(options.index, reranker, top_k=options.top_k, writer=writer_of(options, reranker))
    if not options.http:
        # The thread that waits for stdin hears no interrupt. Nothing is written, so nothing needs an end.
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda _signal, _frame: os._exit(0))
    try:
        token = os.environ.get("VRETRVER_TOKEN", "").strip() or None
        serve(build_server(searcher, token if options.http else None), port=options.port if options.http else None)
    except KeyboardInterrupt:  # a server that was stopped has done its work
        return 0
    return 0


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{value} is no port; choose 1 to 65535")
    return value

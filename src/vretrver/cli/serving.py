"""The command of a person with a server: serve."""

from __future__ import annotations

import argparse
import socket
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from vretrver.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from argparse import Namespace

    from vretrver.server import Settings


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "serve",
        "Serve an index over HTTP: search page, JSON API, /v1/rerank, OpenAPI docs, metrics.",
        "Where VRETRVER_TOKEN is set in the environment, clients send `Authorization: Bearer TOKEN`; it must be set,\n"
        "unless the address is loopback. Needs the extra [serve].",
    )
    parser.add_argument("index", metavar="INDEX", help="made by `vretrver index`")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=7331, help="(default 7331; 0 takes a free one)")
    parser.add_argument("--read-only", action="store_true", help="refuse to add and delete documents")
    parser.add_argument(
        "--allow-folder",
        action="append",
        metavar="FOLDER",
        help="a folder whose pictures may be indexed from the search page; may be repeated",
    )
    parser.add_argument("--policy", default="evidence", help=POLICIES)
    parser.add_argument("--top-k", type=positive, default=50, help="candidates the agent looks at (default 50)")
    add_answers(parser)
    add_looking(parser)
    add_costs(parser)
    add_certainty(parser)
    _add_doors(parser.add_argument_group("who may ask"))
    _add_bounds(parser.add_argument_group("how much"))


def _add_doors(group: Any) -> None:
    group.add_argument(
        "--allow-host",
        action="append",
        metavar="NAME",
        help="a name under which it is reached, beside the address it listens on; may be repeated",
    )
    group.add_argument(
        "--allow-origin", action="append", metavar="URL", help="pages elsewhere that may call it; may be repeated"
    )
    group.add_argument(
        "--fetch-from",
        action="append",
        metavar="HOST",
        help="fetch pictures by URL from this host, if it is on the public internet; may be repeated",
    )


def _add_bounds(group: Any) -> None:
    group.add_argument("--queue", type=positive, default=64, help="reranks that may wait (default 64)")
    group.add_argument("--workers", type=positive, help="threads that rerank (default 1, or 4 with a chat: policy)")
    group.add_argument("--seconds", type=positive, default=120, help="after which a request is given up (default 120)")
    group.add_argument("--body-mb", type=positive, default=64, metavar="MB", help="largest request (default 64)")


def serve(options: Namespace) -> int:
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "prometheus_client", "python_multipart")):
        raise MissingExtra("serving over HTTP", "serve")
    import uvicorn

    from vretrver.server import app

    application = app(options.index, settings_of(options))
    sock = _listening(options.host, options.port)
    host, port = sock.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print(url, flush=True)
    print(
        f"serving {options.index}: the search page is at {url}, the API at {url}/docs; Ctrl-C ends it", file=sys.stderr
    )
    config = uvicorn.Config(
        application, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=10
    )
    with suppress(KeyboardInterrupt):  # how a server is ended
        uvicorn.Server(config).run([sock])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(found[4][:2], family=found[0], backlog=1024)
    except OSError as fault:
        raise InvalidInput(
            f"cannot listen on {host} port {port} ({fault.strerror}); choose others with --host and --port"
        ) from fault


def settings_of(options: Namespace) -> Settings:
    """The server's settings as the options and the environment say.

    Raises:
        InvalidInput: an option is none, or there is no token and the address is not loopback.
    """
    from vretrver.budget import Budget
    from vretrver.cli.agents import reranker_of, writer_of
    from vretrver.server.settings import LOOPBACK, Settings, is_loopback, token_for

    names = [*LOOPBACK] if is_loopback(options.host) else [options.host]
    reranker = reranker_of(options)
    return Settings(
        policy=reranker or "none",
        answers=writer_of(options, reranker),
        top_k=options.top_k,
        budget=Budget.parse(options.budget) if options.budget else Budget(seconds=min(30, options.seconds)),
        hosts=(*names, *(options.allow_host or ())),
        origins=tuple(options.allow_origin or ()),
        token=token_for(options.host),
        fetch_from=tuple(options.fetch_from or ()),
        writable=not options.read_only,
        folders=tuple(Path(folder) for folder in options.allow_folder or ()),
        body_bytes=options.body_mb * 2**20,
        queue=options.queue,
        workers=options.workers,
        seconds=options.seconds,
    )


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{value} is no port")
    return value

"""What a server allows, and how much of everything: one value, checked when it is made."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from vretrver.answering import Writer
from vretrver.budget import Budget
from vretrver.errors import InvalidInput, MissingPath
from vretrver.policies import Policy
from vretrver.reranker import Reranker

TOKEN_VARIABLE = "VRETRVER_TOKEN"  # noqa: S105  # the variable's name, not a token
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves.

    Args:
        policy: what looks at candidates: a name that `load_policy` takes, a policy, or a whole `Reranker`; `none` for
            the coarse order.
        answers: what answers questions: a `Writer`, a policy, or the name of one that writes words; None answers none.
        top_k: candidates that the agent looks at where a request does not say.
        budget: the most that one request may spend; a request may ask for less.
        hosts: names under which the server is reached, without port. Anything else in a Host header is refused, so
            that a page elsewhere cannot reach this machine through a name of its own. `*` allows all names.
        origins: pages elsewhere that may call it, such as `https://app.example`.
        token: what clients must send as `Authorization: Bearer ...`; None asks nobody.
        fetch_from: hosts (`HOST` or `HOST:PORT`) from which pictures may be fetched by URL; none by default.
        writable: whether documents may be added and deleted.
        folders: that may be indexed on request; a request names one by the last part of its path.
        body_bytes, body_seconds: the largest request, and how long it may take to arrive.
        held_bytes: of all requests' bodies and waiting jobs together.
        images: pictures in a request; image_bytes, image_pixels: the largest of them.
        documents: in a request.
        queue: jobs that may wait; the next is refused with 429.
        workers: threads that rerank; None takes one, or four for a policy that waits for a server.
        batch: rerank jobs that advance together.
        seconds: after which a request is given up.
        traces, trace_bytes: how many rankings are kept to be looked at.

    Raises:
        InvalidInput: a bound is below 1, a host or origin is none, two folders have the same name, or the token is
            too short to be a secret.
        MissingPath: a folder does not exist.
    """

    policy: str | Policy | Reranker = "evidence"
    answers: str | Policy | Writer | None = None
    top_k: int = 50
    budget: Budget = Budget(seconds=30)  # noqa: RUF009  # frozen
    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    fetch_from: tuple[str, ...] = ()
    writable: bool = True
    folders: tuple[Path, ...] = ()
    body_bytes: int = 64 * 2**20
    body_seconds: float = 60.0
    held_bytes: int = 512 * 2**20
    images: int = 64
    image_bytes: int = 20 * 2**20
    image_pixels: int = 50_000_000
    documents: int = 1000
    queue: int = 64
    workers: int | None = None
    batch: int = 8
    seconds: float = 120.0
    traces: int = 256
    trace_bytes: int = 128 * 2**20

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise InvalidInput(f"the setting {one.name}={value} must be more than 0")
        object.__setattr__(self, "hosts", tuple(host.lower().strip("[]") for host in self.hosts))
        object.__setattr__(self, "folders", _folders(self.folders))
        for host in self.hosts:
            if not re.fullmatch(r"\*|[a-z0-9._:-]+", host):
                raise InvalidInput(f"{host!r} is no host name; give it without scheme and port: photos.example")
        for origin in self.origins:
            if not re.fullmatch(r"https?://[a-z0-9.\[\]:-]+", origin):
                raise InvalidInput(f"{origin!r} is no origin; give scheme and host alone, such as https://app.example")
        if self.token is not None and not re.fullmatch(rf"[\x21-\x7e]{{{_SHORTEST_TOKEN},512}}", self.token):
            raise InvalidInput(
                f"the token needs {_SHORTEST_TOKEN} to 512 printable characters without blanks; make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )


def token_for(host: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token of the environment, which only a server that nobody else can reach may do without.

    Args:
        host: the address it will listen on.
        environment: where `VRETRVER_TOKEN` is looked up.

    Raises:
        InvalidInput: there is none, and the address is not loopback.
    """
    token = environment.get(TOKEN_VARIABLE, "").strip() or None
    if token is None and not is_loopback(host):
        raise InvalidInput(
            f"{host} can be reached from other machines, so a token is required: set {TOKEN_VARIABLE}, "
            "or listen on 127.0.0.1"
        )
    return token


def _folders(given: Sequence[Path]) -> tuple[Path, ...]:
    found = tuple(Path(folder).resolve() for folder in given)
    for folder in found:
        if not folder.is_dir():
            raise MissingPath(f"{folder} is no folder; name one whose pictures may be indexed")
    names = [folder.name for folder in found]
    if len(set(names)) < len(names):
        raise InvalidInput(
            f"folders go by the last part of their path, and {max(names, key=names.count)!r} comes twice"
        )
    return found


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"

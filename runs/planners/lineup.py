"""Who takes part: every contender with its endpoint, and a line for each that could not come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runs.planners.measuring import Contender
from runs.planners.ours import Ours
from runs.planners.paper import Paper
from runs.planners.peers import SETTINGS, Peer, PeerFault
from runs.planners.servers import Servers

from vretrver.errors import VretrverError

PLANNERS = ("sliding", "merge", "onepass", "adaptive", "adaptive:0.1")
EXTRAS: tuple[dict[str, Any], ...] = ({"second_look": "reverse"}, {"fusion": 0.3}, {"gate": 0.5})
BUDGETS = (128, 96, 64)  # patches a picture; at 512, the product's default, 640x480 stands as it is


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender by the key under which results are kept; `server` is what its endpoint is given."""

    key: str
    make: Callable[[str, Callable[[], Any]], Contender]
    server: dict[str, Any]


def entries(pictures: Sequence[Path], peers: Path | None, log: IO[str]) -> Iterator[Entry]:
    """All contenders in the order of the table."""
    yield _paper("paper/text", "tool-free")
    for planner in PLANNERS:
        yield _ours(f"{planner}/text", planner)
    for option in EXTRAS:
        yield _ours(f"merge+{next(iter(option))}/text", "merge", **option)
    if peers is not None:
        for kind in SETTINGS:
            yield _peer(kind, peers, log)
    yield _paper("paper/2/uncached", "full size, 2 tool turns, no prefix cache", pictures, tools=True, prefix_blocks=0)
    yield _paper("paper/2", "full size, 2 tool turns", pictures, tools=True)
    yield _paper("paper/0", "full size, tool-free", pictures)
    for planner in ("sliding", "merge"):
        yield _ours(f"{planner}/2/512", planner, pictures=pictures, tool_turns=2, patches=512)
    for patches in BUDGETS:
        yield _ours(f"merge/2/{patches}", "merge", pictures=pictures, tool_turns=2, patches=patches)
    for planner in ("onepass", "adaptive", "adaptive:0.1"):
        yield _ours(f"{planner}/2/96", planner, pictures=pictures, tool_turns=2, patches=96)
    yield _ours("merge+second_look/2/96", "merge", pictures=pictures, tool_turns=2, patches=96, second_look="reverse")
    yield _ours("merge/0/96", "merge", pictures=pictures, tool_turns=0, patches=96)


def opened(servers: Servers, wanted: Iterable[Entry]) -> tuple[dict[str, Contender], dict[str, str]]:
    """Contenders by key, and why the others are absent."""
    present: dict[str, Contender] = {}
    absent: dict[str, str] = {}
    for entry in wanted:
        url = servers.open(entry.key, **entry.server)
        try:
            present[entry.key] = entry.make(url, lambda key=entry.key: servers.drain(key))  # type: ignore[misc]
        except (VretrverError, PeerFault, OSError, TypeError) as why:
            absent[entry.key] = f"{type(why).__name__}: {why}"
    return present, absent


def _ours(key: str, planner: str, **options: Any) -> Entry:
    return Entry(key, lambda url, drain: Ours(url, drain, planner, **options), {})


def _paper(key: str, setting: str, pictures: Sequence[Path] = (), tools: bool = False, **server: Any) -> Entry:
    return Entry(
        key,
        lambda url, drain: Paper(url, drain, pictures=pictures, tools=tools, setting=setting),
        {"boxes": "released", **server},
    )


def _peer(kind: str, python: Path, log: IO[str]) -> Entry:
    return Entry(kind, lambda url, drain: Peer(kind, url, drain, python, log), {})

"""The same contenders on servers that fail in three requests of ten, in every way: who still gives valid rankings.

Waits are shortened as in `runs/chat_faults.py`: Retry-After says 10 ms and a silent server hangs up after 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runs.planners.lineup import PLANNERS
from runs.planners.measuring import Contender
from runs.planners.ours import Ours
from runs.planners.peers import SETTINGS, Peer, PeerFault
from runs.planners.servers import Servers
from runs.planners.topics import K, topic

from vretrver.errors import VretrverError
from vretrver.policies.chat import Limits

SHARE = 0.3
SERVER = {"mode": "faulty", "fault_share": SHARE, "retry_after": 0.01, "hang": 0.02}
LIMITS = Limits(backoff=0.005, longest_wait=0.6)


@dataclass(frozen=True, slots=True)
class Survived:
    """How a contender came through: topics asked, valid rankings, rankings equal to a sound server's, faults met."""

    name: str
    topics: int
    valid: int
    same: int
    faults: int
    said: str = ""


def survived(
    servers: Servers, count: int, sound: dict[str, list[list[int]]], peers: Path | None, log: IO[str]
) -> list[Survived]:
    """Each text contender on `count` topics; `sound` holds the orders that each gave on a server without faults."""
    found = []
    for key in [*(f"{planner}/text" for planner in PLANNERS), *(SETTINGS if peers else ())]:
        if key in sound:
            found.append(_one(servers, key, count, sound[key], peers, log))
    return found


def _one(servers: Servers, key: str, count: int, sound: list[list[int]], peers: Path | None, log: IO[str]) -> Survived:
    name = f"faulty {key}"
    url = servers.open(name, **SERVER)
    drain = lambda: servers.drain(name)  # noqa: E731
    contender: Contender
    if key in SETTINGS and peers is not None:
        contender = Peer(key, url, drain, peers, log)
    else:
        contender = Ours(url, drain, key.partition("/")[0], limits=LIMITS)
    valid = same = 0
    said = ""
    for index in range(count):
        try:
            order = list(contender.rank(topic(index)).order)
        except (PeerFault, VretrverError) as fault:
            said = said or str(fault)
            continue
        valid += sorted(order) == list(range(K))
        same += order == list(sound[index])
    contender.close()
    return Survived(key.removesuffix("/text"), count, valid, same, sum(servers.faults(name).values()), said[:160])


def table(rows: list[Survived]) -> str:
    lines = ["| contender | topics | faults met | valid rankings | as on a sound server | first error |"]
    lines.append("|---|---:|---:|---:|---:|---|")
    for one in rows:
        cells: list[Any] = [one.name, one.topics, one.faults, one.valid, one.same, one.said.replace("|", "/")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)

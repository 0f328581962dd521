"""A search on a server that fails in every way, beside the same search on a sound one: answers, attempts, identity.

    python runs/chat_faults.py [--queries 200] [--share 0.3] [--retries 6]

Both run against `vretrver.testing.FakeEndpoint` with the policy's own limits, except that waits are a hundredth of the
default, so that the run is short: retries, kinds of fault and their order stay what they are.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from dataclasses import replace

from PIL import Image

from vretrver.policies.chat import ChatPolicy, Limits
from vretrver.reranker import Reranker
from vretrver.testing import FakeEndpoint
from vretrver.trace import Ranking, StopReason
from vretrver.types import Document, ImageRef

LIMITS = Limits(backoff=0.005, longest_wait=0.6)


def number(_query: str, text: str, _image: bytes | None) -> float:
    return float(text.rpartition(" ")[2])


def lists(queries: int) -> list[list[Document]]:
    """Twenty tiles in as many orders as there are queries; half of the tiles have a picture."""
    tiles = []
    for at in range(20):
        buffer = io.BytesIO()
        Image.new("RGB", (160, 120), (at * 12, 80, 200 - at * 8)).save(buffer, "PNG")
        tiles.append(Document(f"d{at}", f"tile {at}", ImageRef(data=buffer.getvalue()) if at % 2 else None))
    return [random.Random(seed).sample(tiles, 20) for seed in range(queries)]


def search(endpoint: FakeEndpoint, found: list[list[Document]], limits: Limits) -> tuple[list[Ranking], ChatPolicy]:
    policy = ChatPolicy.load(endpoint.policy, limits=limits, environment={})
    return Reranker(policy).rerank_many([f"query {at}" for at in range(len(found))], found), policy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--retries", type=int, default=LIMITS.retries)
    options = parser.parse_args()
    found = lists(options.queries)
    with FakeEndpoint(number, noise=3.0, keep=0) as sound:
        want, _policy = search(sound, found, LIMITS)
    started = time.perf_counter()
    faulty = FakeEndpoint(
        number, noise=3.0, mode="faulty", fault_share=options.share, retry_after=0.01, hang=0.02, keep=0
    )
    with faulty:
        got, policy = search(faulty, found, replace(LIMITS, retries=options.retries))
        counters = faulty.counters
    seconds = time.perf_counter() - started
    flagged = [any(trace.stop is StopReason.POLICY_ERROR for trace in ranking.traces) for ranking in got]
    valid = [
        sorted(ranking.ids) == sorted(one.id for one in documents)
        for ranking, documents in zip(got, found, strict=True)
    ]
    same = [one.ids == other.ids for one, other in zip(got, want, strict=True)]
    faults = sum(counters.faults.values())
    print(f"{options.queries} queries, {counters.calls} requests, {faults} faults ({faults / counters.calls:.1%}):")
    print(", ".join(f"{kind} {n}" for kind, n in sorted(counters.faults.items())))
    print(f"valid rankings {sum(valid)}, identical to the sound server's {sum(same)}, flagged {sum(flagged)}")
    unflagged = sum(not one and not other for one, other in zip(same, flagged, strict=True))
    print(f"different without a flag {unflagged}; answers paid {policy.usage.answers}, given {counters.answers}")
    print(f"{seconds:.1f} s, most at a time {counters.concurrency}")


if __name__ == "__main__":
    main()

"""A fake chat endpoint on this machine, for tests, examples and measurements without a model.

    with FakeEndpoint(lambda query, text, jpeg: float(query in text)) as endpoint:
        ranking = Reranker(load_policy(endpoint.policy)).rerank("kite", ["a boat", "a kite"])

It reads what it was really sent and answers in the released protocol, or in RankGPT's where it is asked so, from a
relevance it alone knows. Its tokens,
prefix cache and latency are simulated; its faults are real ones on a real socket. Nothing here is for production.
"""

from vretrver.testing.clock import FakeClock
from vretrver.testing.counters import Counters, Served
from vretrver.testing.endpoint import FakeEndpoint, Mode
from vretrver.testing.faults import KINDS
from vretrver.testing.reading import Item, Reading
from vretrver.testing.serving import Latency

__all__ = ["KINDS", "Counters", "FakeClock", "FakeEndpoint", "Item", "Latency", "Mode", "Reading", "Served"]

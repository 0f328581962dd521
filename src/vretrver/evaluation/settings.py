"""What decides a run's result, as a user gives it and as it is resolved and recorded.

`resolve` turns names into everything a reader needs to repeat the run: fingerprints, digests, defaults made explicit,
and one hash over all of it. Two runs of one hash give the same metrics; a run folder refuses another hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from vretrver.answering.writer import SOURCE_TOKENS, SOURCES
from vretrver.budget import Budget
from vretrver.errors import InvalidInput
from vretrver.protocol import Wire
from vretrver.reranking import SecondLook, checked_certainty
from vretrver.tools import Toolbox, load_toolbox
from vretrver.usage import Prices
from vretrver.windows import load_planner

DegradeOn = Literal["queries", "pool", "both"]
COARSE = "hybrid, vector, bm25 or run:FILE"
UNHASHED = ("hash", "shard", "versions", "card")
"""Left out of the hash: what differs between shards of one run or machines that should agree, and mere words."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a task is run.

    Args:
        coarse: the first stage: `hybrid` (the product's retriever: vector, words, print, colour), `vector` (the
            embedder alone), `bm25` (captions alone), or `run:FILE` (another system's TREC run). A task whose galleries
            come ranked keeps their order (`given`).
        k: candidates that the first stage hands over; 50 in the paper's M-BEIR runs, 10 on unseen sets.
        planner, tools, max_tool_turns, second_look, fusion, gate: as `Reranker` takes them.
        calibration: a file made by `calibrate`; None for the packaged one.
        window_tokens: image tokens of 28x28 pixels that a picture in the window may take (`Wire.showing`); None keeps
            the task's, else the policy's own.
        budget: of one topic's ranking (`Budget.parse`); None for none. A budget in seconds makes a run depend on the
            machine, and all topics of a batch share its clock.
        prices: of the tokens of rankings and answers (`Prices.parse`); None where they are not known.
        ocr: read print, in the index and in the agent; None does if the extra is installed.
        degrade, degrade_on: a corruption (`vretrver.degrade`) of query pictures, pool pictures, or both.
        shuffles: rank so many times more with the candidates handed over in another order.
        limit: so many topics, evenly spread; None for all.
        shard: `i/n`: the i-th of n parts of the topics, for n machines; see `merge`.
        seed: of shuffles and corruptions.
        batch: topics that advance together.
        sources: how many of the best results an answer is written from, in runs that answer questions.
        source_tokens: image tokens that a source's picture may take then, 4 to 5120.

    Raises:
        InvalidInput: a value is not one of these.
    """

    coarse: str = "hybrid"
    k: int = 50
    planner: str = "sliding:20,10"
    tools: str | None = None
    max_tool_turns: int | None = None
    window_tokens: int | None = None
    budget: str | None = None
    prices: str | None = None
    second_look: SecondLook | None = None
    fusion: float = 0.0
    gate: float | None = None
    calibration: str | None = None
    ocr: bool | None = None
    degrade: str | None = None
    degrade_on: DegradeOn = "queries"
    shuffles: int = 0
    limit: int | None = None
    shard: str | None = None
    seed: int = 0
    batch: int = 16
    sources: int = SOURCES
    source_tokens: int = SOURCE_TOKENS

    def __post_init__(self) -> None:
        if self.coarse not in ("hybrid", "vector", "bm25") and not re.fullmatch("run:.+", self.coarse):
            raise InvalidInput(f"the coarse stage is {COARSE}; got {self.coarse!r}")
        if self.degrade_on not in ("queries", "pool", "both"):
            raise InvalidInput(f"pictures are degraded on queries, pool or both; got {self.degrade_on!r}")
        for name, least in (("k", 1), ("batch", 1), ("shuffles", 0), ("max_tool_turns", 0), ("sources", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise InvalidInput(f"{name} is {value}; it must be at least {least}")
        if self.limit is not None and self.limit < 1:
            raise InvalidInput(f"the limit is {self.limit} topics; it must be at least 1")
        load_planner(self.planner)
        self.toolbox  # noqa: B018  # refuses a tool that is none
        for tokens in (self.window_tokens, self.source_tokens):
            if tokens is not None:
                Wire().showing(tokens)
        if self.budget is not None:
            Budget.parse(self.budget)
        if self.prices is not None:
            Prices.parse(self.prices)
        checked_certainty(self.second_look, self.fusion, self.gate)
        self.part  # noqa: B018  # refuses a shard that is none

    @property
    def toolbox(self) -> Toolbox | None:
        """The tools that were asked for; None leaves them to the policy."""
        return None if self.tools is None else load_toolbox(self.tools)

    @property
    def part(self) -> tuple[int, int]:
        """The shard as (0-based number, how many)."""
        if self.shard is None:
            return 0, 1
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", self.shard)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of:
            raise InvalidInput(f"a shard is i/n with i from 1 to n, such as 2/8; got {self.shard!r}")
        return number - 1, of

    def chosen(self, count: int) -> list[list[int]]:
        """The batches of topic positions that this run asks, of `count` topics.

        Batches are cut before shards are dealt, so that a topic meets the same company, and the same last digits of
        its vectors, in every shard and after every resumption.
        """
        positions = list(range(count))
        if self.limit is not None and self.limit < count:
            positions = [at * count // self.limit for at in range(self.limit)]
        batches = [positions[at : at + self.batch] for at in range(0, len(positions), self.batch)]
        number, of = self.part
        return batches[number::of]


def written(bounds: Budget | Prices | None) -> str | None:
    """A budget or prices as `parse` reads them, the same text for the same numbers."""
    if bounds is None:
        return None
    given = {field.name: getattr(bounds, field.name) for field in fields(bounds)}
    return ",".join(f"{name}={value:.12g}" for name, value in given.items() if value is not None)


def hashed(config: Mapping[str, Any]) -> str:
    """The configuration's hash: SHA-256 of its canonical JSON without `UNHASHED`."""
    content = {name: value for name, value in config.items() if name not in UNHASHED}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What tells two configurations apart, a line each."""
    names = [name for name in {**ours, **theirs} if name not in UNHASHED]
    return [
        f"{name} is {ours.get(name)!r}, not {theirs.get(name)!r}"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]

"""The fine stage: planner, episodes and policy make a ranking out of candidates (paper, section 3.3).

This is the driver with I/O around the episodes: it reads pictures' sizes, calls the policy for all live episodes at
once, and turns every failure of the policy or of a picture into something on the trace. A bad window is data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from vretrver.budget import Budget
from vretrver.coarse import (
    NO_MATCH_BELOW,
    Item,
    as_candidates,
    as_query,
    coarse_candidates,
    coarse_confidences,
    coarse_ranking,
    merged_evidence,
)
from vretrver.episode import Episode
from vretrver.errors import ImageError, InvalidInput, MissingPath, PolicyError
from vretrver.images import image_size, open_image
from vretrver.messages import Completion, Conversation
from vretrver.policies import Policy
from vretrver.protocol import Wire
from vretrver.tools import Toolbox, default_toolbox
from vretrver.trace import Ranking, Result, Trace
from vretrver.types import Candidate, ImageRef, Query, Window
from vretrver.usage import Prices, Usage
from vretrver.windows import Order, Planner, Span, sliding

__all__ = ["Reranker", "coarse_candidates", "coarse_ranking"]

Sizes = dict[ImageRef, tuple[int, int]]


class Reranker:
    """Ranks candidates by looking at them.

    Args:
        policy: decides; see `policies.load_policy`.
        planner: which windows are ranked; `windows.sliding` (20, 10) by default. For others:
            `functools.partial(sliding, window=10, stride=5)`, or any callable of K that gives a `windows.Plan`.
        toolbox: the tools on offer; select_images and crop_image when None.
        max_tool_turns: how often a window's agent may call a tool.
        wire: the policy's dialect of the protocol; the policy's own `wire`, if it has one, when None.
        no_match_below: a ranking whose best confidence is under this says `no_match`.
        budget: what one query's ranking may cost. When it ends, windows that were not ranked keep their incoming order
            and the ranking is `partial`.
        prices: of the policy's tokens; they fill `Usage.money`.

    Raises:
        InvalidInput: max_tool_turns is below 0, or the budget bounds money and no prices are given.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        planner: Planner = sliding,
        toolbox: Toolbox | None = None,
        max_tool_turns: int = 2,
        wire: Wire | None = None,
        no_match_below: float = NO_MATCH_BELOW,
        budget: Budget | None = None,
        prices: Prices | None = None,
    ) -> None:
        if max_tool_turns < 0:
            raise InvalidInput(f"max_tool_turns is {max_tool_turns}; it must be 0 or more")
        self.policy = policy
        self.planner = planner
        self.toolbox = default_toolbox() if toolbox is None else toolbox
        self.max_tool_turns = max_tool_turns
        self.wire = wire or getattr(policy, "wire", None) or Wire()
        self.no_match_below = no_match_below
        self.budget = Budget() if budget is None else budget
        self.prices = prices
        if prices is None and self.budget.money is not None:
            raise InvalidInput(f"the budget money={self.budget.money:g} needs prices; give prompt=..., completion=...")

    def priced(self, usage: Usage) -> Usage:
        """The usage with its money, where prices and tokens are known."""
        if self.prices is None or usage.tokens is None:
            return usage
        return replace(usage, money=self.prices.of(usage.tokens))

    def rerank(self, query: Query | str, candidates: Iterable[Item], top_k: int | None = None) -> Ranking:
        """Rank candidates, best first.

        Args:
            candidates: candidates, documents, paths or texts in incoming order (`coarse.as_candidates`).
            top_k: keep this many results; all when None.

        Returns:
            A ranking of all candidates. `score` is 1 / rank: it orders and says nothing more. `confidence` is the
            policy's relevance from the last window that held the candidate, where it gave one, else the coarse
            stage's. A candidate whose picture cannot be read is ranked without it; `repairs` says so.

        Raises:
            MissingPath, ImageError: a picture of the query cannot be read.
            InvalidInput: two candidates share an id.
        """
        return self.rerank_many([query], [candidates], top_k)[0]

    def rerank_many(
        self, queries: Sequence[Query | str], candidates: Sequence[Iterable[Item]], top_k: int | None = None
    ) -> list[Ranking]:
        """`rerank` for many queries; their episodes advance together, so the policy sees one large batch a step.

        Raises:
            InvalidInput: the two sequences differ in length. And as `rerank`, before any policy call.
        """
        if len(queries) != len(candidates):
            raise InvalidInput(f"{len(queries)} queries came with {len(candidates)} lists of candidates")
        started = time.perf_counter()
        jobs = [
            _Job(as_query(query), as_candidates(items), self) for query, items in zip(queries, candidates, strict=True)
        ]
        while any(job.seats for job in jobs):
            if live := [seat for job in jobs for seat in job.affordable(time.perf_counter() - started)]:
                self._step(live)
            for job in jobs:
                job.advance()
        wall = time.perf_counter() - started
        overhead = wall - sum(trace.usage.seconds for job in jobs for trace in job.traces)
        return [job.ranking(top_k, max(0.0, overhead) / len(jobs)) for job in jobs]

    def _step(self, seats: Sequence[_Seat]) -> None:
        """One generation for each live episode."""
        started = time.perf_counter()
        try:
            completions = self._complete([seat.episode.conversation for seat in seats])
        except Exception as fault:  # the one boundary around the policy
            if len(seats) > 1:  # one bad window must not cost the others theirs
                for seat in seats:
                    self._step([seat])
            elif not (isinstance(fault, ImageError | MissingPath) and seats[0].leave_out_damaged()):
                seats[0].episode.fail(_said(fault))
            return
        seconds = (time.perf_counter() - started) / len(seats)
        for seat, completion in zip(seats, completions, strict=True):
            seat.episode.feed(completion, seconds)

    def _complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        completions = list(self.policy.complete(conversations))
        if len(completions) != len(conversations):
            raise PolicyError(f"policy {self.policy.name} gave {len(completions)} texts for {len(conversations)}")
        for completion in completions:
            if not isinstance(completion, Completion) or not isinstance(completion.text, str):
                raise PolicyError(
                    f"policy {self.policy.name} gave a {type(completion).__name__}, not a Completion of text"
                )
        return completions


class _Seat:
    """One running window: its episode, and the means to start it again without a damaged picture."""

    def __init__(self, window: Window, sizes: Sizes, start: Callable[[Window, Sizes], Episode]) -> None:
        self._window, self._sizes, self._start = window, sizes, start
        self.episode = start(window, sizes)

    def leave_out_damaged(self) -> bool:
        """Decode every candidate's picture; if some fail, start the episode again without them.

        Only when the policy stumbles: a header was readable, so nothing else would have shown it, and decoding each
        picture beforehand would cost more than most policies do.
        """
        images = {candidate.document.image for candidate in self._window.candidates} & self._sizes.keys()
        damaged = [image for image in images if image is not None and not _decodes(image)]
        for image in damaged:
            del self._sizes[image]
        if damaged:
            self.episode = self._start(self._window, self._sizes)
        return bool(damaged)


class _Job:
    """One query on its way through its plan."""

    def __init__(self, query: Query, candidates: list[Candidate], reranker: Reranker) -> None:
        self.query, self.candidates, self._reranker = query, candidates, reranker
        self.traces: list[Trace] = []
        self.seats: list[_Seat] = []
        self._sizes = {image: image_size(image) for image in query.images} | _readable_sizes(candidates)
        self._plan = reranker.planner(len(candidates))
        self._spans: list[Span] = []
        self._order: Order = ()
        self._rounds = 0
        self._ask(None)

    def affordable(self, elapsed: float) -> list[_Seat]:
        """The windows that wait for a generation; those that the budget has no room for are ended.

        Args:
            elapsed: seconds since the ranking began.
        """
        waiting = [seat for seat in self.seats if not seat.episode.done]
        budget = self._reranker.budget
        if budget == Budget():
            return waiting
        spent = sum((trace.usage for trace in self.traces), Usage())
        spent = self._reranker.priced(sum((seat.episode.trace.usage for seat in self.seats), spent))
        for seat in waiting:
            coming = seat.episode.pictures if not seat.episode.trace.turns else 0
            if why := budget.ended(spent, elapsed, coming):
                seat.episode.exhaust(why)
            else:
                spent += Usage(policy_calls=1, images=coming)
        return [seat for seat in waiting if not seat.episode.done]

    def advance(self) -> None:
        """When the whole batch of windows is done, tell the planner and start the next batch."""
        if self.seats and all(seat.episode.done for seat in self.seats):
            traces = [seat.episode.trace for seat in self.seats]
            self.traces += traces
            self._rounds += any(trace.turns for trace in traces)
            self._ask(
                [
                    tuple(span.items[position] for position in trace.order)
                    for span, trace in zip(self._spans, traces, strict=True)
                ]
            )

    def ranking(self, top_k: int | None, overhead: float) -> Ranking:
        confidences = self._confidences()
        evidence = merged_evidence(self.traces)
        results = tuple(
            Result(rank, candidate, 1.0 / rank, confidences[at], evidence.get(candidate.document.id, ()))
            for rank, (at, candidate) in enumerate(((at, self.candidates[at]) for at in self._order), start=1)
        )
        best = max(confidences, default=0.0)
        usage = sum((trace.usage for trace in self.traces), Usage(rounds=self._rounds, seconds=overhead))
        usage = self._reranker.priced(replace(usage, seconds=round(usage.seconds, 4)))  # as a record keeps it
        no_match = not results or best < self._reranker.no_match_below
        return Ranking(self.query, results[:top_k], no_match, usage, tuple(self.traces))

    def _ask(self, orders: list[Order] | None) -> None:
        try:
            self._spans = next(self._plan) if orders is None else self._plan.send(orders)
            while not self._spans:
                self._spans = self._plan.send([])
        except StopIteration as end:
            self._spans, self._order = [], tuple(end.value)
            if sorted(self._order) != list(range(len(self.candidates))):
                raise InvalidInput("the planner's order is not a permutation of the candidates") from None
        self.seats = [self._seat(span) for span in self._spans]

    def _seat(self, span: Span) -> _Seat:
        window = Window(self.query, tuple(self.candidates[item] for item in span.items), span.start)
        return _Seat(window, self._sizes, self._episode)

    def _episode(self, window: Window, sizes: Sizes) -> Episode:
        reranker = self._reranker
        return Episode(
            window,
            sizes,
            reranker.toolbox,
            max_tool_turns=reranker.max_tool_turns,
            wire=reranker.wire,
            policy=reranker.policy.name,
        )

    def _confidences(self) -> list[float]:
        """Per candidate in incoming order: the last window's relevance, else what the coarse stage can say."""
        confidences = coarse_confidences(self.query, self.candidates)
        place = {candidate.document.id: at for at, candidate in enumerate(self.candidates)}
        for trace in self.traces:
            for key, relevance in zip(trace.candidates, trace.relevance or (), strict=False):
                confidences[place[key]] = relevance
        return confidences


def _readable_sizes(candidates: Sequence[Candidate]) -> Sizes:
    sizes: Sizes = {}
    for candidate in candidates:
        image = candidate.document.image
        if image is not None:
            try:
                sizes[image] = image_size(image)
            except (ImageError, MissingPath):
                continue  # the episode shows the candidate without it and says so
    return sizes


def _decodes(image: ImageRef) -> bool:
    try:
        open_image(image)
    except (ImageError, MissingPath):
        return False
    return True


def _said(fault: Exception) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())[:500]}"

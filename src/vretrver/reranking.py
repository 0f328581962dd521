"""One query on its way: its plan's windows, what the budget allows, a second look, and the ranking in the end.

No policy is called here. Whoever drives it asks for the windows that wait (`affordable`), feeds their episodes, and
calls `advance`; `reranker` does so for many queries at once. Failures are on the traces.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from vretrver import orders
from vretrver.budget import Budget
from vretrver.calibration import Calibration, packaged
from vretrver.coarse import NEUTRAL, NO_MATCH_BELOW, coarse_confidences, merged_evidence
from vretrver.episode import Episode
from vretrver.errors import InvalidInput
from vretrver.images import image_size
from vretrver.protocol import Wire
from vretrver.seats import Seat, Sizes, readable_sizes
from vretrver.tools import Toolbox
from vretrver.trace import Ranking, Result, StopReason, Trace
from vretrver.types import Candidate, Query, Window
from vretrver.usage import Prices, Usage
from vretrver.windows import Order, Planner, Span

SecondLook = Literal["reverse", "shuffle"]


def checked_certainty(second_look: str | None, fusion: float, gate: float | None) -> None:
    """Raises:
    InvalidInput: the second look is none, or a share is not in 0..1.
    """
    if second_look not in (None, *get_args(SecondLook)):
        raise InvalidInput(f"a second look is reverse or shuffle; got {second_look!r}")
    for name, share in (("fusion", fusion), ("gate", gate)):
        if share is not None and not 0 <= share <= 1:
            raise InvalidInput(f"{name} is {share}; it must be between 0 and 1")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a ranking goes by; `Reranker` says what each means."""

    planner: Planner
    toolbox: Toolbox
    max_tool_turns: int
    wire: Wire
    policy: str
    budget: Budget
    no_match_below: float | None = None
    prices: Prices | None = None
    second_look: SecondLook | None = None
    fusion: float = 0.0
    gate: float | None = None
    calibration: Calibration = field(default_factory=packaged)

    def __post_init__(self) -> None:
        checked_certainty(self.second_look, self.fusion, self.gate)

    def priced(self, usage: Usage) -> Usage:
        """The usage with its money, where prices and tokens are known."""
        if self.prices is None or usage.tokens is None:
            return usage
        return replace(usage, money=self.prices.of(usage.tokens))


class Reranking:
    """A query, its candidates in incoming order, and how far their ranking is.

    Raises:
        MissingPath, ImageError: a picture of the query cannot be read.
    """

    def __init__(self, query: Query, candidates: list[Candidate], rules: Rules) -> None:
        self.query, self.candidates, self._rules = query, candidates, rules
        self.traces: list[Trace] = []
        self.seats: list[Seat] = []
        self.again = False
        """Whether the seats are a second look: the plan has come to its order, and nothing is lost without them."""
        self._sizes = {image: image_size(image) for image in query.images} | readable_sizes(candidates)
        self._spans: list[Span] = []
        self._order: Order = tuple(range(len(candidates)))
        self._rounds = 0
        self._agreement: float | None = None
        self._coarse: Order = tuple(sorted(self._order, key=lambda item: candidates[item].rank))
        self._chances = rules.calibration.chances(query, candidates)
        self._skipped = self._certain()
        if self._skipped is None:
            self._plan = rules.planner(self._chances or [NEUTRAL] * len(candidates))
            self._ask(None)

    def affordable(self, elapsed: float) -> list[Seat]:
        """The windows that wait for a generation; those that the budget has no room for are ended.

        Args:
            elapsed: seconds since the ranking began.
        """
        waiting = [seat for seat in self.seats if not seat.episode.done]
        budget = self._rules.budget
        if budget == Budget():
            return waiting
        spent = sum((trace.usage for trace in self.traces), Usage())
        spent = self._rules.priced(sum((seat.episode.trace.usage for seat in self.seats), spent))
        for seat in waiting:
            coming = seat.episode.pictures if not seat.episode.trace.turns else 0
            why = budget.ended(spent, elapsed, coming)
            if why and self.again and not seat.episode.trace.turns:
                self.seats = []  # a second look that cannot begin is no failure
                return []
            if why:
                seat.episode.exhaust(why)
            else:
                spent += Usage(policy_calls=1, images=coming)
        return [seat for seat in waiting if not seat.episode.done]

    def advance(self) -> None:
        """When the whole batch of windows is done, tell the planner and start the next batch."""
        if not self.seats or not all(seat.episode.done for seat in self.seats):
            return
        traces = [seat.episode.trace for seat in self.seats]
        self._rounds += any(trace.turns for trace in traces)
        if self.again:
            self._settle(replace(traces[0], look=self._rules.second_look))
            return
        self.traces += traces
        self._ask(
            [
                tuple(span.items[position] for position in trace.order)
                for span, trace in zip(self._spans, traces, strict=True)
            ]
        )

    def ranking(self, top_k: int | None, overhead: float) -> Ranking:
        """What came of it.

        Args:
            top_k: keep this many results; all when None.
            overhead: seconds beside the policy's.
        """
        order = self._order
        if self._rules.fusion and self._skipped is None:
            order = orders.fused(order, self._coarse_odds(), self._rules.fusion)
        evidence = merged_evidence(self.traces)
        results = tuple(
            Result(rank, candidate, 1.0 / rank, NEUTRAL, evidence.get(candidate.document.id, ()))
            for rank, candidate in enumerate((self.candidates[item] for item in order), start=1)
        )
        usage = sum((trace.usage for trace in self.traces), Usage(rounds=self._rounds, seconds=overhead))
        usage = self._rules.priced(replace(usage, seconds=round(usage.seconds, 4)))  # as a record keeps it
        found = Ranking(self.query, results, False, usage, tuple(self.traces), self._skipped, self._agreement)
        confidences, below = self._confidences(found, order)
        best = max(confidences, default=0.0)
        told = (replace(one, confidence=sure) for one, sure in zip(results, confidences, strict=True))
        return replace(found, results=tuple(told)[:top_k], no_match=not results or best < below)

    # -- the plan -----------------------------------------------------------------------------------------------

    def _coarse_odds(self) -> dict[int, float]:
        """What the coarse stage says of each candidate, in log-odds; by its order alone where it gives no chances."""
        if self._chances is None:
            return orders.place_odds(self._coarse)
        bounded = (min(max(chance, 1e-9), 1 - 1e-9) for chance in self._chances)
        return {item: math.log(chance / (1 - chance)) for item, chance in enumerate(bounded)}

    def _certain(self) -> str | None:
        """Why nobody needs to look, or None."""
        gate = self._rules.gate
        if gate is None or not self._chances or (chance := self._chances[self._coarse[0]]) < gate:
            return None
        self._order = self._coarse
        return f"the coarse stage gives its first result a chance of {chance:.3f}; the gate is {gate:g}"

    def _ask(self, ranked: list[Order] | None) -> None:
        asked = self._spans
        try:
            self._spans = next(self._plan) if ranked is None else self._plan.send(ranked)
            while not self._spans:
                self._spans = self._plan.send([])
        except StopIteration as end:
            self._spans, self._order = [], tuple(end.value)
            if sorted(self._order) != list(range(len(self.candidates))):
                raise InvalidInput("the planner's order is not a permutation of the candidates") from None
            self._look_again(asked)
            return
        self.seats = [self._seat(span) for span in self._spans]

    def _seat(self, span: Span) -> Seat:
        window = Window(self.query, tuple(self.candidates[item] for item in span.items), span.start)
        return Seat(window, self._sizes, self._episode)

    def _episode(self, window: Window, sizes: Sizes) -> Episode:
        rules = self._rules
        return Episode(
            window, sizes, rules.toolbox, max_tool_turns=rules.max_tool_turns, wire=rules.wire, policy=rules.policy
        )

    # -- a second look ------------------------------------------------------------------------------------------

    def _look_again(self, asked: Sequence[Span]) -> None:
        """Seat the head of the list once more, if it was looked at and there is an order to change in it.

        Args:
            asked: the plan's last windows; the head is as long as the longest of them.
        """
        self.seats = []
        head = self._order[: max((len(span.items) for span in asked), default=0)]
        answered = [trace.stop is StopReason.ANSWERED for trace in self.traces[len(self.traces) - len(asked) :]]
        if self._rules.second_look is None or len(head) < 2 or not all(answered):
            return
        # Last what came first: who led because of their place will fall.
        shown = list(reversed(head))
        if self._rules.second_look == "shuffle":
            ids = {item: self.candidates[item].document.id for item in head}
            shown.sort(key=ids.__getitem__)
            # No secret; the same candidates, the same order. A file's name may hold half a surrogate pair.
            seed = "\n".join(ids[item] for item in shown).encode("utf-8", "surrogatepass")
            random.Random(seed).shuffle(shown)  # noqa: S311
        self._spans = [Span(0, tuple(shown))]
        self.seats, self.again = [self._seat(self._spans[0])], True

    def _settle(self, trace: Trace) -> None:
        """Merge the second look with the first; one that came to no answer changes nothing."""
        self.seats = []
        self.traces.append(trace)
        if trace.stop is StopReason.ANSWERED:
            (span,) = self._spans
            second = tuple(span.items[position] for position in trace.order)
            first = self._order[: len(second)]
            self._agreement = orders.agreement(first, second)
            self._order = orders.merged(first, second, tie=self._coarse) + self._order[len(second) :]

    # -- how likely each result is ------------------------------------------------------------------------------

    def _confidences(self, ranking: Ranking, order: Order) -> tuple[list[float], float]:
        """How likely each result answers, in the ranking's order, and under which best of them nothing matches."""
        calibration, below = self._rules.calibration, self._rules.no_match_below
        if any(trace.relevance is not None for trace in self.traces):
            said = self._said()
            return [said[item] for item in order], NO_MATCH_BELOW if below is None else below
        below = calibration.no_match_below if below is None else below
        if self._skipped is not None or len(order) < 2:  # an order of one says nothing
            return [(self._chances or [NEUTRAL])[item] for item in order], below
        return calibration.confidences(ranking), below

    def _said(self) -> list[float]:
        """Per candidate in incoming order: the policy's relevance, else what the coarse stage can say.

        The last window that held a candidate counts; a second look counts as much as the first.
        """
        confidences = coarse_confidences(self.query, self.candidates)
        place = {candidate.document.id: at for at, candidate in enumerate(self.candidates)}
        for trace in self.traces:
            for key, relevance in zip(trace.candidates, trace.relevance or (), strict=False):
                before = confidences[place[key]]
                confidences[place[key]] = relevance if trace.look is None else (before + relevance) / 2
        return confidences

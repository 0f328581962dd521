"""The fine stage: planner, episodes and policy make a ranking out of candidates (paper, section 3.3).

This is the driver with I/O around the episodes: it reads pictures' sizes, calls the policy for all live episodes at
once, and turns every failure of the policy or of a picture into something on the trace. A bad window is data.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vretrver.budget import Budget
from vretrver.calibration import Calibration, packaged
from vretrver.coarse import Item, as_candidates, as_query, coarse_candidates, coarse_ranking
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.messages import Completion, Conversation
from vretrver.policies import Policy, checked
from vretrver.policies.habits import toolbox_for, turns_for
from vretrver.protocol import Wire
from vretrver.reranking import Reranking, Rules, SecondLook
from vretrver.seats import Seat
from vretrver.tools import Toolbox
from vretrver.trace import Ranking
from vretrver.types import Query
from vretrver.usage import Prices
from vretrver.windows import Planner, sliding

__all__ = ["Reranker", "coarse_candidates", "coarse_ranking"]


class Reranker:
    """Ranks candidates by looking at them.

    Args:
        policy: decides; see `policies.load_policy`.
        planner: which windows are ranked; `windows.sliding` (20, 10) by default. For others:
            `functools.partial(sliding, window=10, stride=5)`, or any callable of chances that gives a `windows.Plan`.
        toolbox: the tools on offer; when None those that a trained policy is used to (`policies.habits`), else the
            paper's select_images and crop_image.
        max_tool_turns: how often a window's agent may call a tool; when None as the policy is used to, else twice.
        wire: the policy's dialect of the protocol; the policy's own `wire`, if it has one, when None.
        no_match_below: a ranking whose best confidence is under this says `no_match`; by default what was chosen on
            validation for a policy's own relevance (`coarse.NO_MATCH_BELOW`) or else for the calibration.
        budget: what one query's ranking may cost. When it ends, windows that were not ranked keep their incoming order
            and the ranking is `partial`.
        prices: of the policy's tokens; they fill `Usage.money`.
        second_look: after the plan, while the budget has room, the head of the list (as long as the plan's last window)
            is ranked once more with its candidates shown in reverse (`reverse`) or in an order that their ids draw
            (`shuffle`); the result is `orders.merged` of both looks, and `Ranking.agreement` says how far they
            agree.
        fusion: how much the coarse stage counts in the result, 0..1 (`orders.fused`).
        gate: where the coarse stage gives its first candidate at least this chance (`Calibration.chances`), nobody
            looks: the coarse order stands and `Ranking.skipped` says why. None always looks.
        calibration: what chances and confidences are read from; the packaged one when None (`vretrver.calibration`).

    Raises:
        InvalidInput: max_tool_turns is below 0, second_look is none, fusion or gate is not in 0..1, or the budget
            bounds money and no prices are given.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        planner: Planner = sliding,
        toolbox: Toolbox | None = None,
        max_tool_turns: int | None = None,
        wire: Wire | None = None,
        no_match_below: float | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
        second_look: SecondLook | None = None,
        fusion: float = 0.0,
        gate: float | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        if max_tool_turns is not None and max_tool_turns < 0:
            raise InvalidInput(f"max_tool_turns is {max_tool_turns}; it must be 0 or more")
        self.policy = policy
        self.rules = Rules(
            planner=planner,
            toolbox=toolbox_for(policy, toolbox),
            max_tool_turns=turns_for(policy, max_tool_turns),
            wire=wire or getattr(policy, "wire", None) or Wire(),
            policy=policy.name,
            no_match_below=no_match_below,
            budget=Budget() if budget is None else budget,
            prices=prices,
            second_look=second_look,
            fusion=fusion,
            gate=gate,
            calibration=packaged() if calibration is None else calibration,
        )
        if prices is None and self.rules.budget.money is not None:
            money = self.rules.budget.money
            raise InvalidInput(f"the budget money={money:g} needs prices; give prompt=..., completion=...")

    def rerank(self, query: Query | str, candidates: Iterable[Item], top_k: int | None = None) -> Ranking:
        """Rank candidates, best first.

        Args:
            candidates: candidates, documents, paths or texts in incoming order (`coarse.as_candidates`).
            top_k: keep this many results; all when None.

        Returns:
            A ranking of all candidates. `score` is 1 / rank: it orders and says nothing more. `confidence` is the
            policy's relevance from the last window that held the candidate, where it gives one, else what the
            calibration reads from place, coarse scores and the order's steadiness. A candidate whose picture cannot be
            read is ranked without it; `repairs` says so.

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
            Reranking(as_query(query), as_candidates(items), self.rules)
            for query, items in zip(queries, candidates, strict=True)
        ]
        while live := [job for job in jobs if job.seats]:
            # No second look begins while another query waits for its first.
            live = [job for job in live if not job.again] or live
            if seats := [seat for job in live for seat in job.affordable(time.perf_counter() - started)]:
                self._step(seats, started)
            for job in live:
                job.advance()
        wall = time.perf_counter() - started
        overhead = wall - sum(trace.usage.seconds for job in jobs for trace in job.traces)
        return [job.ranking(top_k, max(0.0, overhead) / len(jobs)) for job in jobs]

    def _step(self, seats: Sequence[Seat], since: float) -> None:
        """One generation for each live episode of a ranking that began at `since`."""
        started = time.perf_counter()
        try:
            completions = self._complete([self._timed(seat.episode.conversation, started - since) for seat in seats])
        except Exception as fault:  # the one boundary around the policy
            if len(seats) > 1:  # one bad window must not cost the others theirs
                for seat in seats:
                    self._step([seat], since)
            elif isinstance(fault, ImageError | MissingPath) and seats[0].leave_out_damaged():
                pass
            elif self._out_of_time(time.perf_counter() - since):  # it may have given up because of that
                seats[0].episode.exhaust(f"{self.rules.budget.seconds:g} seconds")
            else:
                seats[0].episode.fail(_said(fault))
            return
        seconds = (time.perf_counter() - started) / len(seats)
        for seat, completion in zip(seats, completions, strict=True):
            seat.episode.feed(completion, seconds)

    def _timed(self, conversation: Conversation, elapsed: float) -> Conversation:
        """The conversation with how much of the budget's time is left for it."""
        seconds = self.rules.budget.seconds
        return conversation if seconds is None else replace(conversation, seconds=max(0.0, seconds - elapsed))

    def _out_of_time(self, elapsed: float) -> bool:
        seconds = self.rules.budget.seconds
        return seconds is not None and elapsed >= seconds

    def _complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        return checked(self.policy.complete(conversations), len(conversations), self.policy.name)


def _said(fault: Exception) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())[:500]}"

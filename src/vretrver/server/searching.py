"""The two stages as jobs: coarse searches in large batches, then reranking in small ones, each with its own threads.

A job that is watched (somebody reads its events) runs alone, so that its plan can be followed; the others of one
budget advance together (`Reranker.rerank_many`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, TypeVar

from vretrver.answering import Answer, Writer, names_a_writer
from vretrver.budget import Budget
from vretrver.coarse import coarse_candidates, coarse_ranking
from vretrver.indexes import filters
from vretrver.policies import Policy, load_policy
from vretrver.reranker import Reranker
from vretrver.server.collection import Collection
from vretrver.server.faults import Refused, late
from vretrver.server.jobs import Workers
from vretrver.server.metrics import Metrics
from vretrver.server.progress import Tell, followed
from vretrver.server.settings import Settings
from vretrver.trace import Ranking, Result
from vretrver.types import Candidate, Document, Query

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Find:
    query: Query
    k: int
    where: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    """A ranking to answer from; `since` is when its request began, by `time.monotonic`."""

    ranking: Ranking
    k: int
    budget: Budget
    since: float


@dataclass(frozen=True, slots=True, eq=False)
class _Rank:
    """Candidates in the coarse order, or documents that have none yet; without a budget nobody looks."""

    query: Query
    items: Sequence[Candidate] | Sequence[Document]
    budget: Budget | None
    tell: Tell | None = None


_Models: TypeAlias = Workers[_Rank | _Write, Ranking | Answer]


class Searching:
    """Answers queries for many clients.

    Args:
        collection: what is searched.
        settings: of the server.
        metrics: told of every batch.

    Raises:
        InvalidInput, MissingExtra: the policy or the planner cannot be loaded.
    """

    def __init__(self, collection: Collection, settings: Settings, metrics: Metrics) -> None:
        self._collection, self._settings = collection, settings
        self._reranker, self.writer = _reranker(settings.policy), _writer(settings.answers)
        self.policy = None if self._reranker is None else self._reranker.policy
        # A policy that waits for a server has `at_once`; others work here, and a second thread would gain nothing.
        threads = settings.workers or (4 if hasattr(self.policy, "at_once") else 1)
        sizes = {"waiting": settings.queue, "weight": settings.held_bytes}
        # One thread each: what waits is scored in one pass over the vectors, and a second pass beside it would only
        # compete. Pictures take their time to be seen; texts need not wait for them.
        self._finders, self._viewers = (
            Workers[_Find, list[Candidate]](
                self._find, name, threads=1, batch=64, done=metrics.coarse, **sizes | {"waiting": 1024}
            )
            for name in ("vretrver-find", "vretrver-view")
        )
        self._rankers = _Models(
            self._work, "vretrver-rank", threads=threads, batch=settings.batch, done=metrics.reranked, **sizes
        )
        # A model of this machine may be the one that ranks, and is never asked by two threads.
        self._writers = self._rankers
        if self.writer is not None and hasattr(self.writer.policy, "at_once"):
            threads = settings.workers or 4
            self._writers = _Models(
                self._work, "vretrver-write", threads=threads, batch=1, done=metrics.reranked, **sizes
            )

    def close(self) -> None:
        self._finders.close()
        self._viewers.close()
        self._rankers.close()
        if self._writers is not self._rankers:
            self._writers.close()

    @property
    def waiting(self) -> int:
        """Rerank jobs in the queue, and answers."""
        return len(self._rankers) + (0 if self._writers is self._rankers else len(self._writers))

    def budget(self, wanted: Budget | None) -> Budget:
        """What a request may spend: what it asks for, within what the operator allows.

        Raises:
            InvalidInput: it bounds money and the server knows no prices.
        """
        budget = within(wanted or Budget(), self._settings.budget)
        if self.writer is not None:
            Writer(self.writer.policy, budget=budget, prices=self.writer.prices)
        if self._reranker is None:
            return budget
        rules = self._reranker.rules
        budget = within(budget, rules.budget)
        Reranker(self._reranker.policy, budget=budget, prices=rules.prices)  # refuses now what it would in the queue
        return budget

    async def find(self, query: Query, k: int, where: Mapping[str, Any] | None) -> list[Candidate]:
        """The coarse stage's k best.

        Raises:
            InvalidInput: the filter is not one. Refused: the queue is full, or time is over.
        """
        conditions = None
        if where:
            filters.checked(where)
            conditions = json.dumps(where, sort_keys=True)
        finders = self._viewers if query.images else self._finders
        return await self._answer(finders.submit(_Find(query, k, where), group=conditions, weight=_weight([query])))

    async def rank(
        self,
        query: Query,
        items: Sequence[Candidate] | Sequence[Document],
        budget: Budget | None,
        tell: Tell | None = None,
    ) -> Ranking:
        """A ranking of candidates, or of documents that are in no index.

        Args:
            items: candidates are looked at, all of them. Documents are put into the embedder's order first, and the
                head of that is looked at.
            budget: None for documents that nobody is to look at.
            tell: called from another thread before every round of windows, for candidates.

        Raises:
            Refused: the queue is full, or time is over.
        """
        job = _Rank(query, items, budget if self.policy is not None else None, tell)
        documents = [item.document if isinstance(item, Candidate) else item for item in items]
        ranking = await self._answer(
            self._rankers.submit(
                job,
                group=job.budget if tell is None else object(),
                weight=_weight([query, *documents]),
                seconds=self._settings.seconds,
            )
        )
        assert isinstance(ranking, Ranking)
        return ranking

    async def write(self, ranking: Ranking, k: int, budget: Budget, since: float) -> Answer:
        """An answer to a ranking's query from its first k results.

        Args:
            budget: of the whole request. since: when it began, by `time.monotonic`.

        Raises:
            Refused: the queue is full, time is over, or this server answers no questions.
        """
        if self.writer is None:
            raise refuse_answers()
        shown = [result.document for result in ranking.results[:k]]
        # Alone: what is left of the time is each request's own.
        answer = await self._answer(
            self._writers.submit(
                _Write(ranking, k, budget, since),
                group=object(),
                weight=_weight([ranking.query, *shown]),
                seconds=self._settings.seconds,
            )
        )
        assert isinstance(answer, Answer)
        return answer

    def check_room(self) -> None:
        """Refuse a rerank or a question before its pictures are read, where it could not be queued anyway.

        Raises:
            Refused: the queue is full.
        """
        self._rankers.check_room()
        self._writers.check_room()

    async def _answer(self, future: Future[T]) -> T:
        try:
            async with asyncio.timeout(self._settings.seconds):
                return await asyncio.wrap_future(future)  # cancelled with us, while it waits
        except TimeoutError:
            raise late(self._settings.seconds) from None

    # -- what the threads do ------------------------------------------------------------------------------------

    def _work(self, jobs: Sequence[_Rank | _Write]) -> Sequence[Ranking | Answer]:
        """Jobs of one group are of one kind."""
        writing = [job for job in jobs if isinstance(job, _Write)]
        if writing:
            return [self._write(job) for job in writing]
        return self._rank([job for job in jobs if isinstance(job, _Rank)])

    def _write(self, job: _Write) -> Answer:
        assert self.writer is not None
        writer = copy(self.writer)
        writer.budget = job.budget
        return writer.write([job.ranking], job.k, time.monotonic() - job.since)[0]

    def _find(self, jobs: Sequence[_Find]) -> list[list[Candidate]]:
        retriever = self._collection.edition.retriever
        found = retriever.search([job.query for job in jobs], max(job.k for job in jobs), where=jobs[0].where)
        return [candidates[: job.k] for job, candidates in zip(jobs, found, strict=True)]

    def _rank(self, jobs: Sequence[_Rank]) -> list[Ranking]:
        first = jobs[0]
        found = [self._candidates(job) for job in jobs]
        if self._reranker is None or first.budget is None:
            return [coarse_ranking(job.query, candidates) for job, candidates in zip(jobs, found, strict=True)]
        planner = self._reranker.rules.planner
        if first.tell is not None:
            planner = followed(planner, [candidate.document.id for candidate in found[0]], first.tell)
        reranker = copy(self._reranker)
        reranker.rules = replace(reranker.rules, planner=planner, budget=first.budget)
        heads = [candidates[: self._looked_at(job)] for job, candidates in zip(jobs, found, strict=True)]
        rankings = reranker.rerank_many([job.query for job in jobs], heads)
        return [_with_tail(ranking, candidates) for ranking, candidates in zip(rankings, found, strict=True)]

    def _candidates(self, job: _Rank) -> list[Candidate]:
        known = [item for item in job.items if isinstance(item, Candidate)]
        documents = [item for item in job.items if isinstance(item, Document)]
        return known or coarse_candidates(job.query, documents, self._collection.embedder)

    def _looked_at(self, job: _Rank) -> int:
        return self._settings.top_k if isinstance(job.items[0], Document) else len(job.items)


def _with_tail(ranking: Ranking, candidates: Sequence[Candidate]) -> Ranking:
    """A ranking of the head of a list, and then the rest of the list as it was."""
    head = len(ranking.results)
    # Whoever was not looked at is not likelier than the least likely of those who were.
    least = min((result.confidence for result in ranking.results), default=0.0)
    places = enumerate(candidates[head:], start=head + 1)
    rest = tuple(Result(rank, candidate, 1.0 / rank, least) for rank, candidate in places)
    return replace(ranking, results=ranking.results + rest)


def refuse_policy() -> Refused:
    """What a request hears that asks for an agent where there is none."""
    return Refused(422, "no_policy", "this server runs without an agent; leave out policy, or say false", "policy")


def refuse_answers() -> Refused:
    """What a question hears where nobody answers."""
    return Refused(403, "no_answers", "this server answers no questions; start it with --answers POLICY")


def within(wanted: Budget, most: Budget) -> Budget:
    """The lesser of two budgets, bound by bound."""

    def least(name: str) -> Any:
        given = [value for value in (getattr(wanted, name), getattr(most, name)) if value is not None]
        return min(given, default=None)

    return Budget(**{one.name: least(one.name) for one in fields(Budget)})


def _reranker(given: str | Policy | Reranker) -> Reranker | None:
    if isinstance(given, Reranker):
        return given
    if isinstance(given, str) and given == "none":
        return None
    return Reranker(load_policy(given))


def _writer(given: str | Policy | Writer | None) -> Writer | None:
    if given is None or isinstance(given, Writer):
        return given
    return Writer(load_policy(names_a_writer(given) if isinstance(given, str) else given))


def _weight(items: Sequence[Query | Document]) -> int:
    """Bytes that queries and documents hold."""
    total = 1000 * len(items)
    for item in items:
        images = item.images if isinstance(item, Query) else (item.image,)
        total += sum(len(image.data) for image in images if image is not None and image.data is not None)
        total += len(item.text or "")
    return total

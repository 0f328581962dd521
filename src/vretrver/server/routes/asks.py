"""POST /v1/ask: a question, answered from what the index holds, with checked citations."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request

from vretrver.answering import Answer, for_ranking
from vretrver.coarse import coarse_ranking
from vretrver.server.answers import question_answer
from vretrver.server.openapi import body_of
from vretrver.server.parts import Parts, Server
from vretrver.server.schemas import AskAnswer, AskBody
from vretrver.server.searching import refuse_answers, refuse_policy
from vretrver.trace import Ranking
from vretrver.types import Query

router = APIRouter(tags=["ask"])


@router.post("/v1/ask", openapi_extra=body_of(AskBody), response_model=AskAnswer)
async def ask(request: Request, server: Parts) -> dict[str, Any]:
    """Answer a question from the best results of a search, citing documents, boxes and words.

    A model that fails and a budget that ends are an `error` in the answer, with the ranking kept.
    """
    since = time.monotonic()
    searching = server.searching
    if searching.writer is None:
        raise refuse_answers()
    searching.check_room()
    body, query = await server.reading.question(request)
    if body.policy and searching.policy is None:
        raise refuse_policy()
    budget = searching.budget(None if body.budget is None else body.budget.budget())
    ranking = await _ranked(server, body, query, since)
    answer = await searching.write(ranking, body.k, budget, since)
    return await asyncio.to_thread(_told, server, answer)


async def _ranked(server: Server, body: AskBody, query: Query, since: float) -> Ranking:
    """The sources: as a search would rank them, within what of the budget is not the answer's."""
    searching, settings = server.searching, server.settings
    looks = searching.policy is not None and body.policy is not False
    top_k = max(body.k, body.top_k or settings.top_k)
    candidates = await searching.find(query, max(top_k, settings.top_k), body.where)
    retrieval = time.monotonic() - since
    ranking = coarse_ranking(query, candidates, body.k)
    if looks and candidates:
        whole = searching.budget(None if body.budget is None else body.budget.budget())
        left = for_ranking(whole, body.k, len(query.images))
        ranking = await searching.rank(query, candidates[:top_k], left)
    usage = replace(ranking.usage, seconds=round(ranking.usage.seconds + retrieval, 4))
    return replace(ranking, results=ranking.results[: body.k], usage=usage)


def _told(server: Server, answer: Answer) -> dict[str, Any]:
    """The answer as a client sees it; how its sources were ranked is kept, and all of its cost is counted."""
    server.metrics.spent(replace(answer.ranking, usage=answer.usage))
    kept = server.traces.keep(answer.ranking) if answer.ranking.traces else None
    return question_answer(answer, server.roots, kept)

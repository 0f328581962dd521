"""POST /v1/rerank, as clients of Cohere, Jina and vLLM call it; each of them has its own path for the same."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from vretrver.server.answers import rerank_answer
from vretrver.server.openapi import body_of
from vretrver.server.parts import Parts
from vretrver.server.rerank_schemas import RerankAnswer, RerankBody
from vretrver.trace import Ranking

router = APIRouter(tags=["rerank"])


@router.post("/v2/rerank", include_in_schema=False, response_model=RerankAnswer, response_model_exclude_none=True)
@router.post("/rerank", include_in_schema=False, response_model=RerankAnswer, response_model_exclude_none=True)
@router.post(
    "/v1/rerank",
    openapi_extra=body_of(RerankBody),
    response_model=RerankAnswer,
    response_model_exclude_none=True,
)
async def rerank(request: Request, server: Parts) -> dict[str, Any]:
    """Rank documents that come with the request: texts, pictures, or both."""
    server.searching.check_room()
    body, query, documents = await server.reading.rerank(request)
    budget = server.searching.budget(None if body.budget is None else body.budget.budget())
    ranking = await server.searching.rank(query, documents, budget) if documents else Ranking(query, ())
    policy = server.searching.policy
    return rerank_answer(ranking, body, server.keep(ranking), "none" if policy is None else policy.name)

"""POST /v1/search, at once or as events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from vretrver.coarse import coarse_ranking
from vretrver.server.answers import search_answer
from vretrver.server.faults import refused
from vretrver.server.openapi import EVENT, SEARCH_REQUEST
from vretrver.server.parts import Parts, Server
from vretrver.server.progress import Progress
from vretrver.server.reading import Asked
from vretrver.server.schemas import SearchAnswer
from vretrver.server.searching import refuse_policy
from vretrver.trace import Ranking
from vretrver.types import Candidate

router = APIRouter(tags=["search"])
_QUIET = 15.0  # seconds after which a line shows that the stream lives
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events: `coarse` (a ranking nobody looked at), then `progress` before every round of windows, "
        "then `ranking` (as POST /v1/search answers); or `error`. With `fold`, `alike` comes once. Each holds one "
        "JSON object.",
        "content": {"text/event-stream": {"schema": EVENT}},
    }
}


@router.post("/v1/search", openapi_extra=SEARCH_REQUEST, response_model=SearchAnswer)
async def search(request: Request, server: Parts) -> dict[str, Any]:
    """Search with text, pictures, or both: the best documents, with what the agent saw."""
    asked = await server.reading.search(request)
    plan = _Plan(server, asked)
    candidates = await plan.find()
    ranking = await plan.rank(candidates)
    return await plan.answer(ranking)


@router.post("/v1/search/stream", openapi_extra=SEARCH_REQUEST, responses=_EVENTS, response_class=StreamingResponse)
async def stream(request: Request, server: Parts) -> StreamingResponse:
    """The same as server-sent events: coarse results at once, then how they move."""
    plan = _Plan(server, await server.reading.search(request))
    candidates = await plan.find()  # what goes wrong up to here is an answer with a status
    return StreamingResponse(_events(plan, candidates), media_type="text/event-stream")


class _Plan:
    """One search: what it asks for, within what the server allows."""

    def __init__(self, server: Server, asked: Asked) -> None:
        body = asked.body
        self._server, self._query, self._where, self.k = server, asked.query, body.where, body.k
        if body.policy and server.searching.policy is None:
            raise refuse_policy()
        self.looks = server.searching.policy is not None and body.policy is not False
        self._top_k = max(body.k, body.top_k or server.settings.top_k) if self.looks else body.k
        self._fold, self._retrieval = body.fold, 0.0
        self._budget = server.searching.budget(None if body.budget is None else body.budget.budget())

    async def find(self) -> list[Candidate]:
        started = time.perf_counter()
        # Confidences and a gate read the same candidates whether somebody looks or not.
        candidates = await self._server.searching.find(
            self._query, max(self._top_k, self._server.settings.top_k), self._where
        )
        self._retrieval = time.perf_counter() - started
        return candidates

    def coarse(self, candidates: list[Candidate]) -> Ranking:
        return coarse_ranking(self._query, candidates, self.k)

    def prefetch(self, candidates: list[Candidate]) -> None:
        shown = [candidate.document for candidate in candidates[: self.k]]
        names = [document.id for document in shown if document.image is not None]
        if names:
            edition = self._server.collection.edition
            asyncio.get_running_loop().run_in_executor(None, edition.keep_thumbnails, names)

    def progress(self, progress: Progress) -> bytes:
        return _event(
            "progress",
            {
                "windows": progress.windows,
                "asked": progress.asked,
                "order": list(progress.order[: self.k]),
                "looking": [list(window) for window in progress.looking],
            },
        )

    async def rank(self, candidates: list[Candidate], tell: Any = None) -> Ranking:
        if not self.looks or not candidates:
            return self.coarse(candidates)
        return await self._server.searching.rank(self._query, candidates[: self._top_k], self._budget, tell)

    async def alike(self, ranking: Ranking) -> dict[str, str] | None:
        """Which results look like a better one, where the request asks."""
        if not self._fold:
            return None
        shown = [result.document for result in ranking.results[: self.k]]
        names = [document.id for document in shown if document.image is not None]
        return await asyncio.to_thread(self._server.collection.edition.alike, names)

    async def answer(self, ranking: Ranking) -> dict[str, Any]:
        alike = await self.alike(ranking)
        # Pictures that were looked at are asked for their size.
        return await asyncio.to_thread(self._answer, ranking, alike) if ranking.traces else self._answer(ranking, alike)

    def first_answer(self, ranking: Ranking) -> dict[str, Any]:
        """The answer that waits for nothing: who looks like whom comes later."""
        return self._answer(ranking, None)

    def _answer(self, ranking: Ranking, alike: dict[str, str] | None) -> dict[str, Any]:
        usage = replace(ranking.usage, seconds=round(ranking.usage.seconds + self._retrieval, 4))
        shown = replace(ranking, results=ranking.results[: self.k], usage=usage)
        kept = self._server.keep(shown) if shown.traces else None
        return search_answer(shown, self._server.roots, kept, alike)


async def _events(plan: _Plan, candidates: list[Candidate]) -> AsyncIterator[bytes]:
    coarse = plan.coarse(candidates)
    yield _event("coarse", plan.first_answer(coarse))
    plan.prefetch(candidates)  # who reads events has a page, and a page asks for pictures next
    loop, told = asyncio.get_running_loop(), asyncio.Queue[bytes]()
    ranking = asyncio.ensure_future(
        plan.rank(candidates, lambda progress: loop.call_soon_threadsafe(told.put_nowait, plan.progress(progress)))
    )
    folding = asyncio.ensure_future(_tell_alike(plan, coarse, told))
    try:
        while not (ranking.done() and told.empty()):
            coming = asyncio.ensure_future(told.get())
            try:
                await asyncio.wait({coming, ranking}, timeout=_QUIET, return_when=asyncio.FIRST_COMPLETED)
            finally:
                heard = coming.done()
                coming.cancel()
            if heard:
                yield coming.result()
            elif not ranking.done():
                yield b": working\n\n"
        await folding
        while not told.empty():
            yield told.get_nowait()
        yield _event("ranking", await plan.answer(ranking.result()))
    except Exception as fault:
        said = refused(fault)
        yield _event("error", {"error": {"code": said.code, "message": said.message, "param": said.param}})
    finally:
        ranking.cancel()  # the client has left: what waits is dropped
        folding.cancel()


async def _tell_alike(plan: _Plan, coarse: Ranking, told: asyncio.Queue[bytes]) -> None:
    alike = await plan.alike(coarse)
    if alike is not None:
        told.put_nowait(_event("alike", {"alike": alike}))


def _event(kind: str, data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=True, separators=(',', ':'))}\n\n".encode()

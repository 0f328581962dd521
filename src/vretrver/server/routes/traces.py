"""What the agent did: a ranking's trace as JSON, and as the page that shows every look."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from vretrver.server.openapi import OBJECT
from vretrver.server.parts import Parts
from vretrver.server.traces import record_of
from vretrver.viewer.page import page

router = APIRouter(tags=["traces"])


@router.get("/v1/traces/{id}", responses=OBJECT)
async def trace(
    id: str, server: Parts, pictures: Annotated[bool, Query(description="With thumbnails of all it saw.")] = False
) -> dict[str, Any]:
    """Everything about a ranking: prompts, turns, looks, orders. A line of a trace file."""
    return await asyncio.to_thread(record_of, server.traces[id], server.roots, pictures)


@router.get("/traces/{id}", include_in_schema=False)
async def trace_page(id: str, server: Parts) -> Response:
    """The same as a page."""
    ranking, roots = server.traces[id], server.roots
    text = await asyncio.to_thread(lambda: page([record_of(ranking, roots, pictures=True)], f"trace {id}"))
    policy = "frame-ancestors 'none'"  # the page brings the rest of its own
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})

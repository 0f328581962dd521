"""What the index holds, folders that are indexed on request, and a browser's session."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from vretrver.server.auth import COOKIE, cookie_for
from vretrver.server.faults import Refused
from vretrver.server.parts import Parts
from vretrver.server.schemas import CollectionAnswer, UpdateAnswer, UpdateBody, UpdatesAnswer

router = APIRouter(tags=["collection"])


@router.get("/v1/collection", response_model=CollectionAnswer)
async def collection(server: Parts) -> dict[str, Any]:
    """How many documents there are, what they can be filtered by, and what the server allows."""
    edition, settings, policy = server.collection.edition, server.settings, server.searching.policy
    fields = await asyncio.to_thread(lambda: edition.fields)
    return {
        "documents": len(edition.rows),
        "policy": None if policy is None else policy.name,
        "answers": None if server.searching.writer is None else server.searching.writer.policy.name,
        "top_k": settings.top_k,
        "writable": settings.writable,
        "unread": server.words.left,
        "folders": server.updates.names if settings.writable else [],
        "images": settings.images,
        "image_bytes": settings.image_bytes,
        "body_bytes": settings.body_bytes,
        "fields": fields,
    }


@router.post("/v1/updates", status_code=202, response_model=UpdateAnswer)
async def start(body: UpdateBody, server: Parts) -> dict[str, Any]:
    """Index a folder that the operator allowed: what is new or changed is added, what is gone is deleted."""
    if not server.settings.writable:
        raise Refused(403, "read_only", "this server only reads; start it without --read-only to index folders")
    return server.updates.start(body.folder)


@router.get("/v1/updates", response_model=UpdatesAnswer)
async def updates(server: Parts) -> dict[str, Any]:
    """The latest runs over folders, the newest first."""
    return {"updates": server.updates.latest()}


@router.get("/v1/updates/{id}", response_model=UpdateAnswer)
async def update(id: str, server: Parts) -> dict[str, Any]:
    """How far a run over a folder is."""
    return server.updates[id]


@router.post("/v1/session", status_code=204, include_in_schema=False)
async def session(request: Request, server: Parts) -> Response:
    """Let this browser in from now on, whose pictures cannot send a token; the request itself must bring it."""
    response = Response(status_code=204)
    if server.settings.token is not None:
        response.set_cookie(
            COOKIE,
            cookie_for(server.settings.token),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return response

"""Documents: adding, deleting, and their pictures. Only pictures of the index are ever opened."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath

from vretrver.errors import ImageError, MissingPath
from vretrver.listing.texts import MAX_ID
from vretrver.server.collection import gone, thumbnail_of
from vretrver.server.faults import Refused
from vretrver.server.openapi import DOCUMENTS_REQUEST, JPEG
from vretrver.server.parts import Parts, Server
from vretrver.server.schemas import DocumentsAdded, DocumentsDeleted, Id
from vretrver.types import Box

router = APIRouter(tags=["documents"])
Name = Annotated[str, InPath(description="The document's id; slashes in it as %2F.", min_length=1, max_length=MAX_ID)]
_BOX = r"^[0-9]{1,6}(,[0-9]{1,6}){3}$"
_KEPT = {"Cache-Control": "private, max-age=60"}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": JPEG, "description": "A JPEG."}}


@router.post("/v1/documents", openapi_extra=DOCUMENTS_REQUEST, response_model=DocumentsAdded)
async def add(request: Request, server: Parts) -> dict[str, Any]:
    """Add documents, or replace those added before; they are on disk and found when this answers."""
    _check_writable(server)
    documents = await server.reading.documents(request)
    added = await asyncio.to_thread(server.uploads.add, documents)
    server.words.wake()
    skipped = [{"document": where, "reason": why} for where, why in added.skipped]
    return {"ids": added.ids, "skipped": skipped, "documents": len(server.collection.edition.rows)}


@router.delete("/v1/documents", response_model=DocumentsDeleted)
async def delete(
    server: Parts, id: Annotated[list[Id], Query(min_length=1, max_length=100, description="Ids to delete.")]
) -> dict[str, Any]:
    """Delete documents by id. One that came from a folder comes back when that folder is indexed again."""
    _check_writable(server)
    deleted, missing = await asyncio.to_thread(server.uploads.delete, id)
    return {"deleted": deleted, "missing": missing, "documents": len(server.collection.edition.rows)}


@router.get("/v1/documents/{id:path}/thumbnail", response_class=Response, responses=_JPEG)
async def thumbnail(id: Name, server: Parts) -> Response:
    """A small picture of a document: JPEG, longer side at most 256 pixels."""
    data = await asyncio.to_thread(thumbnail_of, server.collection.edition, id)
    return Response(data, media_type="image/jpeg", headers=_KEPT)


@router.get("/v1/documents/{id:path}/image", response_class=Response, responses=_JPEG)
async def image(
    id: Name,
    server: Parts,
    side: Annotated[int | None, Query(ge=16, le=16384, description="Longest side in pixels; never enlarges.")] = None,
    box: Annotated[
        str | None, Query(pattern=_BOX, description="Only this part: x0,y0,x1,y1 in pixels of the original.")
    ] = None,
) -> Response:
    """The whole picture as JPEG, without what its file says of camera and place."""
    data = await asyncio.to_thread(_picture, server, id, side, None if box is None else _box(box))
    return Response(data, media_type="image/jpeg", headers=_KEPT)


def _box(text: str) -> Box:
    x0, y0, x1, y1 = map(int, text.split(","))
    return (x0, y0, x1, y1)


def _picture(server: Server, name: str, side: int | None, box: Box | None) -> bytes:
    from vretrver.images import encode_jpeg, fit_within, open_image

    document = server.collection.edition.document(name)
    if document.image is None:
        raise Refused(404, "no_picture", f"document {name[:100]!r} has no picture", "id")
    try:
        picture = open_image(document.image, near=side if box is None else None)
    except (MissingPath, ImageError):
        raise gone(name) from None
    if box is not None:
        x0, y0, x1, y1 = box
        if not (x0 < x1 <= picture.width and y0 < y1 <= picture.height):
            size = f"{picture.width}x{picture.height}"
            raise Refused(422, "bad_box", f"box {box} does not lie inside the picture, which is {size} pixels", "box")
        picture = picture.crop(box)
    return encode_jpeg(picture if side is None else fit_within(picture, side), quality=90)


def _check_writable(server: Server) -> None:
    if not server.settings.writable:
        raise Refused(403, "read_only", "this server only reads; start it without --read-only to change documents")
    running = server.updates.running
    if running is not None:
        message = f"the folder {running.folder!r} is being indexed; try again when that is done"
        raise Refused(503, "updating", message, headers={"Retry-After": "10"})

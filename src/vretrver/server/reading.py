"""Requests to queries and documents: JSON and forms are read here, within their bounds, and become library values."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from vretrver.server.faults import Refused, validated
from vretrver.server.fetching import Fetch
from vretrver.server.images import Source, read_pictures
from vretrver.server.rerank_schemas import (
    Asking,
    ContentItem,
    ImageItem,
    ImageUrlPart,
    Item,
    RerankBody,
    TextItem,
    TextQuery,
)
from vretrver.server.schemas import WORDS, AskBody, DocumentsBody, SearchBody
from vretrver.server.settings import Settings
from vretrver.types import Document, ImageRef, Query

_FORM = "multipart/form-data"
_MOST_BRACKETS = 200_000
_MOST_COMMAS = 5_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as it came: its options, and the query they belong to."""

    body: SearchBody
    query: Query


class Reading:
    """Reads requests of one server.

    Every method raises `Refused` for what is not as the schemas say, and for a bad picture.
    """

    def __init__(self, settings: Settings, fetch: Fetch) -> None:
        self._settings, self._fetch = settings, fetch

    async def search(self, request: Request) -> Asked:
        """A search from JSON or from a form with files."""
        if _kind(request) == _FORM:
            fields, files = await self._form(request)
            body: SearchBody = validated(SearchBody, fields)
            sources = [Source(data, f"images.{at}") for at, (_name, data) in enumerate(files)]
        else:
            body, sources = validated(SearchBody, await _json(request)), []
        sources += [Source(image, f"images.{at}") for at, image in enumerate(body.images)]
        images = await self._pictures(sources)
        text = body.text if re.search(WORDS, body.text or "") else None  # controls alone say nothing
        return Asked(body, Query(text, tuple(images), (body.instruction or "").strip() or None))

    async def question(self, request: Request) -> tuple[AskBody, Query]:
        """A question from JSON."""
        body: AskBody = validated(AskBody, await _json(request))
        images = await self._pictures([Source(image, f"images.{at}") for at, image in enumerate(body.images)])
        return body, Query(body.text, tuple(images))

    async def rerank(self, request: Request) -> tuple[RerankBody, Query, list[Document]]:
        """A rerank's query and documents; a document's id is its place in the request."""
        body: RerankBody = validated(RerankBody, await _json(request))
        given = body.documents
        items: Sequence[Item] = given if isinstance(given, list) else [ContentItem(content=[p]) for p in given.content]
        if len(items) > self._settings.documents:
            raise Refused(
                413,
                "too_many_documents",
                f"{len(items)} documents came; at most {self._settings.documents} are allowed",
                "documents",
            )
        texts, sources, owners = list[str](), list[Source](), list[int]()
        for at, item in enumerate([body.query, *items]):
            name = "query" if at == 0 else f"documents.{at - 1}"
            text, images = _parts(item)
            if at > 0 and len(images) > 1:
                raise Refused(
                    422, "invalid_request", f"{name} has {len(images)} pictures; a document has at most one", name
                )
            texts.append(text)
            sources += [Source(image, name) for image in images]
            owners += [at] * len(images)
        pictures: list[list[ImageRef]] = [[] for _ in texts]
        for owner, picture in zip(owners, await self._pictures(sources), strict=True):
            pictures[owner].append(picture)
        query = Query(texts[0], tuple(pictures[0]))
        pairs = zip(texts[1:], pictures[1:], strict=True)
        # A document without a word still has its place in the answer.
        return (
            body,
            query,
            [
                Document(str(at), text.strip() or (None if held else "-"), held[0] if held else None)
                for at, (text, held) in enumerate(pairs)
            ],
        )

    async def documents(self, request: Request) -> list[Document]:
        """Documents to add, from JSON, or from a form's files: each is one, and its name is its id."""
        if _kind(request) == _FORM:
            fields, files = await self._form(request)
            if fields:
                raise Refused(422, "invalid_request", f"a form of documents has files alone; got {sorted(fields)[0]!r}")
            files = [(name or hashlib.sha256(data).hexdigest()[:16], data) for name, data in files]
            validated(DocumentsBody, {"documents": [{"id": name} for name, _data in files]})
            sources = [Source(data, f"images.{at}") for at, (_name, data) in enumerate(files)]
            pictures = await self._pictures(sources)
            named = zip(files, pictures, strict=True)
            return _distinct([Document(name, image=picture) for (name, _data), picture in named])
        body: DocumentsBody = validated(DocumentsBody, await _json(request))
        for at, new in enumerate(body.documents):
            param = f"documents.{at}"
            if new.text is None and new.image is None:
                raise Refused(422, "invalid_request", f"{param} has neither text nor image; give one of them", param)
        sources = [
            Source(new.image, f"documents.{at}.image") for at, new in enumerate(body.documents) if new.image is not None
        ]
        images = iter(await self._pictures(sources))
        return _distinct(
            [
                Document(new.id, new.text, None if new.image is None else next(images), metadata=new.metadata)
                for new in body.documents
            ]
        )

    async def _pictures(self, sources: list[Source]) -> list[ImageRef]:
        if not sources:
            return []
        return await asyncio.to_thread(read_pictures, sources, self._settings, self._fetch)

    async def _form(self, request: Request) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
        """A form's fields as JSON would have them, and its files by name."""
        fields: dict[str, Any] = {}
        files: list[tuple[str, bytes]] = []
        try:
            form = await request.form(max_files=self._settings.images, max_fields=32, max_part_size=1 << 20)
        except HTTPException as fault:
            raise Refused(400, "bad_form", f"the form does not parse: {fault.detail}") from None
        async with _closing(form):
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name != "images":
                        raise Refused(
                            422,
                            "invalid_request",
                            f"the file {name[:40]!r}: pictures come as 'images'",
                            name[:40],
                        )
                    files.append((value.filename or "", await value.read()))
                elif name == "images":  # a picture whose part has no file name; undecodable text comes as Latin-1
                    files.append(("", value.encode("latin-1", "replace")))
                elif name in fields:
                    raise Refused(422, "invalid_request", f"the field {name[:40]!r} comes twice", name[:40])
                elif value != "" or name not in ("text", "instruction"):  # a form sends what is left blank
                    fields[name] = value if name in ("text", "instruction") else _field(value)
        return fields, files


class _closing:  # noqa: N801  # as contextlib spells it
    """A form whose files are closed at the end."""

    def __init__(self, form: Any) -> None:
        self._form = form

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_fault: object) -> None:
        await self._form.close()


def _distinct(documents: list[Document]) -> list[Document]:
    seen: set[str] = set()
    for at, document in enumerate(documents):
        if document.id in seen:
            name = f"documents.{at}.id"
            raise Refused(409, "id_taken", f"{name}: {document.id[:100]!r} comes twice; ids are unique", name)
        seen.add(document.id)
    return documents


def _field(value: str) -> Any:
    """A form's field: JSON where it is, else the text itself. A form leaves out what it does not say, so no null."""
    try:
        read = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value
    return value if read is None else read


async def _json(request: Request) -> Any:
    if _kind(request) != "application/json":
        raise Refused(
            415, "unsupported_type", f"the body is {_kind(request)[:60] or 'of no type'!r}; send application/json"
        )
    body = await request.body()
    # Parsed, an empty list takes thirty times its text; pictures, which are long, hold none of these signs.
    if body.count(b"[") + body.count(b"{") > _MOST_BRACKETS or body.count(b",") > _MOST_COMMAS:
        raise Refused(413, "too_large", f"the body has more than {_MOST_BRACKETS} lists and objects; send fewer")
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise Refused(400, "bad_json", f"the body is not JSON: {str(fault)[:200]}") from None


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parts(item: Asking | Item) -> tuple[str, list[str]]:
    """A rerank item's text and pictures."""
    match item:
        case str():
            return item, []
        case TextItem() | TextQuery():
            return item.text, [] if item.image is None else [item.image]
        case ImageItem():
            return "", [item.image]
    texts = [part.text for part in item.content if not isinstance(part, ImageUrlPart)]
    return "\n".join(texts), [part.image_url.url for part in item.content if isinstance(part, ImageUrlPart)]

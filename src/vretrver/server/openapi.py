"""The OpenAPI document, where FastAPI cannot read it off the code: bodies that are read by hand, and common faults."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vretrver import __version__
from vretrver.server.rerank_schemas import RerankBody
from vretrver.server.schemas import WORDS, AskBody, DocumentsBody, FaultAnswer, SearchBody

_TEMPLATE = "#/components/schemas/{model}"
JPEG = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
OBJECT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "A JSON object."}
}
EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["coarse", "alike", "progress", "ranking", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
FAULTS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": FaultAnswer, "description": "The request is refused; the body says why and what to do."},
    "5XX": {"model": FaultAnswer, "description": "Nothing wrong with the request; 503 says when to come back."},
}
_TYPES = "image/jpeg, image/png, image/webp, image/gif, image/tiff, image/bmp"
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}


def body_of(model: type[BaseModel], form: dict[str, Any] | None = None) -> dict[str, Any]:
    """A route's `openapi_extra` for a body that the route reads itself."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": _TEMPLATE.format(model=model.__name__)}}}
    if form is not None:
        content["multipart/form-data"] = {"schema": form, "encoding": {"images": {"contentType": _TYPES}}}
    return {"requestBody": {"required": True, "content": content}}


_SEARCH_FORM = {
    "type": "object",
    "description": "Fields as in the JSON body; `where` and `budget` are JSON.",
    "properties": {
        "text": {"type": "string", "pattern": WORDS, "maxLength": 20000},
        "images": _FILES | {"minItems": 1, "maxItems": 8},
        "k": {"type": "integer", "minimum": 1, "maximum": 200},
        "policy": {"type": "boolean"},
        "fold": {"type": "boolean"},
    },
    "anyOf": [{"required": ["text"]}, {"required": ["images"]}],
    "additionalProperties": False,
}
SEARCH_REQUEST = body_of(SearchBody, _SEARCH_FORM)
DOCUMENTS_REQUEST = body_of(
    DocumentsBody,
    {
        "type": "object",
        "description": "Each file is a document, and its name is its id.",
        "properties": {"images": _FILES | {"minItems": 1, "maxItems": 64}},
        "required": ["images"],
        "additionalProperties": False,
    },
)


def install(app: FastAPI, guarded: bool) -> None:
    """Let the app describe itself whole.

    Args:
        guarded: whether it asks for a token.
    """

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title="vretrver", version=__version__, description=app.description, routes=app.routes
            )
            models = [(model, "validation") for model in (SearchBody, AskBody, RerankBody, DocumentsBody)]
            _names, more = models_json_schema(models, ref_template=_TEMPLATE)  # type: ignore[arg-type]
            document["components"]["schemas"].update(more["$defs"])
            if guarded:
                document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"token": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]

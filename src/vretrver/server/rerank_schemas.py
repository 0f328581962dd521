"""What a rerank looks like, as clients of Cohere, Jina and vLLM send it and read its answer.

Lenient where `schemas` is strict: those clients send fields that mean nothing here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from vretrver.server.schemas import Image, Said, Spend, Text, whole


class Lenient(BaseModel):
    """Fields nobody knows are passed over; those that are known have their types."""

    model_config = ConfigDict(strict=True)


class TextPart(Lenient):
    type: Literal["text"]
    text: Text


class SaidPart(Lenient):
    type: Literal["text"]
    text: Said


class ImageUrl(Lenient):
    url: Image


class ImageUrlPart(Lenient):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImageUrlPart, Field(discriminator="type")]
_ONE_PICTURE: JsonDict = {
    "contains": {"properties": {"type": {"const": "image_url"}}, "required": ["type"]},
    "minContains": 0,
    "maxContains": 1,
}


class ContentItem(Lenient):
    """A text, a picture, or both, as vLLM takes it."""

    content: list[Part] = Field(min_length=1, max_length=16, json_schema_extra=_ONE_PICTURE)


class ContentList(Lenient):
    """Documents as older vLLM takes them: each part is one."""

    content: list[Part] = Field(max_length=1000)


class ContentQuery(Lenient):
    """The same where there must be something."""

    content: list[Annotated[SaidPart | ImageUrlPart, Field(discriminator="type")]] = Field(min_length=1, max_length=16)


class TextItem(Lenient):
    """A text, perhaps with a picture, as Cohere and Jina take it."""

    text: Text
    image: Image | None = None


class TextQuery(Lenient):
    """The same where there must be something."""

    text: Said
    image: Image | None = None


class ImageItem(Lenient):
    """A picture, as Jina takes it."""

    image: Image


Asking = Said | ContentQuery | TextQuery | ImageItem
Item = Text | ContentItem | TextItem | ImageItem


class RerankBody(Lenient):
    """A rerank as Cohere, Jina and vLLM spell it; fields that mean nothing here are passed over."""

    query: Asking
    documents: list[Item] | ContentList
    model: str | None = Field(None, description="Any name; it comes back. This server has one model.")
    top_n: Annotated[int, Field(ge=1, le=10**9), BeforeValidator(whole)] | None = None
    return_documents: bool | None = None
    budget: Spend | None = Field(None, description="Only here: what the request may cost.")


class Ranked(BaseModel):
    index: int
    relevance_score: float = Field(description="0..1, falls strictly with the rank.")
    document: dict[str, Any] | None = None


class RerankAnswer(BaseModel):
    """The answer of Cohere, Jina and vLLM at once."""

    id: str
    model: str
    usage: dict[str, int]
    meta: dict[str, Any]
    results: list[Ranked]

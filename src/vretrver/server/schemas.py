"""What requests and answers look like; the OpenAPI document is made of it.

Searches are strict: an unknown field is an error. Reranks are lenient, because clients of other servers send fields
that mean nothing here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from typing_extensions import TypedDict

from vretrver.budget import Budget
from vretrver.listing.table import ID, PATH
from vretrver.listing.texts import MAX_CAPTION, MAX_ID, TEXT

RESERVED = (*ID, *PATH, *TEXT)
"""Names that a listing reads as something else than metadata."""

Text = Annotated[str, StringConstraints(max_length=MAX_CAPTION)]
Said = Annotated[str, StringConstraints(max_length=MAX_CAPTION, pattern=r"\S")]
Image = Annotated[
    str,
    Field(
        description="A picture: base64 of its bytes, or a data URL. A URL only of hosts that the operator named.",
        json_schema_extra={"format": "image"},
    ),
]
Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=r"^[^\x00]+$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Scalar = str | bool | int | Number | None
# JSON Schema knows no name "=" of a field in a class body.
Condition = TypedDict(
    "Condition",
    {
        "=": Scalar,
        "!=": Scalar,
        "<": Scalar,
        "<=": Scalar,
        ">": Scalar,
        ">=": Scalar,
        "in": list[Scalar],
        "contains": Scalar,
    },
    total=False,
)
Condition.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
Where = Annotated[
    dict[str, Scalar | list[Scalar] | Condition],
    Field(
        max_length=4,
        description='Keep documents with this metadata: {"colour": "red", "year": {">=": 2020}, "shop": ["a", "b"]}.',
    ),
]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Spend(Strict):
    """What the request may cost; what is left out is bounded by the operator alone."""

    seconds: float | None = Field(None, ge=0, le=3600, allow_inf_nan=False)
    calls: int | None = Field(None, ge=0, le=10**9)
    tokens: int | None = Field(None, ge=0, le=10**9)
    images: int | None = Field(None, ge=0, le=10**9)
    money: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False, description="Needs a server with prices.")

    def budget(self) -> Budget:
        return Budget(**self.model_dump())


class SearchBody(Strict):
    """A query of text, pictures, or both."""

    text: Text | None = None
    images: list[Image] = Field(default=[], max_length=8)
    instruction: Text | None = Field(None, description="What kind of match is wanted.")
    k: int = Field(10, ge=1, le=200, description="How many results.")
    top_k: int | None = Field(None, ge=1, le=200, description="How many candidates the agent looks at.")
    where: Where | None = None
    policy: bool | None = Field(None, description="Whether the agent looks; the server's habit when left out.")
    budget: Spend | None = None


class Evidence(BaseModel):
    """One look at one picture."""

    image: str
    box: list[int] | None = Field(description="x0, y0, x1, y1 in pixels of the original; null for all of it.")
    tool: str
    note: str


class Found(BaseModel):
    """One result."""

    rank: int
    id: str
    score: float
    confidence: float
    coarse_rank: int
    path: str | None = Field(description="Where the picture is below the folder that was indexed.")
    text: str | None
    metadata: dict[str, Any]
    evidence: list[Evidence]
    thumbnail: str | None = Field(description="URL of a JPEG, longer side at most 256 pixels.")
    image: str | None = Field(description="URL of the whole picture as JPEG.")


class SearchAnswer(BaseModel):
    """A ranking, as `Ranking.to_json` gives it, with URLs of its pictures and of its trace."""

    model_config = ConfigDict(extra="allow")

    query: dict[str, Any]
    results: list[Found]
    no_match: bool
    usage: dict[str, Any]
    partial: bool
    trace: str | None = Field(description="URL of what the agent did; null when nobody looked.")


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ImageUrl(BaseModel):
    url: Image


class ImageUrlPart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImageUrlPart, Field(discriminator="type")]


class ContentItem(BaseModel):
    """A text, a picture, or both, as vLLM takes it."""

    content: list[Part] = Field(min_length=1, max_length=16)


class TextItem(BaseModel):
    """A text, perhaps with a picture, as Cohere and Jina take it."""

    text: Text
    image: Image | None = None


class ImageItem(BaseModel):
    """A picture, as Jina takes it."""

    image: Image


Item = Text | ContentItem | TextItem | ImageItem


class RerankBody(BaseModel):
    """A rerank as Cohere, Jina and vLLM spell it; fields that mean nothing here are passed over."""

    query: Item
    documents: list[Item] | ContentItem = Field(
        description="What is ranked. With `content` alone, as older vLLM takes it, each part is a document."
    )
    model: str | None = Field(None, description="Any name; it comes back. This server has one model.")
    top_n: int | None = Field(None, ge=1, le=10**9)
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


class NewDocument(Strict):
    """A document to add: text, a picture, or both."""

    id: Id
    text: Said | None = None
    image: Image | None = None
    metadata: dict[Id, str | bool | int | Number] = Field(
        default={}, max_length=64, json_schema_extra={"propertyNames": {"not": {"enum": list(RESERVED)}}}
    )

    @field_validator("metadata")
    @classmethod
    def _no_reserved(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(set(metadata) & set(RESERVED)):
            raise ValueError(f"metadata cannot be named {taken[0]!r}: listings read that as text, picture or id")
        return metadata


class DocumentsBody(Strict):
    documents: list[NewDocument] = Field(min_length=1, max_length=64)


class DocumentsAdded(BaseModel):
    ids: list[str] = Field(description="In the index now, and found by the next search.")
    skipped: list[dict[str, str]] = Field(description="What could not be indexed, and why.")
    documents: int = Field(description="How many the index holds.")


class DocumentsDeleted(BaseModel):
    deleted: list[str]
    missing: list[str]
    documents: int = Field(description="How many the index holds.")


class Health(BaseModel):
    status: Literal["ok"]
    documents: int
    version: str


class Fault(BaseModel):
    code: str = Field(description="The kind of fault, for programs.")
    message: str = Field(description="What came, what is allowed, what to do.")
    param: str | None = Field(description="The part of the request that is meant.")


class FaultAnswer(BaseModel):
    error: Fault

"""What requests and answers look like; the OpenAPI document is made of it.

An unknown field is an error. What clients of other servers send is `rerank_schemas`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator
from pydantic.config import JsonDict
from typing_extensions import TypedDict

from vretrver.budget import Budget
from vretrver.listing.table import ID, PATH
from vretrver.listing.texts import MAX_CAPTION, MAX_ID, TEXT, unusable

RESERVED = (*ID, *PATH, *TEXT)
"""Names that a listing reads as something else than metadata."""

WORDS = r"[^\s\x00-\x20\x7f-\xa0]"
"""A pattern that every engine reads alike: something that is neither blank nor control."""


def whole(value: Any) -> Any:
    """5.0 is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(whole)]
Few = Annotated[int, Field(ge=1, le=200), BeforeValidator(whole)]
Text = Annotated[str, StringConstraints(max_length=MAX_CAPTION)]
Said = Annotated[str, StringConstraints(max_length=MAX_CAPTION, pattern=WORDS)]
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
Condition.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
Where = Annotated[
    dict[str, Scalar | list[Scalar] | Condition],
    Field(
        max_length=4,
        description='Keep documents with this metadata: {"colour": "red", "year": {">=": 2020}, "shop": ["a", "b"]}.',
    ),
]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Spend(Strict):
    """What the request may cost; what is left out is bounded by the operator alone."""

    seconds: float | None = Field(None, ge=0, le=3600, allow_inf_nan=False)
    calls: Count | None = None
    tokens: Count | None = None
    images: Count | None = None
    money: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False, description="Needs a server with prices.")

    def budget(self) -> Budget:
        return Budget(**self.model_dump())


_TEXT_OR_IMAGES: JsonDict = {
    "anyOf": [
        {"required": ["text"], "properties": {"text": {"type": "string", "pattern": WORDS}}},
        {"required": ["images"], "properties": {"images": {"minItems": 1}}},
    ]
}


class SearchBody(Strict):
    """A query of text, pictures, or both."""

    model_config = ConfigDict(json_schema_extra=_TEXT_OR_IMAGES)

    text: Text | None = None
    images: list[Image] = Field(default=[], max_length=8)
    instruction: Text | None = Field(None, description="What kind of match is wanted.")
    k: Few = Field(10, description="How many results.")
    top_k: Few | None = Field(None, description="How many candidates the agent looks at.")
    where: Where | None = None
    policy: bool | None = Field(None, description="Whether the agent looks; the server's habit when left out.")
    budget: Spend | None = None
    fold: bool = Field(False, description="Whether to say which results look like a better one.")


class AskBody(Strict):
    """A question, with or without pictures."""

    text: Said = Field(description="The question.")
    images: list[Image] = Field(default=[], max_length=8)
    k: Annotated[int, Field(ge=1, le=20), BeforeValidator(whole)] = Field(
        5, description="How many sources the model is given."
    )
    top_k: Few | None = Field(None, description="How many candidates the agent looks at.")
    where: Where | None = None
    policy: bool | None = Field(None, description="Whether the agent looks; the server's habit when left out.")
    budget: Spend | None = Field(None, description="What the question may cost, ranking and answer together.")


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
    size: list[int] | None = Field(
        description="Width and height of the original, in whose pixels boxes are; null where nobody looked at a part."
    )
    alike: str | None = Field(description="Id of a better result that it looks like; null without `fold`.")


class SearchAnswer(BaseModel):
    """A ranking, as `Ranking.to_json` gives it, with URLs of its pictures and of its trace."""

    model_config = ConfigDict(extra="allow")

    query: dict[str, Any]
    results: list[Found]
    no_match: bool
    usage: dict[str, Any]
    partial: bool
    trace: str | None = Field(description="URL of what the agent did; null when nobody looked.")


class Cited(BaseModel):
    """A source that an answer rests on."""

    source: int = Field(description="Its number in the answer's text, and its rank among the results.")
    id: str
    path: str | None = Field(description="Where its picture is below the folder that was indexed.")
    box: list[int] | None = Field(description="x0, y0, x1, y1 in pixels of the original; null for the whole source.")
    quote: str | None = Field(description="Words of its text, which do stand there.")


class AskAnswer(BaseModel):
    """An answer whose citations were checked: the sources, regions and words that it names exist."""

    answer: str = Field(description="With [n] where source n is cited; empty when there is none.")
    no_answer: bool = Field(description="The sources do not answer the question, or nothing was found.")
    uncited: bool = Field(description="It cites no source: the model's own word.")
    citations: list[Cited]
    repairs: list[str] = Field(description="What was dropped or mended in the model's citations.")
    error: str | None = Field(description="Why there is neither an answer nor a `no_answer`.")
    usage: dict[str, Any] = Field(description="Of the ranking and the answer together.")
    ranking: SearchAnswer = Field(description="The sources, best first.")


_TEXT_OR_IMAGE: JsonDict = {
    "anyOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("text", "image")],
}


_NAMES: JsonDict = {"minLength": 1, "maxLength": MAX_ID, "pattern": r"^[^\x00]+$", "not": {"enum": [*RESERVED]}}


class NewDocument(Strict):
    """A document to add: text, a picture, or both."""

    model_config = ConfigDict(json_schema_extra=_TEXT_OR_IMAGE)

    id: Id
    text: Said | None = None
    image: Image | None = None
    metadata: dict[str, str | bool | int | Number] = Field(
        default={}, max_length=64, json_schema_extra={"propertyNames": _NAMES}
    )

    @field_validator("metadata")
    @classmethod
    def _named(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        for name in metadata:
            if name in RESERVED:
                raise ValueError(f"metadata cannot be named {name!r}: listings read that as text, picture or id")
            if why := unusable(name):
                raise ValueError(f"metadata has a name that cannot be one: {why}")
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


class FieldValue(BaseModel):
    value: str | bool | int | float
    documents: int


class FieldFacts(BaseModel):
    """A metadata field that can be filtered by."""

    name: str
    documents: int = Field(description="How many have it.")
    kind: Literal["text", "number", "choice"]
    least: float | None
    most: float | None
    values: list[FieldValue] = Field(description="The commonest; none where nearly each document has its own.")
    more: bool = Field(description="Whether there are other values.")


class CollectionAnswer(BaseModel):
    """What a page needs to know before it asks."""

    documents: int
    policy: str | None = Field(description="Who looks at candidates; null where nobody does.")
    answers: str | None = Field(description="Who answers questions; null where nobody does.")
    top_k: int = Field(description="How many candidates the agent looks at.")
    writable: bool
    unread: int | None = Field(
        description="Uploaded pictures whose printed words are still to be read; null where nobody reads them."
    )
    folders: list[str] = Field(description="Folders that may be indexed on request.")
    images: int = Field(description="Most pictures in a request.")
    image_bytes: int = Field(description="Most bytes of a picture.")
    body_bytes: int = Field(description="Most bytes of a request.")
    fields: list[FieldFacts]


class UpdateBody(Strict):
    folder: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(
        description="One of the collection's `folders`."
    )


class UpdateAnswer(BaseModel):
    """A run over a folder."""

    id: str
    folder: str
    state: Literal["running", "done", "failed"]
    doing: str = Field(description="listing, embedding, or reading words.")
    done: int = Field(description="Pictures of that; `total` of them.")
    total: int
    added: int
    updated: int
    unchanged: int
    deleted: int
    skipped: int
    reasons: list[str] = Field(description="Why some were skipped.")
    error: str | None
    seconds: float


class UpdatesAnswer(BaseModel):
    updates: list[UpdateAnswer]


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

"""What the tools answer: structured content by the models below, the same as text, and pictures as image content."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import BaseModel, Field

from vretrver.answering import Answer as Answered
from vretrver.errors import ImageError, MissingPath
from vretrver.images import image_size
from vretrver.trace import Ranking, Result, StopReason

_LINE, _LONG = 300, 2000  # characters of a text in a line of the summary; of one, or of metadata as JSON, in all


class Look(BaseModel):
    """One look of the agent at a result's picture."""

    tool: str
    box: list[int] | None = Field(description="[x0, y0, x1, y1] in pixels of the original; null for all of it.")
    note: str


class Found(BaseModel):
    """One result."""

    rank: int
    id: str
    confidence: float = Field(description="How likely it answers the query, 0 to 1.")
    coarse_rank: int = Field(description="Its rank before anybody looked.")
    text: str | None
    printed: str | None = Field(description="Words read off the picture.")
    metadata: dict[str, Any] | None = Field(description="As its owner keeps it; null where it is too long.")
    size: list[int] | None = Field(description="Width and height of the original picture in pixels.")
    picture: int | None = Field(description="Which image of this answer shows it, from 0.")
    evidence: list[Look]


class Answer(BaseModel):
    """A ranking."""

    results: list[Found]
    no_match: bool = Field(description="True when nothing found is likely to answer.")
    partial: bool = Field(description="True when the budget ended before every candidate was looked at.")
    failed: bool = Field(description="True when the agent failed: what it was to look at stands in the coarse order.")
    seconds: float


class Cited(BaseModel):
    """A source that an answer rests on; the source, the region and the words are known to exist."""

    source: int = Field(description="Its number in the answer's text.")
    id: str
    box: list[int] | None = Field(description="[x0, y0, x1, y1] in pixels of the original; null for all of it.")
    quote: str | None = Field(description="Words of its text.")


class Told(BaseModel):
    """An answer to a question."""

    answer: str = Field(description="With [n] where source n is cited; empty when there is none.")
    no_answer: bool = Field(description="True when the sources do not answer the question.")
    uncited: bool = Field(description="True when it cites no source: then it is the model's own word.")
    failed: bool = Field(description="True when there is neither: the model failed, or the budget had ended.")
    citations: list[Cited]
    repairs: list[str] = Field(description="What was dropped or mended in the model's citations.")
    sources: list[str] = Field(description="Ids of the sources, in their order.")
    seconds: float


class Inspected(BaseModel):
    """What `inspect` shows."""

    id: str
    size: list[int] = Field(description="Width and height of the original picture in pixels.")
    box: list[int] = Field(description="The region shown, [x0, y0, x1, y1] in pixels of the original.")
    shown: list[int] = Field(description="Width and height of the image in this answer.")


def answer_of(ranking: Ranking, pictures: Mapping[str, bytes]) -> CallToolResult:
    """A ranking as a call's answer.

    Args:
        pictures: JPEGs by document id, in the order in which they are shown.
    """
    places = {name: place for place, name in enumerate(pictures)}
    found = [_found(result, places.get(result.document.id)) for result in ranking.results]
    answer = Answer(
        results=found,
        no_match=ranking.no_match,
        partial=ranking.partial,
        failed=any(trace.stop is StopReason.POLICY_ERROR for trace in ranking.traces),
        seconds=ranking.usage.seconds,
    )
    content: list[ContentBlock] = [TextContent(text=_summary(answer))]
    for name, jpeg in pictures.items():
        content += [TextContent(text=f"{name}:"), _image(jpeg)]
    return CallToolResult(content=content, structured_content=answer.model_dump(mode="json"))


def told(answer: Answered) -> CallToolResult:
    """An answer to a question as a call's answer."""
    cited = [
        Cited(source=one.source, id=one.id, box=None if one.box is None else list(one.box), quote=one.quote)
        for one in answer.citations
    ]
    said = Told(
        answer=answer.text,
        no_answer=answer.no_answer,
        uncited=answer.uncited,
        failed=answer.error is not None,
        citations=cited,
        repairs=list(answer.repairs),
        sources=[result.document.id for result in answer.ranking.results],
        seconds=answer.usage.seconds,
    )
    return CallToolResult(content=[TextContent(text=_as_text(said))], structured_content=said.model_dump(mode="json"))


def _as_text(said: Told) -> str:
    if said.failed:
        return "There is no answer: the model failed, or the budget ended. search_images shows what was found."
    if said.no_answer:
        return "The sources do not answer this."
    lines = [said.answer]
    lines += [f"[{one.source}] {one.id}" + (f", box {one.box}" if one.box else "") for one in said.citations]
    return "\n".join([*lines, "It cites no source: this is the model's own word."] if said.uncited else lines)


def inspected(said: Inspected, jpeg: bytes) -> CallToolResult:
    """A picture as a call's answer."""
    text = f"{said.id}: {said.box} of {said.size[0]}x{said.size[1]} pixels, shown at {said.shown[0]}x{said.shown[1]}."
    return CallToolResult(
        content=[TextContent(text=text), _image(jpeg)], structured_content=said.model_dump(mode="json")
    )


def _image(jpeg: bytes) -> ImageContent:
    return ImageContent(data=base64.b64encode(jpeg).decode(), mime_type="image/jpeg")


def _found(result: Result, picture: int | None) -> Found:
    document = result.document
    metadata = dict(document.metadata)
    try:
        size = None if document.image is None else list(image_size(document.image))
    except (ImageError, MissingPath):
        size = None
    return Found(
        rank=result.rank,
        id=document.id,
        confidence=round(result.confidence, 4),
        coarse_rank=result.candidate.rank,
        text=document.text and document.text[:_LONG],
        printed=document.printed and document.printed[:_LONG],
        metadata=metadata if len(json.dumps(metadata)) <= _LONG else None,
        size=size,
        picture=picture,
        evidence=[
            Look(tool=look.tool, box=None if look.box is None else list(look.box), note=look.note)
            for look in result.evidence
        ],
    )


def _summary(answer: Answer) -> str:
    """The answer for who reads no structured content."""
    lines = ["Nothing here is likely to match. The nearest:"] if answer.no_match else []
    if not answer.results:
        lines = ["Nothing was found."]
    for one in answer.results:
        size = "" if one.size is None else f", {one.size[0]}x{one.size[1]} pixels"
        lines.append(f"{one.rank}. {one.id} (confidence {one.confidence:.0%}{size})")
        lines += [f"   {' '.join(text.split())[:_LINE]}" for text in (one.text, one.printed) if text]
        lines += [
            f"   {look.tool} {look.box or 'whole'}: {' '.join(look.note.split())[:_LINE]}" for look in one.evidence
        ]
    if answer.failed:
        lines.append("The agent failed: what it was to look at stands in the coarse order.")
    if answer.partial:
        lines.append("The budget ended before every candidate was looked at.")
    return "\n".join(lines)

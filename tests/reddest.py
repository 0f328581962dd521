"""A policy for tests of faces: it opens the candidates' pictures, looks once, and puts the reddest first."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vretrver.images import open_image
from vretrver.messages import Completion, Conversation, ToolCall
from vretrver.protocol import candidate_pictures, render_answer, render_tool_call
from vretrver.reranker import Reranker
from vretrver.types import ImageRef

COLOURS = ("blue", "red", "purple", "white")
ORDER = (1, 2, 3, 0)  # red, purple, white, blue: their red less the mean of the rest is 1, 0.25, 0, -0.5


class Reddest:
    """How red a picture is, is its red less its mean of green and blue; a text alone is not red at all."""

    name = "reddest"

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        return [self._next(conversation) for conversation in conversations]

    def _next(self, conversation: Conversation) -> Completion:
        pictures = candidate_pictures(conversation)
        if pictures and len(conversation.messages) == 2:
            first = min(part.index for part in pictures.values())
            return Completion(render_tool_call(ToolCall("select_images", {"target_images": [first]}), "A look."))
        redness = [_redness(candidate.document.image) for candidate in conversation.window.candidates]
        order = sorted(range(len(redness)), key=lambda at: -redness[at])
        relevance = tuple(min(1.0, max(0.0, value)) for value in redness)
        return Completion(render_answer(order, f"({order[0] + 1}) is the reddest."), relevance=relevance)


def reddest() -> Reranker:
    return Reranker(Reddest())


def encoded(colour: str) -> bytes:
    """PNG bytes of a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


def _redness(image: ImageRef | None) -> float:
    if image is None:
        return -1.0
    red, green, blue = np.asarray(open_image(image).resize((1, 1)), float)[0, 0] / 255
    return float(red - (green + blue) / 2)

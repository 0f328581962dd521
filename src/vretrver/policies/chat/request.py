"""A conversation as the body of a chat completion request.

The messages come last in the body and each is written the same way every time: the body of a later turn begins with
the bytes of the one before, so a server's prefix cache meets them again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.messages import Conversation, Message, TextPart
from vretrver.policies.chat import native
from vretrver.policies.chat.pictures import Encoded, Pictures
from vretrver.policies.chat.placeholders import escaped

STOP = "</tool_call>"


@dataclass(frozen=True, slots=True)
class Request:
    """A body, ready to be sent.

    Args:
        body: JSON in UTF-8.
        key: SHA-256 of what it says, pictures included; two bodies with one key are equal.
        images: how many pictures it holds.
        pictures: their identifiers, where they are sent with any.
        short: the same with the pictures that the server knows by their identifiers alone; None when it knows none.
        by_id: how many those are.
    """

    body: bytes
    key: str
    images: int
    pictures: frozenset[bytes] = frozenset()
    short: bytes | None = None
    by_id: int = 0


def fields(
    model: str, tools: str, temperature: float | None, max_tokens: int | None, extra: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The fields of every request.

    Raises:
        InvalidInput: one of them is not usable.
    """
    if tools not in ("text", "native"):
        raise InvalidInput(f"tools is {tools!r}; choose text (calls stand in the text) or native (the server's own)")
    if not 0 <= (temperature or 0) <= 2 or (max_tokens is not None and max_tokens < 1):
        raise InvalidInput(f"temperature {temperature} is not in 0..2, or max_tokens {max_tokens} not 1 or more")
    options = {"model": model, "temperature": temperature, "max_tokens": max_tokens}
    taken = sorted({"messages", "tools", "stop", "stream", "n", *options} & set(extra or ()))
    if taken:
        raise InvalidInput(f"extra holds {taken[0]!r}, which the policy sets itself; leave it out")
    try:
        json.dumps(extra, allow_nan=False)
    except (TypeError, ValueError) as fault:
        raise InvalidInput(f"extra does not go into JSON: {fault}") from None
    return {name: value for name, value in {**options, **(extra or {})}.items() if value is not None}


class RequestWriter:
    """Writes requests for one model.

    Args:
        options: fields of the body besides `messages`, `tools` and `stop`.
        tools: `text` for calls written as text, as the released checkpoints do; `native` for the server's own tool
            calling.
        stop: whether the server is asked to stop where a call in the text ends.
        scope: what else the key depends on, such as the server's URL.
        known: identifiers of the pictures that the server has, read anew for each request; None sends no identifiers.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        pictures: Pictures,
        tools: str = "text",
        *,
        stop: bool = True,
        scope: str = "",
        known: Collection[bytes] | None = None,
    ) -> None:
        self._options, self._pictures, self._native = dict(options), pictures, tools == "native"
        self._stop, self._known = stop, known
        self._scope = hashlib.sha256(scope.encode()).digest()

    def write(self, conversation: Conversation) -> Request:
        """Raises:
        MissingPath, ImageError: a picture cannot be rendered.
        """
        body = _Body(self._pictures, self._known)
        body.add(_json(self._head(conversation.messages))[:-1] + b',"messages":[')
        for at, (role, content) in enumerate(self._turns(conversation.messages)):
            body.add(b"," if at else b"")
            if isinstance(content, Message):
                body.message(role, content)
            else:
                body.add(_json(content))
        body.add(b"]}")
        return body.finished(self._scope)

    def _head(self, messages: Sequence[Message]) -> dict[str, Any]:
        if not self._native:
            return {**self._options, **({"stop": [STOP]} if self._stop else {})}
        tools = native.tools_of(messages)
        return {**self._options, **({"tools": tools} if tools else {})}

    def _turns(self, messages: Sequence[Message]) -> list[tuple[str, Message | Mapping[str, Any]]]:
        return native.turns(messages) if self._native else [(message.role, message) for message in messages]


class _Body:
    """Pieces of a body; the key is taken over pictures' digests, so that no picture is hashed twice."""

    def __init__(self, pictures: Pictures, known: Collection[bytes] | None) -> None:
        self._pictures, self._known = pictures, known
        self._pieces: list[bytes] = []
        self._references: dict[int, bytes] = {}  # by the place of the piece that they stand for
        self._hash = hashlib.sha256()
        self._images: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._hash.update(piece)

    def message(self, role: str, message: Message) -> None:
        if not message.views:
            self.add(_json({"role": role, "content": escaped(message.text)}))
            return
        self.add(b'{"role":' + _json(role) + b',"content":[')
        for at, part in enumerate(message.parts):
            self.add(b"," if at else b"")
            if isinstance(part, TextPart):
                self.add(_json({"type": "text", "text": escaped(part.text)}))
            else:
                self._picture(self._pictures.part(part.view))
        self.add(b"]}")

    def _picture(self, encoded: Encoded) -> None:
        if self._known is not None and encoded.digest in self._known:
            self._references[len(self._pieces)] = encoded.reference
        self._pieces.append(encoded.part if self._known is None else encoded.named)
        self._hash.update(encoded.digest)
        self._images.append(encoded.digest)

    def finished(self, scope: bytes) -> Request:
        self._hash.update(scope)
        body, key, images = b"".join(self._pieces), self._hash.hexdigest(), len(self._images)
        if self._known is None:
            return Request(body, key, images)
        short = b"".join(self._references.get(at, piece) for at, piece in enumerate(self._pieces))
        named = len(self._references)
        return Request(body, key, images, frozenset(self._images), short if named else None, named)


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # half a surrogate pair has no UTF-8

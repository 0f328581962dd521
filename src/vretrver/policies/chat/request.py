"""A conversation as the body of a chat completion request.

The messages come last in the body and each is written the same way every time: the body of a later turn begins with
the bytes of the one before, so a server's prefix cache meets them again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.messages import Conversation, Message, TextPart
from vretrver.policies.chat import native
from vretrver.policies.chat.pictures import Pictures
from vretrver.policies.chat.placeholders import escaped

STOP = "</tool_call>"


@dataclass(frozen=True, slots=True)
class Request:
    """A body, ready to be sent.

    Args:
        body: JSON in UTF-8.
        key: SHA-256 of what it says, pictures included; two bodies with one key are equal.
        images: how many pictures it holds.
    """

    body: bytes
    key: str
    images: int


class RequestWriter:
    """Writes requests for one model.

    Args:
        options: fields of the body besides `messages`, `tools` and `stop`.
        tools: `text` for calls written as text, as the released checkpoints do; `native` for the server's own tool
            calling.
        stop: whether the server is asked to stop where a call in the text ends.
        scope: what else the key depends on, such as the server's URL.
    """

    def __init__(
        self, options: Mapping[str, Any], pictures: Pictures, tools: str = "text", *, stop: bool = True, scope: str = ""
    ) -> None:
        self._options, self._pictures, self._native = dict(options), pictures, tools == "native"
        self._stop = stop
        self._scope = hashlib.sha256(scope.encode()).digest()

    def write(self, conversation: Conversation) -> Request:
        """Raises:
        MissingPath, ImageError: a picture cannot be rendered.
        """
        body = _Body(self._pictures)
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

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._pieces: list[bytes] = []
        self._hash = hashlib.sha256()
        self._images = 0

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
                encoded = self._pictures.part(part.view)
                self._pieces.append(encoded.part)
                self._hash.update(encoded.digest)
                self._images += 1
        self.add(b"]}")

    def finished(self, scope: bytes) -> Request:
        self._hash.update(scope)
        return Request(b"".join(self._pieces), self._hash.hexdigest(), self._images)


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # half a surrogate pair has no UTF-8

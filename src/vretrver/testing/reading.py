"""A chat completion request as a model would read it: the query, the candidates, what was looked at.

All of it comes from the request itself: the text of the messages and the pictures in their data URLs.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vretrver.testing import rankgpt

_MARK = "\x00"  # stands for a picture while the window's text is taken apart


@dataclass(frozen=True, slots=True)
class Item:
    """The query or a candidate: its text, its picture's bytes as they were sent, and the picture's wire number."""

    text: str
    image: bytes | None = None
    number: int | None = None


class BadRequest(ValueError):
    """What came is not a chat completion request; the message goes back with status 400."""


@dataclass(frozen=True)
class Reading:
    """A request.

    Args:
        body: the parsed JSON.
        messages: role and parts of each message: texts, and pictures as bytes.
    """

    body: Mapping[str, Any]
    messages: list[tuple[str, list[str | bytes]]] = field(repr=False)

    @property
    def images(self) -> list[bytes]:
        return [part for _role, parts in self.messages for part in parts if isinstance(part, bytes)]

    @property
    def text(self) -> str:
        """The texts of the last user message."""
        last = next((parts for role, parts in reversed(self.messages) if role == "user"), [])
        return "".join(part for part in last if isinstance(part, str))

    @property
    def turn(self) -> int:
        """How often the model has spoken."""
        return sum(role == "assistant" for role, _parts in self.messages)

    @property
    def native(self) -> bool:
        """Whether the server's own tool calling is asked for."""
        return bool(self.body.get("tools"))

    @property
    def tools(self) -> bool:
        """Whether any tool is on offer."""
        return self.native or "<tools>" in self._system

    @property
    def may_call(self) -> bool:
        """Whether another tool call is allowed."""
        most = {"one": 1, "two": 2}
        said = re.search(r"at most (\w+) tool calls? in total", self._system)
        allowed = 0 if said is None else most.get(said[1], int(said[1]) if said[1].isdigit() else 0)
        return self.tools and self.turn < allowed

    @cached_property
    def query(self) -> Item | None:
        """The query of a window; None when this is no window."""
        return None if self._window is None else self._window[0]

    @cached_property
    def candidates(self) -> list[Item]:
        """The candidates of a window, in the order in which they stand."""
        return [] if self._window is None else self._window[1]

    @cached_property
    def rankgpt(self) -> bool:
        """Whether the window is asked for in RankGPT's words."""
        return self._released is None and self._window is not None

    @cached_property
    def looked_at(self) -> set[int]:
        """Wire numbers of the pictures that tools have shown."""
        calls = [call for message in self.body["messages"] for call in _calls(message)]
        found: set[int] = set()
        for arguments in calls:
            numbers = arguments.get("target_images", [arguments.get("target_image")])
            found |= {number for number in numbers if isinstance(number, int)} if isinstance(numbers, list) else set()
        return found

    @property
    def _system(self) -> str:
        said = [part for role, parts in self.messages for part in parts if role == "system"]
        return "".join(part for part in said if isinstance(part, str))

    @cached_property
    def _window(self) -> tuple[Item, list[Item]] | None:
        if self._released is not None:
            return self._released
        said = [
            "".join(part for part in parts if isinstance(part, str)) for role, parts in self.messages if role == "user"
        ]
        found = rankgpt.window(said)
        return None if found is None else (Item(found[0]), [Item(text) for text in found[1]])

    @cached_property
    def _released(self) -> tuple[Item, list[Item]] | None:
        opening = next((parts for role, parts in self.messages if role == "user"), [])
        images = [part for part in opening if isinstance(part, bytes)]
        text = "".join(part.replace(_MARK, "") if isinstance(part, str) else _MARK for part in opening)
        found = re.fullmatch(r"Query: (.*?)\n\nCandidates:(.*)\n\nGuidelines: .*", text, re.DOTALL)
        if found is None:
            return None
        asked = found[1].count(_MARK)
        query = Item(found[1].replace(_MARK, "").strip(), images[0] if asked else None, 0 if asked else None)
        candidates: list[Item] = []
        for piece in re.split(r"\n\(\d+\) ", found[2])[1:]:
            shown = piece.count(_MARK)
            number = sum(item.image is not None for item in candidates) + 1
            image = images[asked + number - 1] if shown else None
            candidates.append(Item(piece.replace(_MARK, "").strip(), image, number if shown else None))
        return query, candidates


def read(data: bytes, kept: MutableMapping[str, bytes] | None = None) -> Reading:
    """A request's bytes, read.

    Args:
        kept: pictures by the identifiers that came with them; filled and read, as vLLM does. None passes over them.

    Raises:
        BadRequest: it is not a chat completion request, it names a picture that is not kept, or names one as another.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages should be a list of at least one message")
    return Reading(body, [_message(message, kept) for message in messages])


def _message(message: Any, kept: MutableMapping[str, bytes] | None) -> tuple[str, list[str | bytes]]:
    if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant", "tool"):
        raise BadRequest("a message should have a role: system, user, assistant or tool")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    return str(message["role"]), [_part(part) if kept is None else _named(part, kept) for part in parts]


def _named(part: Any, kept: MutableMapping[str, bytes]) -> str | bytes:
    """A part whose picture may be known by an identifier."""
    match part:
        case {"type": "image_url", "image_url": None | {}, "uuid": str() as name} if not part["image_url"]:
            if name not in kept:
                raise BadRequest(f"the picture {name} is not in the cache and came without its data")
            return kept[name]
        case {"type": "image_url", "uuid": str() as name}:
            picture = _part(part)
            assert isinstance(picture, bytes)
            if kept.setdefault(name, picture) != picture:
                raise BadRequest(f"the identifier {name} stands for another picture already")
            return picture
    return _part(part)


def _part(part: Any) -> str | bytes:
    match part:
        case {"type": "text", "text": str() as text}:
            return text
        case {"type": "image_url", "image_url": {"url": str() as url}}:
            head, comma, data = url.partition(",")
            if not comma or not re.fullmatch(r"data:image/[a-z]+;base64", head):
                raise BadRequest("image_url should be a data URL with base64")
            try:
                return base64.b64decode(data, validate=True)
            except binascii.Error:
                raise BadRequest("a picture is not base64") from None
    raise BadRequest("a part of a message should be a text or an image_url")


def _calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The arguments of the calls in an assistant message, native or as text."""
    if message.get("role") != "assistant":
        return []
    found = [call.get("function", {}).get("arguments", "") for call in message.get("tool_calls") or []]
    arguments = [_object(text) for text in found]
    blocks = re.findall(r"<tool_call>(.*?)</tool_call>", str(message.get("content") or ""), re.DOTALL)
    return arguments + [_object(json.dumps(_object(block).get("arguments"))) for block in blocks]


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

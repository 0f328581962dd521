"""A server's own tool calling, in and out of the protocol's text: the episode sees `<tool_call>` blocks either way.

Outwards, the signatures in the system prompt become `tools`, a call in an assistant turn becomes `tool_calls`, and the
observation a `tool` message, its pictures in a user message behind it, since few servers take pictures from a tool.
Inwards, the first returned call becomes a block of text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from vretrver.messages import Message, TextPart, ToolCall
from vretrver.policies.chat.faults import Fault
from vretrver.policies.chat.placeholders import escaped
from vretrver.protocol import render_tool_call

Turn: TypeAlias = "tuple[str, Message | Mapping[str, Any]]"

_SIGNATURES = re.compile(r"These are the functions[^\n]*\n<tools>\n(.*?)\n</tools>\n\n", re.DOTALL)
_HOW_TO_WRITE = re.compile(r"Write a call as [^\n]*\n<tool_call>\n[^\n]*\n</tool_call>\n")
_BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>\s*\Z", re.DOTALL)


def tools_of(messages: Sequence[Message]) -> list[Any]:
    """The function signatures that the system prompt shows, as `tools` wants them."""
    found = _SIGNATURES.search(_system(messages))
    return [json.loads(line) for line in found[1].splitlines()] if found else []


def turns(messages: Sequence[Message]) -> list[Turn]:
    """The messages as the server's own tool calling wants them: roles with a Message or with finished fields."""
    found: list[Turn] = []
    called: str | None = None
    for at, message in enumerate(messages):
        if message.role == "system":
            found.append(("system", _without_tools(message)))
        elif message.role == "assistant":
            call = _call(message.text)
            called = None if call is None else f"call{at:05d}"  # nine letters or digits, which all servers take
            found.append(("assistant", message if call is None else _calling(message.text, call, str(called))))
        elif called is not None:
            found += _answered(message, called)
            called = None
        else:
            found.append((message.role, message))
    return found


def text_of(content: str, calls: Any) -> str:
    """Content and returned `tool_calls` as the protocol's text; only the first call counts.

    Raises:
        Fault: they are not calls of functions.
    """
    if not calls:
        return content
    if not isinstance(calls, list) or not isinstance(calls[0], dict):
        raise Fault("garbled", "tool_calls is not a list of objects")
    function = calls[0].get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Fault("garbled", "a tool call without a function's name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            # The model's mistake, not the server's: it hears of it in the observation.
            block = f'{{"name": {json.dumps(function["name"])}, "arguments": {arguments}}}'
            return content + "<tool_call>" + block.replace("<", "\\u003c") + "</tool_call>"
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments}
    try:
        return content + render_tool_call(ToolCall(function["name"], arguments))
    except (ValueError, RecursionError):  # NaN
        raise Fault("garbled", "a tool call's arguments are not JSON") from None


def _system(messages: Sequence[Message]) -> str:
    return next((message.text for message in messages if message.role == "system"), "")


def _without_tools(message: Message) -> Message:
    return Message("system", (TextPart(_HOW_TO_WRITE.sub("", _SIGNATURES.sub("", _reworded(message.text)))),))


def _reworded(text: str) -> str:
    return text.replace(", with one <tool_call></tool_call> block per turn", ", one per turn")


def _call(text: str) -> tuple[str, str] | None:
    """Name and JSON of the arguments of the call that ends a text."""
    found = _BLOCK.search(text)
    try:
        call = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str) or "arguments" not in call:
        return None
    return call["name"], json.dumps(call["arguments"], ensure_ascii=False)


def _calling(text: str, call: tuple[str, str], called: str) -> Mapping[str, Any]:
    name, arguments = call
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": escaped(_BLOCK.sub("", text)),
        "tool_calls": [{"id": called, "type": "function", "function": function}],
    }


def _answered(message: Message, called: str) -> list[Turn]:
    words = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    result: Turn = ("tool", {"role": "tool", "tool_call_id": called, "content": words})
    return [result, ("user", Message("user", message.views))] if message.views else [result]

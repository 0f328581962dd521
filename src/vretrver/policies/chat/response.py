"""A response's bytes to a completion. Strict: what is not one whole completion is a `Fault`, never half a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vretrver.policies.chat import native
from vretrver.policies.chat.faults import Fault, one_line
from vretrver.policies.chat.request import STOP
from vretrver.usage import Tokens

MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Answer:
    """One generation as a server gave it.

    Args:
        text: what was generated, the stop text put back where the server cut it.
        tokens: None where the server tells neither what it read nor what it wrote.
        truncated: it ended at the token limit.
    """

    text: str
    tokens: Tokens | None = None
    truncated: bool = False


def read_answer(body: bytes, headers: Mapping[str, str]) -> Answer:
    """The answer in a response of status 200.

    Raises:
        Fault: kind `garbled`: it is not JSON, not a completion, or holds no text.
    """
    document = read_json(body, headers)
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        said = document.get("error")
        cause = f": {one_line(json.dumps(said))}" if said else ""
        raise Fault("garbled", f"the answer has no choices{cause}")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Fault("garbled", "the answer's choice has no message")
    text = _thought(message) + _content(message.get("content"))
    text = native.text_of(_closed(text, choice), message.get("tool_calls"))
    if not text.strip():
        raise Fault("garbled", f"the answer is empty (finish_reason {one_line(repr(choice.get('finish_reason')), 40)})")
    return _counted(text, document.get("usage"), choice.get("finish_reason") == "length")


def read_json(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object in a response.

    Raises:
        Fault: it is none, or says that it is something else.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Fault("garbled", f"the answer is {one_line(kind, 60) or 'of no type'}, not application/json")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Fault("garbled", "the answer is compressed, which was not asked for")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Fault("garbled", "the answer is not JSON, or was cut off") from None
    if not isinstance(document, dict):
        raise Fault("garbled", "the answer is not a JSON object")
    return document


def _content(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        content = "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    if not isinstance(content, str):
        raise Fault("garbled", "the answer's content is not text")
    return content


def _thought(message: Mapping[str, Any]) -> str:
    """Reasoning that a server took out of the text goes back where the protocol has it."""
    for name in ("reasoning_content", "reasoning"):
        said = message.get(name)
        if isinstance(said, str) and said.strip():
            return f"<think>{said.replace('</think>', '')}</think>\n"
    return ""


def _closed(text: str, choice: Mapping[str, Any]) -> str:
    """The text with its stop text, which most servers cut off."""
    # vLLM and SGLang tell what stopped it, under different names: no stop text means that the model itself ended.
    why = choice.get("stop_reason", choice.get("matched_stop", STOP))
    stopped = choice.get("finish_reason") == "stop" and why == STOP
    opened = text.rfind("<tool_call>")
    return text + STOP if stopped and opened >= 0 and STOP not in text[opened:] else text


def _counted(text: str, usage: Any, truncated: bool) -> Answer:
    if not isinstance(usage, dict):
        return Answer(text, truncated=truncated)
    parts = usage.get("prompt_tokens_details")
    details = parts if isinstance(parts, dict) else {}
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None and completion is None:
        return Answer(text, truncated=truncated)
    cached, image = _count(details.get("cached_tokens")), _count(details.get("image_tokens"))
    return Answer(text, Tokens(prompt or 0, completion or 0, cached, image), truncated)


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if sound else None

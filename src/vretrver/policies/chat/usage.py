"""What a chat endpoint has cost so far, counted by the policy; safe under threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields

from vretrver.policies.chat.response import Answer
from vretrver.usage import Tokens


@dataclass(frozen=True, slots=True)
class ChatUsage:
    """Counters since the policy was made.

    Args:
        requests: HTTP exchanges begun, failed ones included.
        retries: those of them that repeated a failed one.
        answers: generations that a server gave and that were read.
        prompt_tokens, cached_tokens, image_tokens, completion_tokens: as servers report them; `cached_tokens` and
            `image_tokens` are parts of `prompt_tokens` and 0 where a server does not tell them.
        images: pictures in all requests that were answered.
        cache_hits: answers taken from the cache on disk.
        kept: answers of a batch that failed in part, used again instead of asked for again.
        truncated: answers that ended at the token limit.
        by_id: pictures that were sent by their identifiers alone.
        resent: requests that were sent again with every picture, because the server did not know one by its identifier.
    """

    requests: int = 0
    retries: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    cache_hits: int = 0
    kept: int = 0
    truncated: int = 0
    by_id: int = 0
    resent: int = 0

    def __add__(self, other: ChatUsage) -> ChatUsage:
        return ChatUsage(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


class Counter:
    """Adds usages up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = ChatUsage()

    @property
    def total(self) -> ChatUsage:
        return self._total

    def add(self, usage: ChatUsage) -> None:
        with self._lock:
            self._total += usage


def spent(answer: Answer, images: int) -> ChatUsage:
    """What one answer cost.

    Args:
        images: pictures in its request.
    """
    tokens = answer.tokens or Tokens()
    return ChatUsage(
        answers=1,
        prompt_tokens=tokens.prompt,
        cached_tokens=tokens.cached or 0,
        image_tokens=tokens.image or 0,
        completion_tokens=tokens.completion,
        images=images,
        truncated=int(answer.truncated),
    )

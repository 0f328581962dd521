"""What a fake endpoint was asked and what it would have cost: in sum, and one answer at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Counters:
    """Sums over all chat completion requests so far.

    Args:
        calls: requests that came, those answered with a fault included.
        answers: those that were answered.
        prompt_tokens, cached_tokens, image_tokens, completion_tokens: of the answered ones; the cached and the image
            tokens are parts of the prompt's.
        images: pictures in the answered ones.
        seconds: simulated latency of the answered ones, added up.
        concurrency: the most requests in work at the same time.
        faults: how often each kind of fault was played.
    """

    calls: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    seconds: float = 0.0
    concurrency: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def uncached_tokens(self) -> int:
        """Prompt tokens that had to be computed."""
        return self.prompt_tokens - self.cached_tokens


@dataclass(frozen=True, slots=True)
class Served:
    """One answer: tokens as in `Counters`, pictures in the request, simulated seconds."""

    prompt_tokens: int
    cached_tokens: int
    image_tokens: int
    completion_tokens: int
    images: int
    seconds: float

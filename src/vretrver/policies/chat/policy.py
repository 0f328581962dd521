"""`ChatPolicy`: conversations to completions over HTTP, many at once, with every kind of failure held at this edge."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from vretrver.boxes import BoxFamily, box_family
from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import Completion, Conversation
from vretrver.policies.chat.address import address, family_of, split_name
from vretrver.policies.chat.cache import AnswerCache
from vretrver.policies.chat.faults import Fault
from vretrver.policies.chat.kept import Kept
from vretrver.policies.chat.pictures import Pictures
from vretrver.policies.chat.request import Request, RequestWriter
from vretrver.policies.chat.response import Answer, read_answer
from vretrver.policies.chat.retrying import Clock, Limits, Retrier, SystemClock
from vretrver.policies.chat.transport import Reply, Transport
from vretrver.policies.chat.usage import ChatUsage, Counter
from vretrver.protocol import Wire
from vretrver.usage import Tokens

Settled: TypeAlias = "tuple[str | None, Completion | Exception]"


class ChatPolicy:
    """A model behind an OpenAI-compatible server.

    Text of assistant turns is sent back exactly as it was generated, except that literal image placeholders are made
    harmless. Results do not depend on which conversations come together.

    Args:
        url: the base URL, such as `http://localhost:8000/v1`.
        model: the server's name of the model.
        wire: the model's dialect of the protocol; None for one with `boxes`.
        boxes: the coordinates in which it writes boxes; None decides by its name (`address.family_of`).
        tools: `text`: calls stand in the text, as the released checkpoints write them. `native`: the server's own
            tool calling.
        stop: ask the server to stop where a call in the text ends. Without it, what a model writes behind a call costs
            tokens and is dropped; some servers fail on it or refuse it (`doctor` tells).
        temperature: 0 takes the likeliest token each time; None leaves it to the server.
        max_tokens: of one generation; None leaves it to the server.
        extra: more fields of the request's body, such as `{"seed": 1}`. No secrets: they are part of the fingerprint.
        limits: times, attempts and concurrency.
        cache: a folder in which answers are kept (`cache.AnswerCache`); None keeps none.
        quality: of the JPEGs that are sent.
        allow_insecure: let an API key travel unencrypted to another machine.
        environment: where VRETRVER_API_KEY or OPENAI_API_KEY is looked up.
        clock: the time.

    Raises:
        InvalidInput: the address, the family of boxes or an option is not usable (`address.address`).
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        wire: Wire | None = None,
        boxes: BoxFamily | None = None,
        tools: Literal["text", "native"] = "text",
        stop: bool = True,
        temperature: float | None = 0.0,
        max_tokens: int | None = 4096,
        extra: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        cache: str | os.PathLike[str] | None = None,
        quality: int = 88,
        allow_insecure: bool = False,
        environment: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
    ) -> None:
        self._address = address(url, model, environment, allow_insecure)
        if wire is not None and boxes is not None:
            raise InvalidInput("give ChatPolicy either wire or boxes; boxes is a part of wire")
        self.wire = wire or Wire(boxes=family_of(model) if boxes is None else box_family(boxes))
        self.limits = Limits() if limits is None else limits
        self._options = _options(model, tools, temperature, max_tokens, extra)
        if cache is not None and temperature != 0:
            raise InvalidInput(f"a cache would give every sample at temperature {temperature} the same text; drop one")
        if not 1 <= quality <= 95:
            raise InvalidInput(f"quality is {quality}; a JPEG's is 1 to 95")
        self._clock = SystemClock() if clock is None else clock
        self._tools, self._stop = tools, stop
        self._pictures = Pictures(quality)
        self._writer = self._new_writer()
        self._connect()
        self._cache = None if cache is None else AnswerCache(cache)
        self._kept = Kept(self._clock)
        self._counter = Counter()
        self._quality = quality

    @classmethod
    def load(cls, name: str, **options: Any) -> ChatPolicy:
        """The policy of `URL#MODEL`, with or without `chat:` before it.

        Raises:
            InvalidInput: as the class.
        """
        return cls(*split_name(name.removeprefix("chat:")), **options)

    @property
    def name(self) -> str:
        return f"chat:{self._address.base}#{self._address.model}"

    @property
    def at_once(self) -> int:
        return self.limits.concurrency

    @property
    def model(self) -> str:
        return self._address.model

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what is asked and how; which weights the server holds behind the model's name is unknown."""
        parts = [self.name, self._tools, self._stop, self._quality, self._options, repr(self.wire)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def usage(self) -> ChatUsage:
        """What it has cost since it was made."""
        return self._counter.total

    def __repr__(self) -> str:
        return f"ChatPolicy({self.name!r}, tools={self._tools!r}, boxes={self.wire.boxes!r})"

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """One completion per conversation, in order; at most `limits.concurrency` requests at a time.

        When one conversation fails, the answers to the others are kept for a few minutes: asking again, together or
        one by one, neither pays nor waits for them again.

        Raises:
            PolicyError: the first conversation that failed did so for this reason, in one line.
            MissingPath, ImageError: a picture of it cannot be rendered.
        """
        alone = len(conversations) == 1
        stop = threading.Event()
        settled = self._at_once(lambda conversation: self._settle(conversation, alone, stop), conversations, stop)
        failed = next((outcome for _key, outcome in settled if isinstance(outcome, Exception)), None)
        if failed is None:
            return [outcome for _key, outcome in settled if isinstance(outcome, Completion)]
        if not alone:
            self._kept.put(
                [(key, one) for key, one in settled if key is not None and isinstance(one, Completion | PolicyError)]
            )
        raise failed

    def get(self, path: str) -> Reply:
        """What the server says at a path below the base URL, such as `/models`; asked once, for at most 30 s.

        Raises:
            PolicyError: anything but a whole answer of status 200.
        """
        try:
            return self._transport.get(path, min(self.limits.deadline, 30.0))
        except Fault as fault:
            raise PolicyError(f"{self.name}: {fault}") from None

    def for_checks(self) -> ChatPolicy:
        """The same policy without its cache, with at most two retries and two minutes an answer; it counts alike."""
        other = copy.copy(self)
        other._cache = None
        limits = self.limits
        other.limits = replace(
            limits, deadline=min(limits.deadline, 120.0), read=min(limits.read, 120.0), retries=min(limits.retries, 2)
        )
        other._connect()
        return other

    def without_stop(self) -> ChatPolicy:
        """The same policy with `stop` off; connections and counters are shared."""
        other = copy.copy(self)
        other._stop = False
        other._writer = other._new_writer()
        return other

    def close(self) -> None:
        """Close idle connections; they open again when needed."""
        self._transport.close()

    def _connect(self) -> None:
        self._transport = Transport(self._address, self.limits, self._clock)
        self._retrier = Retrier(self.limits, self._clock, random.Random())  # noqa: S311 (jitter is no secret)

    def _new_writer(self) -> RequestWriter:
        return RequestWriter(self._options, self._pictures, self._tools, stop=self._stop, scope=self._address.base)

    def _at_once(
        self, settle: Callable[[Conversation], Settled], conversations: Sequence[Conversation], stop: threading.Event
    ) -> list[Settled]:
        if len(conversations) <= 1 or self.limits.concurrency == 1:
            return [settle(conversation) for conversation in conversations]
        pool = ThreadPoolExecutor(min(self.limits.concurrency, len(conversations)), "vretrver-chat")
        try:
            return list(pool.map(settle, conversations))
        except BaseException:  # Ctrl-C: what runs is cut off, what waits is not begun
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            self._transport.abort()
            raise
        finally:
            pool.shutdown()

    def _settle(self, conversation: Conversation, failures: bool, stop: threading.Event) -> Settled:
        key: str | None = None
        try:
            request = self._writer.write(conversation)
            key = request.key
            kept = self._kept.take(key, failures)
            if kept is not None:
                self._counter.add(ChatUsage(kept=int(isinstance(kept, Completion))))
                return key, kept
            return key, self._cached(request) or self._asked(request, stop)
        except Exception as fault:  # one conversation's failure must not cost the others theirs
            return key, fault

    def _cached(self, request: Request) -> Completion | None:
        answer = None if self._cache is None else self._cache.get(request.key)
        if answer is None:
            return None
        self._counter.add(ChatUsage(cache_hits=1))
        return Completion(answer.text, tokens=Tokens(), reused=True)

    def _asked(self, request: Request, stop: threading.Event) -> Completion:
        answer = self._retrier.run(lambda left, tried: self._exchange(request, left, tried), self.name, stop)
        self._counter.add(_usage(answer, request.images))
        if self._cache is not None and not answer.truncated:
            self._cache.put(request.key, answer)
        return Completion(answer.text, tokens=answer.tokens)

    def _exchange(self, request: Request, left: float, tried: int) -> Answer:
        self._counter.add(ChatUsage(requests=1, retries=int(tried > 0)))
        reply = self._transport.post("/chat/completions", request.body, left)
        return read_answer(reply.body, reply.headers)


def _options(
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


def _usage(answer: Answer, images: int) -> ChatUsage:
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

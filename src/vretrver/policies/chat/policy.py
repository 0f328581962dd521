"""`ChatPolicy`: conversations to completions over HTTP, many at once, with every kind of failure held at this edge."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import random
import threading
from collections.abc import Mapping, Sequence
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
from vretrver.policies.chat.request import Request, RequestWriter, fields
from vretrver.policies.chat.response import Answer, read_answer
from vretrver.policies.chat.retrying import Clock, Limits, Retrier, SystemClock
from vretrver.policies.chat.side_by_side import side_by_side
from vretrver.policies.chat.transport import Reply, Transport
from vretrver.policies.chat.usage import ChatUsage, Counter, spent
from vretrver.policies.options import split_options
from vretrver.protocol import Wire
from vretrver.usage import Tokens

MOST_KNOWN = 100_000  # pictures that are taken to be in a server's cache

OPTIONS: Mapping[str, type] = {
    "boxes": str, "tools": str, "stop": bool, "temperature": float, "max_tokens": int, "cache": str, "image_ids": bool,
    "quality": int, "allow_insecure": bool,
}  # fmt: skip
LIMITS: Mapping[str, type] = {limit.name: type(limit.default) for limit in dataclasses.fields(Limits)}

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
        image_ids: give each picture an identifier of its content, and send those that the server has answered about
            before by it alone, as vLLM takes them. Only for a server that the doctor has seen to keep them: one that
            passes over what it does not know would rank without those pictures.
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
        image_ids: bool = False,
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
        self._options = fields(model, tools, temperature, max_tokens, extra)
        if cache is not None and temperature != 0:
            raise InvalidInput(f"a cache would give every sample at temperature {temperature} the same text; drop one")
        if not 1 <= quality <= 95:
            raise InvalidInput(f"quality is {quality}; a JPEG's is 1 to 95")
        self._clock = SystemClock() if clock is None else clock
        self._tools, self._stop = tools, stop
        self._pictures = Pictures(quality)
        self._known: set[bytes] | None = set() if image_ids else None
        self._writer = self._new_writer()
        self._connect()
        self._cache = None if cache is None else AnswerCache(cache)
        self._kept = Kept(self._clock)
        self._counter = Counter()
        self._quality = quality

    @classmethod
    def load(cls, name: str, **options: Any) -> ChatPolicy:
        """The policy of `URL#MODEL`, with or without `chat:` before it, and with options behind it, such as
        `,tools=native,retries=2`: the class's own of one value each, and those of `Limits`.

        Raises:
            InvalidInput: as the class, or an option is unknown or given twice.
        """
        plain, named = split_options(name.removeprefix("chat:"), {**OPTIONS, **LIMITS}, ("temperature", "max_tokens"))
        if twice := sorted(named.keys() & options.keys()):
            raise InvalidInput(f"the option {twice[0]} stands in the name {name!r} and beside it; give it once")
        if limits := {option: named.pop(option) for option in LIMITS if option in named}:
            options["limits"] = replace(options.get("limits") or Limits(), **limits)
        url, model = split_name(plain)
        return cls(url, model, **{**named, **options})

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
    def image_ids(self) -> bool:
        return self._known is not None

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
        begun = self._clock.monotonic()

        def cut() -> None:
            stop.set()
            self._transport.abort()

        settled = side_by_side(
            lambda one: self._settle(one, alone, stop, begun), conversations, self.limits.concurrency, cut, self._save
        )
        failed = next((outcome for _key, outcome in settled if isinstance(outcome, Exception)), None)
        if failed is None:
            return [outcome for _key, outcome in settled if isinstance(outcome, Completion)]
        if not alone:
            self._kept.put(
                [(key, one) for key, one in settled if key is not None and isinstance(one, Completion | PolicyError)]
            )
        raise failed

    def answered(self, conversations: Sequence[Conversation]) -> list[Completion | None]:
        """What came, for each of these, before `complete` was interrupted; handed out once. For who writes it down."""
        keys = [self._writer.write(conversation).key for conversation in conversations]
        kept = [self._kept.take(key, failures=False) for key in keys]
        return [one if isinstance(one, Completion) else None for one in kept]

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

    def with_image_ids(self, on: bool) -> ChatPolicy:
        """The same policy with `image_ids` on, not knowing of any picture yet, or off; all else is shared."""
        other = copy.copy(self)
        other._known = set() if on else None
        other._writer = other._new_writer()
        return other

    def close(self) -> None:
        """Close idle connections; they open again when needed."""
        self._transport.close()

    def _connect(self) -> None:
        self._transport = Transport(self._address, self.limits, self._clock)
        self._retrier = Retrier(self.limits, self._clock, random.Random())  # noqa: S311 (jitter is no secret)

    def _new_writer(self) -> RequestWriter:
        scope = self._address.base
        return RequestWriter(
            self._options, self._pictures, self._tools, stop=self._stop, scope=scope, known=self._known
        )

    def _save(self, settled: Sequence[Settled]) -> None:
        """Keep what had come when a batch was interrupted."""
        self._kept.put([(key, one) for key, one in settled if key is not None and isinstance(one, Completion)])

    def _settle(self, conversation: Conversation, failures: bool, stop: threading.Event, begun: float) -> Settled:
        key: str | None = None
        try:
            request = self._writer.write(conversation)
            key = request.key
            kept = self._kept.take(key, failures)
            if kept is not None:
                self._counter.add(ChatUsage(kept=int(isinstance(kept, Completion))))
                return key, kept
            return key, self._cached(request) or self._asked(request, stop, self._left(conversation, begun))
        except Exception as fault:  # one conversation's failure must not cost the others theirs
            return key, fault

    def _left(self, conversation: Conversation, begun: float) -> float | None:
        """How long its answer is still of use; pictures take time to encode, and others were before it."""
        spent = self._clock.monotonic() - begun
        return None if conversation.seconds is None else max(0.0, conversation.seconds - spent)

    def _cached(self, request: Request) -> Completion | None:
        answer = None if self._cache is None else self._cache.get(request.key)
        if answer is None:
            return None
        self._counter.add(ChatUsage(cache_hits=1))
        return Completion(answer.text, tokens=Tokens(), reused=True)

    def _asked(self, request: Request, stop: threading.Event, seconds: float | None) -> Completion:
        answer = self._retrier.run(lambda left, tried: self._exchange(request, left, tried), self.name, stop, seconds)
        self._counter.add(spent(answer, request.images))
        if self._cache is not None and not answer.truncated:
            self._cache.put(request.key, answer)
        return Completion(answer.text, tokens=answer.tokens)

    def _exchange(self, request: Request, left: float, tried: int) -> Answer:
        answer = None if request.short is None or tried else self._by_ids(request, request.short, left)
        answer = answer or self._sent(request.body, left, ChatUsage(requests=1, retries=int(tried > 0)))
        if self._known is not None:
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            self._known |= request.pictures
        return answer

    def _by_ids(self, request: Request, short: bytes, left: float) -> Answer | None:
        """The answer to a request whose known pictures are named only; None where the server does not have one."""
        assert self._known is not None
        try:
            return self._sent(short, left, ChatUsage(requests=1, by_id=request.by_id))
        except Fault as fault:
            if fault.kind != "refused":
                raise
        self._known.clear()  # where it has dropped one it will have dropped others
        self._counter.add(ChatUsage(resent=1))
        return None

    def _sent(self, body: bytes, left: float, counted: ChatUsage) -> Answer:
        self._counter.add(counted)
        reply = self._transport.post("/chat/completions", body, left)
        return read_answer(reply.body, reply.headers)

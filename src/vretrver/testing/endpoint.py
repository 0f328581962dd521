"""`FakeEndpoint`: the server, and how requests become answers, faults and counts."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self, TypeAlias

from vretrver.boxes import BoxFamily
from vretrver.errors import InvalidInput
from vretrver.testing import faults
from vretrver.testing.agent import Agent, Relevance
from vretrver.testing.counters import Counters, Served
from vretrver.testing.reading import BadRequest, Reading, read
from vretrver.testing.server import Server
from vretrver.testing.serving import Latency, PrefixCache, text_tokens

Mode: TypeAlias = Literal["ideal", "faulty", "gullible"]
STOP = "</tool_call>"


class FakeEndpoint:
    """An OpenAI-compatible server on 127.0.0.1 with `/v1/chat/completions` and `/v1/models`; a context manager.

    The same request gets the same answer, whatever else is asked at the same time; which attempt at it meets which
    fault is seeded too.

    Args:
        relevance: query text, a candidate's text, its picture as sent or None -> how relevant it is. By default the
            share of the query's words that the text holds.
        mode: `ideal`; `faulty` plays faults; `gullible` obeys what a candidate's text tells it.
        seed: of noise, looks and faults.
        noise, position_bias, look_share, boxes: as `testing.agent.Agent`.
        model: the name of the model it serves.
        key: the API key it asks for; None asks for none.
        keeps_images: whether it keeps pictures by the identifiers that come with them, as vLLM does; one without takes
            no picture by its identifier alone.
        prefix_blocks: how many blocks of 16 tokens its prefix cache holds; 0 for a server without one.
        latency: simulated; told in the header `X-Simulated-Seconds` and summed in the counters.
        time_scale: how much of the latency is really slept; 0 sleeps nothing.
        fault_share, kinds: how often a faulty endpoint plays a fault, and which (`testing.KINDS`).
        retry_after: seconds in a 429's Retry-After.
        hang: seconds a `timeout` keeps the client waiting.
        reply: answers in the model's place, or gives None to leave it to the model.
        keep: how many of the latest request bodies stay in `bodies`.
        on_served: hears of every answer before it is sent, from the thread that sends it.

    Raises:
        InvalidInput: no such mode or kind of fault.
    """

    def __init__(
        self,
        relevance: Relevance | None = None,
        *,
        mode: Mode = "ideal",
        seed: int = 0,
        noise: float = 0.0,
        position_bias: float = 0.0,
        look_share: float = 0.5,
        boxes: BoxFamily = "0-1000",
        model: str = "fake",
        key: str | None = None,
        keeps_images: bool = True,
        prefix_blocks: int = 200_000,
        latency: Latency | None = None,
        time_scale: float = 0.0,
        fault_share: float = 0.3,
        kinds: Sequence[str] = faults.KINDS,
        retry_after: float = 1.0,
        hang: float = 30.0,
        reply: Callable[[Reading], str | None] | None = None,
        keep: int = 16,
        on_served: Callable[[Served], None] | None = None,
    ) -> None:
        strange = [kind for kind in kinds if kind not in faults.KINDS]
        if mode not in ("ideal", "faulty", "gullible") or strange or not kinds:
            raise InvalidInput(
                f"unknown mode {mode!r} or kinds of fault {strange}; choose ideal, faulty or gullible, and from "
                f"{', '.join(faults.KINDS)}"
            )
        self.model, self.mode, self.key = model, mode, key
        self.fault_share, self.kinds, self.retry_after, self.hang = fault_share, tuple(kinds), retry_after, hang
        self.latency, self.time_scale = latency or Latency(), time_scale
        self.images: dict[str, bytes] | None = {} if keeps_images else None
        self.bodies: deque[bytes] = deque(maxlen=keep)
        self._agent = Agent(
            relevance or shared_words, seed, noise, position_bias, look_share, boxes, gullible=mode == "gullible"
        )
        self._seed, self._reply, self._on_served = seed, reply, on_served
        self._cache = PrefixCache(prefix_blocks)
        self._counters, self._faults, self._attempts = Counters(), Counter[str](), Counter[str]()
        self._running = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The base URL, while it is running."""
        assert self._server is not None, "the endpoint is not running; use it as a context manager"
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def policy(self) -> str:
        """What `load_policy` takes."""
        return f"chat:{self.url}#{self.model}"

    @property
    def counters(self) -> Counters:
        with self._lock:
            return replace(self._counters, faults=dict(self._faults))

    def start(self) -> Self:
        self._closing.clear()
        self._server = Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake-endpoint").start()
        return self

    def close(self) -> None:
        """Stop; open connections are cut, requests in work are dropped."""
        if self._server is not None:
            self._closing.set()
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.close()

    def complete(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        """Answer one chat completion request, one way or another; for its server."""
        with self._lock:
            self.bodies.append(data)
            self._running += 1
            most = max(self._counters.concurrency, self._running)
            self._counters = replace(self._counters, calls=self._counters.calls + 1, concurrency=most)
        try:
            self._answer(handler, data)
        finally:
            with self._lock:
                self._running -= 1

    def _answer(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        try:
            reading = read(data, self.images)
        except BadRequest as why:
            faults.send(handler, 400, faults.error(str(why)))
            return
        if reading.body.get("model") != self.model:
            faults.send(handler, 404, faults.error(f"the model {reading.body.get('model')!r} does not exist"))
            return
        try:
            text = (self._reply(reading) if self._reply else None) or self._agent.text(reading)
        except Exception as broken:  # the caller's relevance or reply: whoever asked hears of it
            faults.send(handler, 500, faults.error(f"the fake's own function failed: {broken!r}"))
            return
        fault = self._fault(data)
        if fault == faults.TIMEOUT:
            self._closing.wait(self.hang)
            handler.close_connection = True
        elif fault is not None:
            faults.PLAYS[fault](handler, json.dumps(self._choice(reading, text)).encode(), self.retry_after)
        else:
            self._send(handler, reading, text)

    def _send(self, handler: BaseHTTPRequestHandler, reading: Reading, text: str) -> None:
        prompt, completion = self._cache.take(reading), text_tokens(text)
        seconds = self.latency.seconds(prompt.tokens - prompt.cached, completion)
        self._closing.wait(seconds * self.time_scale)
        with self._lock:
            total = self._counters
            self._counters = replace(
                total,
                answers=total.answers + 1,
                prompt_tokens=total.prompt_tokens + prompt.tokens,
                cached_tokens=total.cached_tokens + prompt.cached,
                image_tokens=total.image_tokens + prompt.image_tokens,
                completion_tokens=total.completion_tokens + completion,
                images=total.images + prompt.images,
                seconds=total.seconds + seconds,
            )
        if self._on_served is not None:
            served = Served(prompt.tokens, prompt.cached, prompt.image_tokens, completion, prompt.images, seconds)
            self._on_served(served)
        usage = {
            "prompt_tokens": prompt.tokens,
            "completion_tokens": completion,
            "total_tokens": prompt.tokens + completion,
            "prompt_tokens_details": {"cached_tokens": prompt.cached, "image_tokens": prompt.image_tokens},
        }
        answer = {**self._choice(reading, text), "usage": usage}
        faults.send(handler, 200, json.dumps(answer).encode(), {"X-Simulated-Seconds": f"{seconds:.6f}"})

    def _choice(self, reading: Reading, text: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        reason = "stop"
        stops = reading.body.get("stop") or []
        if reading.native and STOP in text:
            before, _tag, block = text.partition("<tool_call>")
            call = json.loads(block.partition(STOP)[0])
            function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
            message = {
                "role": "assistant",
                "content": before or None,
                "tool_calls": [{"id": "call00000", "type": "function", "function": function}],
            }
            reason = "tool_calls"
        elif STOP in (stops if isinstance(stops, list) else [stops]):
            message["content"] = text.partition(STOP)[0]
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {"id": "fake", "object": "chat.completion", "created": 0, "model": self.model, "choices": [choice]}

    def _fault(self, data: bytes) -> str | None:
        """The fault of this attempt at this request, if it meets one."""
        if self.mode != "faulty":
            return None
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._attempts[digest] += 1
            draw = random.Random(f"{self._seed} {digest} {self._attempts[digest]}")  # noqa: S311
            kind = draw.choice(self.kinds) if draw.random() < self.fault_share else None
            if kind is not None:
                self._faults[kind] += 1
        return kind


def shared_words(query: str, text: str, _image: bytes | None) -> float:
    """The share of the query's words that a text holds."""
    words = set(query.lower().split())
    return len(words & set(text.lower().split())) / max(1, len(words))

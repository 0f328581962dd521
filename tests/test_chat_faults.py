"""A server that fails in every way: each query still gets a valid ranking, and what fails is said."""

from __future__ import annotations

import email.utils
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_server import RawServer, response
from vretrver.budget import Budget
from vretrver.errors import PolicyError
from vretrver.messages import Conversation, Message, TextPart
from vretrver.policies.chat import ChatPolicy, Clock, Limits
from vretrver.policies.chat.faults import Fault
from vretrver.policies.chat.response import read_answer
from vretrver.policies.chat.retrying import Breaker, Retrier
from vretrver.policies.chat.transport import MAX_BODY
from vretrver.reranker import Reranker
from vretrver.testing import KINDS, FakeClock, FakeEndpoint, Reading
from vretrver.trace import Ranking, StopReason
from vretrver.types import Document, ImageRef, Query, Window

Paint = Callable[..., str]
QUICK = Limits(backoff=0.001, longest_wait=0.01, retries=2, read=5, deadline=10)
ANSWER = json.dumps({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}).encode()
JSON = {"content-type": "application/json"}


def say(text: str) -> Conversation:
    return Conversation(Window(Query("q"), ()), [Message("user", (TextPart(text),))])


def number(_query: str, text: str, _image: bytes | None) -> float:
    return float(text.rpartition(" ")[2])


def policy_for(server: RawServer | FakeEndpoint, limits: Limits = QUICK, clock: Clock | None = None) -> ChatPolicy:
    model = server.model if isinstance(server, FakeEndpoint) else "m"
    return ChatPolicy(server.url, model, limits=limits, clock=clock, environment={})


@pytest.fixture
def lists(paint: Paint) -> list[list[Document]]:
    """Ten lists of eight tiles in ten orders, half of the tiles with pictures."""
    pictures = [paint(f"{at}.png", f"#{at * 20:02x}4080", (120, 90)) for at in range(4)]
    tiles = [Document(f"d{at}", f"tile {at}", ImageRef(pictures[at]) if at < 4 else None) for at in range(8)]
    return [random.Random(seed).sample(tiles, 8) for seed in range(10)]


# ---- 30 % faults


def rerank(endpoint: FakeEndpoint, lists: list[list[Document]], limits: Limits) -> list[Ranking]:
    policy = policy_for(endpoint, limits)
    return Reranker(policy).rerank_many([f"query {at}" for at in range(len(lists))], lists)


def test_with_retries_a_faulty_server_ranks_as_a_sound_one(lists: list[list[Document]]) -> None:
    with FakeEndpoint(number, noise=2.0) as sound:
        want = rerank(sound, lists * 4, QUICK)
    with FakeEndpoint(number, noise=2.0, mode="faulty", retry_after=0.001, hang=0.01) as faulty:
        got = rerank(faulty, lists * 4, replace(QUICK, retries=20, concurrency=4))
        counters = faulty.counters
    assert [ranking.ids for ranking in got] == [ranking.ids for ranking in want]
    assert [trace.turns[-1].text for ranking in got for trace in ranking.traces] == [
        trace.turns[-1].text for ranking in want for trace in ranking.traces
    ]
    assert 0.2 < sum(counters.faults.values()) / counters.calls < 0.4 and len(counters.faults) >= 9
    assert counters.calls == counters.answers + sum(counters.faults.values())  # nothing was paid twice


def test_every_kind_of_fault_is_played_and_survived() -> None:
    for kind in KINDS:
        faults = {"mode": "faulty", "fault_share": 0.6, "kinds": [kind], "retry_after": 0.001, "hang": 0.01}
        with FakeEndpoint(reply=lambda reading: reading.text, **faults) as endpoint:  # type: ignore[arg-type]
            policy = policy_for(endpoint, replace(QUICK, retries=30, failures=0))
            assert [one.text for one in policy.complete([say(str(at)) for at in range(6)])] == list("012345")
            assert set(endpoint.counters.faults) == {kind}, kind


def test_without_retries_what_fails_keeps_its_order_and_says_so(lists: list[list[Document]]) -> None:
    with FakeEndpoint(number, mode="faulty", retry_after=0.001, hang=0.01) as endpoint:
        rankings = rerank(endpoint, lists, replace(QUICK, retries=0, failures=0))
    failed = [ranking.traces[0].stop is StopReason.POLICY_ERROR for ranking in rankings]
    assert 1 <= sum(failed) < 10
    for ranking, documents, broke in zip(rankings, lists, failed, strict=True):
        if broke:
            assert ranking.ids == tuple(document.id for document in documents)
            assert ranking.traces[0].error is not None and ranking.traces[0].error.startswith("PolicyError: chat:")
            assert "\n" not in ranking.traces[0].error
        else:
            assert ranking.ids == tuple(f"d{at}" for at in range(7, -1, -1))


def test_a_stopped_server_leaves_every_query_its_first_order(lists: list[list[Document]]) -> None:
    with FakeEndpoint(number) as endpoint:
        policy = policy_for(endpoint, replace(QUICK, failures=3, cooldown=60, concurrency=1))
        assert Reranker(policy).rerank("first", lists[0]).ids[0] == "d7"
    rankings = Reranker(policy).rerank_many([f"query {at}" for at in range(10)], lists)
    for ranking, documents in zip(rankings, lists, strict=True):
        assert ranking.ids == tuple(document.id for document in documents)
        assert ranking.traces[0].stop is StopReason.POLICY_ERROR
        assert "Connection refused" in str(ranking.traces[0].error)
    assert "left alone" in str(rankings[-1].traces[0].error)
    assert policy.usage.requests == policy.usage.answers + 3  # the others were not even tried


# ---- deadlines


@pytest.fixture
def silent() -> Iterator[RawServer]:
    """Takes a request and never answers."""

    def wait(_line: socket.socket) -> None:
        server.closing.wait(20)

    with RawServer(wait) as server:
        yield server


def test_a_server_that_never_answers_is_given_up_at_the_deadline(silent: RawServer) -> None:
    started = time.perf_counter()
    with pytest.raises(PolicyError, match=r"no answer within|timed out"):
        policy_for(silent, replace(QUICK, deadline=0.3)).complete([say("x")])
    assert 0.2 < time.perf_counter() - started < 8


def test_a_silence_longer_than_the_read_limit_is_another_attempt(silent: RawServer) -> None:
    policy = policy_for(silent, replace(QUICK, read=0.05))
    with pytest.raises(PolicyError, match=r"(?i)timed out.*\(tried 3 times\)"):
        policy.complete([say("x")])
    assert policy.usage.requests == 3


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_a_server_that_trickles_is_cut_off(part: bytes) -> None:
    """Never silent for long, in the headers or in the body: only a deadline for the whole ends it."""

    def trickle(line: socket.socket) -> None:
        line.sendall(part)
        while not server.closing.wait(0.02):
            line.sendall(b"x")

    with RawServer(trickle) as server:
        started = time.perf_counter()
        with pytest.raises(PolicyError, match="no answer within"):
            policy_for(server, replace(QUICK, deadline=0.3)).complete([say("x")])
        assert time.perf_counter() - started < 8


def test_a_connection_serves_many_requests_and_the_deadline_of_one_spares_the_next() -> None:
    with FakeEndpoint(reply=lambda reading: reading.text) as endpoint:
        policy = policy_for(endpoint, replace(QUICK, deadline=1))
        for at in range(3):
            assert policy.complete([say(str(at))])[0].text == str(at)
            time.sleep(0.6)  # the timer of the first would have gone off by the end
        policy.close()


# ---- when to come back


class Busy:
    """Answers 429 with given headers a number of times, then well."""

    def __init__(self, *headers: str, times: int = 1) -> None:
        self._left, self._headers = times, headers

    def __call__(self, line: socket.socket) -> None:
        self._left -= 1
        line.sendall(response(ANSWER) if self._left < 0 else response(b"{}", "429 Too Many Requests", *self._headers))


def waits(limits: Limits, *headers: str, times: int = 1) -> list[float]:
    clock = FakeClock()
    with RawServer(Busy(*headers, times=times)) as server:
        assert policy_for(server, limits, clock).complete([say("x")])[0].text == "hello"
    return clock.slept


PATIENT = Limits(backoff=0.5, longest_wait=60, retries=4, deadline=1000)


def test_retry_after_is_honoured() -> None:
    assert 7 <= waits(PATIENT, "Retry-After: 7")[0] <= 7.5
    now = 1_800_000_000
    dated = [email.utils.formatdate(now + later, usegmt=True) for later in (0, 9)]
    assert 9 <= waits(PATIENT, f"Date: {dated[0]}", f"Retry-After: {dated[1]}")[0] <= 9.5
    assert 9 <= waits(PATIENT, f"Retry-After: {dated[1]}")[0] <= 9.5  # against the client's own clock
    behind = email.utils.formatdate(now - 5000, usegmt=True)
    assert 0 <= waits(PATIENT, f"Date: {dated[0]}", f"Retry-After: {behind}")[0] <= 0.5


@pytest.mark.parametrize("value", ["soon", "-5", "1e9", "", "9" * 400, "Tue, 99 Foo 2026 00:00:00 GMT"])
def test_a_retry_after_that_makes_no_sense_is_not_there(value: str) -> None:
    assert 0 <= waits(PATIENT, f"Retry-After: {value}")[0] <= 0.5


def test_a_retry_after_is_capped_and_gives_up_where_it_would_pass_the_deadline() -> None:
    assert 60 <= waits(PATIENT, "Retry-After: 3600")[0] <= 60.5
    with pytest.raises(PolicyError, match=r"HTTP 429.* would pass the deadline of 30 s"):
        waits(replace(PATIENT, deadline=30), "Retry-After: 3600")


def test_waits_grow_and_jitter_is_full() -> None:
    clock = FakeClock()
    retrier = Retrier(Limits(backoff=1, longest_wait=8, retries=400, deadline=1e6, failures=0), clock, random.Random(0))
    left = [400]

    def attempt(_seconds: float, tried: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            return tried
        raise Fault("server", "down")

    assert retrier.run(attempt, "x") == 400
    assert all(wait <= min(8, 2**at) for at, wait in enumerate(clock.slept))
    late = sorted(clock.slept[10:])
    assert late[0] < 0.2 and late[-1] > 7.8 and 3.5 < sum(late) / len(late) < 4.5


def test_what_no_retry_can_mend_is_not_retried() -> None:
    for status in ("400 Bad Request", "401 Unauthorized", "404 Not Found", "413 Too Large", "302 Found"):
        with RawServer(response(b'{"error": {"message": "the \\"reason\\""}}', status)) as server:
            with pytest.raises(PolicyError, match=f"HTTP {status[:3]}: the"):
                policy_for(server).complete([say("x")])
            assert len(server.requests) == 1


def test_what_a_server_says_cannot_move_the_cursor() -> None:
    said = json.dumps({"error": {"message": "bad\x1b[2J\r\n\u202emodel"}}).encode()
    with RawServer(response(said, "400 Bad Request")) as server, pytest.raises(PolicyError) as caught:
        policy_for(server).complete([say("x")])
    assert str(caught.value).endswith("HTTP 400: bad [2J model")


# ---- the breaker


def test_the_breaker_opens_lets_one_try_and_recovers() -> None:
    clock = FakeClock()
    breaker = Breaker(3, 10, clock)
    down = Fault("transport", "refused")
    for _ in range(3):
        assert not breaker.is_open
        breaker.leave(breaker.enter(), down)
    for _ in range(2):
        with pytest.raises(Fault, match="not answered 3 times in a row and is left alone: refused"):
            breaker.enter()
    clock.pass_by(10)
    probe = breaker.enter()  # half open: one may try
    with pytest.raises(Fault):
        breaker.enter()
    breaker.leave(probe, down)
    with pytest.raises(Fault):  # and leaves it open when it fails
        breaker.enter()
    clock.pass_by(10)
    breaker.leave(breaker.enter(), None)
    assert not breaker.is_open
    for _ in range(5):
        breaker.leave(breaker.enter(), None)


def test_failures_side_by_side_count_as_one() -> None:
    breaker = Breaker(3, 10, FakeClock())
    for row in range(3):
        assert not breaker.is_open, row
        together = [breaker.enter() for _ in range(8)]
        for entered in together:
            breaker.leave(entered, Fault("transport", "reset"))
    assert breaker.is_open


def test_only_silence_opens_the_breaker() -> None:
    breaker = Breaker(2, 10, FakeClock())
    for fault in [Fault("transport", ""), Fault("busy", ""), Fault("transport", ""), Fault("server", "")] * 5:
        breaker.leave(breaker.enter(), fault)
    assert not breaker.is_open
    never = Breaker(0, 10, FakeClock())
    for _ in range(50):
        never.leave(never.enter(), Fault("transport", ""))


def test_a_server_that_comes_back_is_asked_again() -> None:
    clock = FakeClock()
    endpoint = FakeEndpoint(reply=lambda reading: reading.text)
    with endpoint:
        policy = policy_for(endpoint, replace(QUICK, retries=0, failures=2, cooldown=30), clock)
        port = int(endpoint.url.split(":")[2].removesuffix("/v1"))
    for why in ("refused", "refused", "left alone"):
        with pytest.raises(PolicyError, match=why):
            policy.complete([say("x")])
    clock.pass_by(31)
    with RawServerAt(port):
        assert policy.complete([say("x")])[0].text == "hello"
        assert policy.complete([say("y")])[0].text == "hello"


class RawServerAt(RawServer):
    """A raw server on a given port."""

    def __init__(self, port: int) -> None:
        super().__init__(response(ANSWER))
        self._listener.close()
        self._listener = socket.create_server(("127.0.0.1", port))


# ---- what is no answer


def test_an_endless_answer_is_cut_off() -> None:
    def pour(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"10000\r\n" + b" " * 65536 + b"\r\n"
        while not server.closing.is_set():
            line.sendall(block)

    with RawServer(pour) as server, pytest.raises(PolicyError, match=f"longer than {MAX_BODY} bytes"):
        policy_for(server, replace(QUICK, retries=0)).complete([say("x")])


def test_a_compressed_answer_is_refused() -> None:
    server = RawServer(response(ANSWER, "200 OK", "Content-Encoding: gzip"))
    with server, pytest.raises(PolicyError, match="compressed"):
        policy_for(server, replace(QUICK, retries=0)).complete([say("x")])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"choices": []}', "no choices"),
        (b'{"error": {"message": "out of memory"}}', "no choices: .*out of memory"),
        (b'{"choices": [{"text": "x"}]}', "no message"),
        (b'{"choices": [{"message": {"content": 7}}]}', "not text"),
        (b'{"choices": [{"message": {"content": " "}, "finish_reason": "length"}]}', "empty .finish_reason 'length'"),
        (b'{"choices": [{"message": {"tool_calls": [1]}}]}', "not a list of objects"),
        (b'{"choices": [{"message": {"tool_calls": [{"function": {}}]}}]}', "without a function's name"),
    ],
)
def test_what_is_no_completion_is_said_to_be_none(body: bytes, why: str) -> None:
    with pytest.raises(Fault, match=why) as caught:
        read_answer(body, JSON)
    assert caught.value.kind == "garbled" and caught.value.again


Values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=64), Values, Values, Values)
def test_any_answer_is_read_or_refused(junk: bytes, message: Any, calls: Any, usage: Any) -> None:
    bodies: list[Any] = [
        {"choices": [message], "usage": usage},
        {"choices": [{"message": {"content": message, "tool_calls": calls}}], "usage": usage},
        {"choices": [{"message": {"content": "x", "tool_calls": [{"function": {"name": "f", "arguments": calls}}]}}]},
    ]
    for body in [junk, *(json.dumps(body).encode() for body in bodies)]:
        try:
            answer = read_answer(body, JSON)
        except Fault as fault:
            assert fault.kind == "garbled" and "\n" not in str(fault)
        else:
            assert answer.text.strip() and (answer.tokens is None or answer.tokens.total >= 0)


def test_a_budget_of_seconds_ends_a_call_and_does_not_blame_the_server(silent: RawServer) -> None:
    policy = policy_for(silent, replace(QUICK, read=60, deadline=60, failures=1))
    started = time.perf_counter()
    ranking = Reranker(policy, budget=Budget(seconds=0.3)).rerank("a tile", ["one", "two"])
    assert time.perf_counter() - started < 5
    assert ranking.partial and ranking.traces[0].stop is StopReason.BUDGET and ranking.ids == ("text-1", "text-2")
    assert not policy._retrier.breaker.is_open


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("limits", [QUICK, replace(QUICK, read=0.05, backoff=1000, longest_wait=1000, deadline=9999)])
def test_ctrl_c_ends_a_batch_at_once(silent: RawServer, limits: Limits, request: pytest.FixtureRequest) -> None:
    """Whether its requests are waiting for the server or for their next attempt."""
    policy = policy_for(silent, replace(limits, concurrency=4, failures=0))

    def press() -> None:
        while len(silent.requests) < 4:
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    # Tests that a shell starts in the background have been told to ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    presser.start()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        policy.complete([say(str(at)) for at in range(9)])
    assert time.perf_counter() - started < 5  # as long as QUICK's silence, and far less than its deadline
    presser.join()
    assert len(silent.requests) < 9


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_ctrl_c_loses_no_answer_that_came(request: pytest.FixtureRequest) -> None:
    waiting = threading.Event()

    def reply(reading: Reading) -> str:
        if reading.text == "3" and not waiting.is_set():
            while policy.usage.answers < 3:
                time.sleep(0.01)
            time.sleep(0.1)  # what was counted is handed over by then
            os.kill(os.getpid(), signal.SIGINT)
            waiting.wait(5)
        return f"<answer>[{reading.text}]</answer>"

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with FakeEndpoint(reply=reply) as endpoint:
        policy = policy_for(endpoint, replace(QUICK, concurrency=4))
        asked = [say(str(at)) for at in (1, 2, 3, 4)]
        with pytest.raises(KeyboardInterrupt):
            policy.complete(asked)
        waiting.set()
        assert [one and one.text for one in policy.answered(asked)] == [
            "<answer>[1]</answer>", "<answer>[2]</answer>", None, "<answer>[4]</answer>",
        ]  # fmt: skip
        assert policy.answered(asked) == [None] * 4  # it hands them out once

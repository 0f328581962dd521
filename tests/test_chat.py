"""The chat policy against the fake endpoint: whole searches, what is sent, what is kept, and the key."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raw_server import RawServer, response
from vretrver.errors import ImageError, InvalidInput, PolicyError, StorageError
from vretrver.messages import Conversation, Message, TextPart
from vretrver.policies import Policy, load_policy
from vretrver.policies.chat import ChatPolicy, ChatUsage, Limits
from vretrver.policies.chat.address import Key, address, family_of
from vretrver.protocol import Wire
from vretrver.reranker import Reranker
from vretrver.testing import FakeEndpoint, Reading
from vretrver.trace import Ranking, StopReason
from vretrver.types import Document, ImageRef, Query, Window
from vretrver.usage import Tokens

Paint = Callable[..., str]
SECRET = "sk-a-very-secret-key"
QUICK = Limits(backoff=0.001, longest_wait=0.01, retries=2, read=5, deadline=10)
ANSWER = json.dumps({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}).encode()


def number(_query: str, text: str, _image: bytes | None) -> float:
    """The relevance of "tile 7" is 7."""
    return float(text.rpartition(" ")[2])


def say(text: str) -> Conversation:
    return Conversation(Window(Query("q"), ()), [Message("user", (TextPart(text),))])


@pytest.fixture
def tiles(paint: Paint) -> list[Document]:
    """24 tiles; every third has no picture."""
    colours = [f"#{at * 10:02x}8040" for at in range(24)]
    return [
        Document(f"d{at}", f"tile {at}", None if at % 3 == 0 else ImageRef(paint(f"{at}.png", colours[at], (320, 240))))
        for at in range(24)
    ]


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(number, look_share=1.0) as running:
        yield running


def test_a_search_from_the_name_alone(endpoint: FakeEndpoint, tiles: list[Document]) -> None:
    policy = load_policy(endpoint.policy)
    assert isinstance(policy, ChatPolicy) and isinstance(policy, Policy)
    ranking = Reranker(policy).rerank("a tile", tiles)
    assert ranking.ids[:5] == ("d23", "d22", "d21", "d20", "d19")
    assert {trace.stop for trace in ranking.traces} == {StopReason.ANSWERED}
    assert not any(trace.repairs for trace in ranking.traces)
    assert {turn.call.name for trace in ranking.traces for turn in trace.turns if turn.call} == {
        "select_images",
        "crop_image",
    }
    seen, usage = endpoint.counters, policy.usage
    assert usage.answers == usage.requests == seen.answers == ranking.usage.policy_calls
    assert ranking.usage.tokens == Tokens(
        seen.prompt_tokens, seen.completion_tokens, seen.cached_tokens, seen.image_tokens
    )
    assert (usage.prompt_tokens, usage.cached_tokens, usage.image_tokens, usage.completion_tokens, usage.images) == (
        seen.prompt_tokens, seen.cached_tokens, seen.image_tokens, seen.completion_tokens, seen.images,
    )  # fmt: skip
    assert policy.name == endpoint.policy == ranking.traces[0].policy


def test_native_tool_calling_gives_the_same_episode(endpoint: FakeEndpoint, tiles: list[Document]) -> None:
    text = Reranker(ChatPolicy.load(endpoint.policy)).rerank("a tile", tiles)
    native = Reranker(ChatPolicy.load(endpoint.policy, tools="native")).rerank("a tile", tiles)
    assert [turns(ranking) for ranking in (text, native)] == [turns(text)] * 2
    assert text.usage.tool_calls == 4
    body = json.loads(endpoint.bodies[-1])
    assert [tool["function"]["name"] for tool in body["tools"]] == ["select_images", "crop_image"]
    assert "tool_call" not in body["messages"][0]["content"] and "stop" not in body
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user", "assistant", "tool", "user"]
    called, told = body["messages"][2], body["messages"][3]
    assert called["tool_calls"][0]["id"] == told["tool_call_id"] and "Image Size" in told["content"]
    assert [part["type"] for part in body["messages"][4]["content"]] == ["image_url"] * 2


def turns(ranking: Ranking) -> list[Any]:
    return [
        (trace.order, trace.stop, [(turn.text, turn.call, turn.observation) for turn in trace.turns])
        for trace in ranking.traces
    ]


@pytest.mark.parametrize("tools", ["text", "native"])
def test_a_later_turn_begins_with_the_bytes_of_the_one_before(
    endpoint: FakeEndpoint, tiles: list[Document], tools: str
) -> None:
    Reranker(ChatPolicy.load(endpoint.policy, tools=tools)).rerank("a tile", tiles[:12])
    first, second, third = endpoint.bodies
    assert second.startswith(first.removesuffix(b"]}") + b",")
    assert third.startswith(second.removesuffix(b"]}") + b",")
    assert len(first) < len(second) < len(third)


def shared(one: bytes, other: bytes) -> bytes:
    """The bytes with which both begin."""
    apart = next((at for at, (here, there) in enumerate(zip(one, other, strict=False)) if here != there), len(one))
    return one[:apart]


def test_what_comes_first_is_what_requests_have_in_common(endpoint: FakeEndpoint, tiles: list[Document]) -> None:
    """System, tools and query before any candidate: windows of one query share all of it, other queries the system."""
    reranker = Reranker(ChatPolicy.load(endpoint.policy), max_tool_turns=2)
    picture = ImageRef(data=Path(str(tiles[1].image.path)).read_bytes() if tiles[1].image else b"")
    query = Query("a tile", (picture,), "Find the tile.")
    reranker.rerank(query, tiles)
    bodies = list(endpoint.bodies)
    opening = [body for body in bodies if b'"role":"assistant"' not in body]
    assert len(bodies) == 6 and len(opening) == 2  # two windows of three turns
    common = shared(*opening)
    sent = json.loads(opening[0])["messages"]
    assert [message["role"] for message in sent] == ["system", "user"] and "<tools>" in sent[0]["content"]
    assert [part["type"] for part in sent[1]["content"][:3]] == ["text", "image_url", "text"]
    assert sent[1]["content"][2]["text"].startswith(" Find the tile. a tile\n\nCandidates:\n(1) ")
    assert common.endswith(rb'{"type":"text","text":" Find the tile. a tile\n\nCandidates:\n(1) ')
    endpoint.bodies.clear()
    reranker.rerank("something else", tiles[:3])
    other = shared(opening[0], endpoint.bodies[0])
    assert other.endswith(b'},{"role":"user","content":[{"type":"text","text":"Query: ')


@pytest.mark.parametrize("tools", ["text", "native"])
def test_a_picture_that_the_server_keeps_is_sent_once(
    endpoint: FakeEndpoint, tiles: list[Document], tools: str
) -> None:
    plain = Reranker(ChatPolicy.load(endpoint.policy, tools=tools)).rerank("a tile", tiles)
    sent = sum(map(len, endpoint.bodies))
    endpoint.bodies.clear()
    policy = ChatPolicy.load(endpoint.policy, tools=tools, image_ids=True)
    named = Reranker(policy).rerank("a tile", tiles)
    assert turns(named) == turns(plain) and named.usage.tokens is not None and plain.usage.tokens is not None
    assert named.usage.tokens.prompt == plain.usage.tokens.prompt
    pictures = [part for body in endpoint.bodies for part in _pictures(json.loads(body))]
    whole = [part["uuid"] for part in pictures if part["image_url"]]
    assert len(whole) == len(set(whole)) and {part["uuid"] for part in pictures} == set(whole)
    for part in pictures:
        if part["image_url"]:
            jpeg = base64.b64decode(part["image_url"]["url"].partition(",")[2])
            assert part["uuid"] == hashlib.sha256(jpeg).hexdigest()
    assert policy.usage.by_id == len(pictures) - len(whole) > 20 and policy.usage.resent == 0
    assert sum(map(len, endpoint.bodies)) < sent / 2


def _pictures(body: Any) -> list[Any]:
    content = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    return [part for parts in content for part in parts if part["type"] == "image_url"]


def test_a_picture_that_the_server_has_dropped_is_sent_again(endpoint: FakeEndpoint, tiles: list[Document]) -> None:
    policy = ChatPolicy.load(endpoint.policy, image_ids=True)
    first = Reranker(policy).rerank("a tile", tiles[:12])
    assert endpoint.images
    endpoint.images.clear()
    assert turns(Reranker(policy).rerank("a tile", tiles[:12])) == turns(first)
    assert (policy.usage.resent, policy.usage.retries) == (1, 0)
    with FakeEndpoint(number, look_share=1.0, keeps_images=False) as forgetful:
        policy = ChatPolicy.load(forgetful.policy, image_ids=True)
        assert turns(Reranker(policy).rerank("a tile", tiles[:12])) == turns(first)
        assert policy.usage.resent == 2  # the second and the third turn


def test_what_was_sent_is_the_window(endpoint: FakeEndpoint, tiles: list[Document]) -> None:
    Reranker(ChatPolicy.load(endpoint.policy), max_tool_turns=0).rerank("a tile", tiles[:6])
    body = json.loads(endpoint.bodies[-1])
    assert body["model"] == "fake" and body["temperature"] == 0 and body["stop"] == ["</tool_call>"]
    kinds = [part["type"] for part in body["messages"][1]["content"]]
    assert kinds.count("image_url") == 4  # of six, two have no picture
    assert body["messages"][1]["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")


def test_a_picture_is_encoded_once(endpoint: FakeEndpoint, tiles: list[Document]) -> None:
    policy = ChatPolicy.load(endpoint.policy)
    Reranker(policy, max_tool_turns=0).rerank_many(["a tile", "another"], [tiles[:12], tiles[:12]])
    assert endpoint.counters.images == 16 and policy._pictures.encoded <= 8 * 2  # two threads may start together
    Reranker(policy, max_tool_turns=0).rerank("a third", tiles[:12])
    assert policy._pictures.encoded <= 8 * 2 and endpoint.counters.images == 24


def test_batches_come_back_in_order_and_within_the_bound() -> None:
    gate = threading.Barrier(3)

    def reply(reading: Reading) -> str:
        gate.wait(30)  # passes only when three requests are in work at the same time
        return f"you said {reading.text}"

    with FakeEndpoint(reply=reply) as endpoint:
        policy = ChatPolicy.load(endpoint.policy, limits=replace(QUICK, concurrency=3, read=60, deadline=60))
        said = policy.complete([say(str(at)) for at in range(12)])
        assert [one.text for one in said] == [f"you said {at}" for at in range(12)]
        assert endpoint.counters.concurrency == 3


def test_the_bound_holds_over_callers() -> None:
    def reply(_reading: Reading) -> str:
        time.sleep(0.01)
        return "yes"

    with FakeEndpoint(reply=reply) as endpoint:
        policy = ChatPolicy.load(endpoint.policy, limits=replace(QUICK, concurrency=2))
        callers = [threading.Thread(target=policy.complete, args=([say(f"{at}")] * 3,)) for at in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert endpoint.counters.answers == 12 and endpoint.counters.concurrency <= 2


def test_one_failing_conversation_costs_the_others_nothing() -> None:
    def reply(reading: Reading) -> str:
        if reading.text == "3":
            raise ValueError("I do not like threes")
        return reading.text

    with FakeEndpoint(reply=reply) as endpoint:
        policy = ChatPolicy.load(endpoint.policy, limits=QUICK)
        asked = [say(str(at)) for at in range(6)]
        with pytest.raises(PolicyError, match=r"HTTP 500: .*threes.* \(tried 3 times\)"):
            policy.complete(asked)
        assert endpoint.counters.calls == 5 + 3
        for at in (0, 1, 2, 4, 5):  # as the reranker does: one by one
            assert policy.complete([asked[at]])[0].text == str(at)
        with pytest.raises(PolicyError, match="threes"):
            policy.complete([asked[3]])
        assert endpoint.counters.calls == 5 + 3  # nothing was paid or waited for twice
        assert policy.usage == ChatUsage(
            requests=8, retries=2, answers=5, prompt_tokens=endpoint.counters.prompt_tokens,
            completion_tokens=endpoint.counters.completion_tokens, kept=5,
        )  # fmt: skip
        policy.complete([asked[0]])
        assert endpoint.counters.calls == 5 + 3 + 1  # an answer is handed out once


def test_a_whole_batch_that_is_asked_again_tries_only_what_failed() -> None:
    refused = ["1"]

    def reply(reading: Reading) -> str:
        if reading.text in refused:
            raise ValueError
        return reading.text

    with FakeEndpoint(reply=reply) as endpoint:
        policy = ChatPolicy.load(endpoint.policy, limits=replace(QUICK, retries=0))
        with pytest.raises(PolicyError):
            policy.complete([say("0"), say("1"), say("0")])
        refused.clear()
        assert [one.text for one in policy.complete([say("0"), say("1"), say("0")])] == ["0", "1", "0"]
        assert endpoint.counters.calls == 4 and policy.usage.kept == 2


def test_a_damaged_picture_leaves_the_others_alone(endpoint: FakeEndpoint, tiles: list[Document], paint: Paint) -> None:
    path = Path(paint("broken.jpg", "red", (400, 300)))
    path.write_bytes(path.read_bytes()[:400])
    broken = [*tiles[:5], Document("broken", "tile 99", ImageRef(str(path)))]
    policy = ChatPolicy.load(endpoint.policy)
    whole, damaged = Reranker(policy, max_tool_turns=0).rerank_many(["a tile", "a tile"], [tiles[:6], broken])
    assert whole.ids[0] == "d5" and damaged.ids[0] == "broken"
    assert "cannot be read" in damaged.traces[0].repairs[0]
    assert endpoint.counters.calls == 2
    reading = Conversation(Window(Query("q"), ()), [Message("user", (TextPart("x"),))])
    assert not isinstance(policy.complete([reading])[0], ImageError)


def test_the_cache_answers_instead_of_the_server(endpoint: FakeEndpoint, tiles: list[Document], tmp_path: Path) -> None:
    first = Reranker(ChatPolicy.load(endpoint.policy, cache=tmp_path)).rerank("a tile", tiles)
    asked = endpoint.counters.calls
    again = ChatPolicy.load(endpoint.policy, cache=tmp_path)
    second = Reranker(again).rerank("a tile", tiles)
    assert endpoint.counters.calls == asked and again.usage.cache_hits == asked
    assert turns(first) == turns(second) and second.usage.tokens == Tokens()
    assert (first.usage.cache_hits, second.usage.cache_hits) == (0, second.usage.policy_calls)
    for path in tmp_path.glob("*/*.json"):
        path.write_text("{")  # a damaged entry is no entry
    Reranker(ChatPolicy.load(endpoint.policy, cache=tmp_path)).rerank("a tile", tiles)
    assert endpoint.counters.calls == 2 * asked
    assert not list(tmp_path.glob("*/*.part"))


def test_another_server_another_option_another_entry(tmp_path: Path) -> None:
    said = iter("abcdef")
    with FakeEndpoint(reply=lambda _reading: next(said)) as one, FakeEndpoint(reply=lambda _reading: "other") as other:

        def ask(name: str, **options: Any) -> str:
            return ChatPolicy.load(name, cache=tmp_path, **options).complete([say("x")])[0].text

        assert [ask(one.policy), ask(one.policy), ask(one.policy, max_tokens=9)] == ["a", "a", "b"]
        assert ask(other.policy) == "other"


def test_a_cache_does_not_go_with_sampling_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"temperature 1\.0"):
        ChatPolicy("http://localhost/v1", "m", temperature=1.0, cache=tmp_path)
    with pytest.raises(InvalidInput, match="temperature None"):
        ChatPolicy("http://localhost/v1", "m", temperature=None, cache=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make the cache folder"):
        ChatPolicy("http://localhost/v1", "m", cache=tmp_path / "file")


def test_the_key_opens_the_door_and_shows_itself_nowhere(tiles: list[Document], tmp_path: Path) -> None:
    with FakeEndpoint(number, key=SECRET, mode="faulty", fault_share=0.5, kinds=["500", "garbled"]) as endpoint:
        policy = ChatPolicy.load(
            endpoint.policy,
            environment={"VRETRVER_API_KEY": SECRET},
            cache=tmp_path / "kept",
            limits=replace(QUICK, retries=9),
        )
        ranking = Reranker(policy).rerank("a tile", tiles)
        assert ranking.ids[0] == "d23" and policy.usage.retries
        wrong = ChatPolicy.load(
            endpoint.policy, environment={"OPENAI_API_KEY": SECRET + "-wrong"}, limits=replace(QUICK, retries=9)
        )
        failed = Reranker(wrong).rerank("a tile", tiles[:3])
        assert failed.traces[0].error is not None and "incorrect API key provided: [key]" in failed.traces[0].error
        with pytest.raises(PolicyError) as caught:
            wrong.complete([say("x")])
        with pytest.raises(TypeError):
            pickle.dumps(policy._address.key)
        stored = "".join(path.read_text() for path in (tmp_path / "kept").rglob("*") if path.is_file())
        told = [ranking.to_record(), failed.to_record(), repr(policy), repr(vars(policy)), policy.name, policy.usage]
        told += [str(caught.value), repr(caught.value.__cause__), repr(caught.value.__context__), stored]
        assert SECRET not in repr(told) and stored


def test_which_key_is_taken() -> None:
    def header(environment: dict[str, str]) -> str | None:
        key = address("https://api.example/v1", "m", environment).key
        return None if key is None else key.header()

    assert header({}) is None
    assert header({"OPENAI_API_KEY": "b"}) == "Bearer b"
    assert header({"OPENAI_API_KEY": "b", "VRETRVER_API_KEY": "a"}) == "Bearer a"
    assert header({"OPENAI_API_KEY": "b", "VRETRVER_API_KEY": ""}) is None
    assert repr(Key("secret")) == str(Key("secret")) == "Key(...)"
    with pytest.raises(InvalidInput, match="no header can carry") as caught:
        Key("sec\nret")
    assert "sec" not in str(caught.value).replace("secret", "")


@pytest.mark.parametrize(
    ("url", "sound"),
    [
        ("https://api.example/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost.example/v1", False),
        ("http://10.0.0.7:8000/v1", False),
        ("http://127.0.0.1.example/v1", False),
    ],
)
def test_a_key_travels_encrypted_or_not_at_all(url: str, sound: bool) -> None:
    environment = {"VRETRVER_API_KEY": SECRET}
    if not sound:
        with pytest.raises(InvalidInput, match="would travel unencrypted") as caught:
            ChatPolicy(url, "m", environment=environment)
        assert SECRET not in str(caught.value)
        assert address(url, "m", {}).key is None
    assert ChatPolicy(url, "m", environment=environment, allow_insecure=not sound).model == "m"


def test_a_redirect_is_not_followed() -> None:
    with RawServer(response(ANSWER)) as elsewhere:
        moved = response(b"", "307 Temporary Redirect", f"Location: {elsewhere.url}/chat/completions")
        with RawServer(moved) as server:
            policy = ChatPolicy(server.url, "m", environment={"VRETRVER_API_KEY": SECRET}, limits=QUICK)
            with pytest.raises(PolicyError, match="redirects, which is not followed"):
                policy.complete([say("x")])
            assert len(server.requests) == 1 and not elsewhere.requests
            assert f"Authorization: Bearer {SECRET}".encode() in server.requests[0]


def test_a_proxy_of_the_environment_is_used_except_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(response(ANSWER)) as proxy, FakeEndpoint(reply=lambda _reading: "direct") as endpoint:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://me:pass%20word@").removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        policy = ChatPolicy("http://elsewhere.example/v1", "m", limits=QUICK, environment={})
        assert policy.complete([say("x")])[0].text == "hello"
        assert proxy.requests[0].startswith(b"POST http://elsewhere.example/v1/chat/completions HTTP/1.1")
        assert b"basic bwu6cgfzcyb3b3jk" in proxy.requests[0].lower()  # "me:pass word" in base64
        assert ChatPolicy.load(endpoint.policy, limits=QUICK).complete([say("x")])[0].text == "direct"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("http://localhost:8000/v1", "URL#MODEL"),
        ("http://localhost:8000/v1#", "the name of a model"),
        ("ftp://localhost/v1#m", "not an http or https URL"),
        ("localhost:8000#m", "not an http or https URL"),
        ("http://me:password@localhost/v1#m", "no credentials"),
        ("http://localhost/v1?api-key=password#m", "no query"),
        ("http://local host/v1#m", "not an http or https URL"),
        ("http://localhost:99999/v1#m", "is not a URL"),
        ("http://[::1/v1#m", "is not a URL"),
        ("http:///v1#m", "not an http or https URL"),
    ],
)
def test_names_that_are_none(name: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        load_policy(f"chat:{name}")
    assert "password" not in str(caught.value)


def test_urls_are_written_one_way() -> None:
    urls = ["http://h/v1", "http://h/v1/", "http://h/v1/chat/completions"]
    assert {ChatPolicy(url, "m").name for url in urls} == {"chat:http://h/v1#m"}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("V-Retrver/V-Retrver-7B", "released"),
        ("v-retrver:7b", "released"),
        ("vretrver-nano", "0-1000"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl"),
        ("qwen2.5vl:7b", "qwen2.5-vl"),
        ("Qwen/Qwen2-VL-7B-Instruct", "0-1000"),
        ("Qwen/Qwen3-VL-4B-Instruct", "0-1000"),
        ("some-hosted-model", "0-1000"),
    ],
)
def test_boxes_by_the_models_name(model: str, family: str) -> None:
    assert family_of(model) == family == ChatPolicy("http://h/v1", model).wire.boxes
    assert ChatPolicy("http://h/v1", model, boxes="released").wire.boxes == "released"
    assert ChatPolicy("http://h/v1", model, wire=Wire("qwen2.5-vl", 784)).wire.window_pixels == 784


def test_options_that_are_refused() -> None:
    def refused(why: str, **options: Any) -> None:
        with pytest.raises(InvalidInput, match=why):
            ChatPolicy("http://h/v1", "m", **options)

    refused("choose text", tools="both")
    refused("temperature", temperature=float("nan"))
    refused("max_tokens 0", max_tokens=0)
    refused("quality is 0", quality=0)
    refused("'stop'", extra={"stop": ["x"]})
    refused("does not go into JSON", extra={"seed": {1}})
    refused("either wire or boxes", wire=Wire(), boxes="released")
    refused("unknown box family", boxes="pixels")
    with pytest.raises(InvalidInput, match=r"Limits\.retries is -1"):
        Limits(retries=-1)
    with pytest.raises(InvalidInput, match=r"Limits\.concurrency is 0"):
        Limits(concurrency=0)
    with pytest.raises(InvalidInput, match=r"Limits\.deadline is inf"):
        Limits(deadline=float("inf"))


def test_the_fingerprint_knows_what_changes_answers() -> None:
    def fingerprint(**options: Any) -> str:
        return ChatPolicy("http://h/v1", "m", **options).fingerprint

    assert fingerprint(image_ids=True) == fingerprint()  # what is asked is the same
    different: Sequence[dict[str, Any]] = [{}, {"tools": "native"}, {"max_tokens": 9}, {"extra": {"seed": 1}}]
    assert (
        len(
            {
                fingerprint(**options)
                for options in [*different, {"boxes": "released"}, {"quality": 70}, {"stop": False}]
            }
        )
        == 7
    )
    assert fingerprint() == fingerprint(limits=QUICK)
    secret = {"environment": {"OPENAI_API_KEY": "x"}, "allow_insecure": True}
    assert fingerprint() == fingerprint(**secret)

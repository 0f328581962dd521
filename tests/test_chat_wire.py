"""What goes over the wire and what is read from it: placeholders, stops, reasoning, tool calls, entries on disk."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import InvalidInput
from vretrver.images import open_image
from vretrver.messages import Completion, Conversation, ImagePart, Message, Observation, TextPart, ToolCall, View
from vretrver.policies.chat import native
from vretrver.policies.chat.cache import AnswerCache
from vretrver.policies.chat.kept import Kept
from vretrver.policies.chat.pictures import Pictures
from vretrver.policies.chat.placeholders import escaped
from vretrver.policies.chat.request import RequestWriter
from vretrver.policies.chat.response import Answer, read_answer
from vretrver.protocol import parse, render_tool_call, system_prompt
from vretrver.testing import FakeClock
from vretrver.tools import default_toolbox
from vretrver.types import ImageRef, Query, Window
from vretrver.usage import Tokens

JSON = {"content-type": "application/json; charset=utf-8"}
PLACEHOLDERS = [
    "<image>", "<IMAGE>", "</image>", "<image_1>", "<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|image|>",
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<video>", "<img>", "<img src='x'/>", "<start_of_image>", "[IMG]",
    "[IMG_END]", "<image_soft_token>", "<fake_token_around_image>", "<｜User｜>", "<|video_pad|>",
]  # fmt: skip


def told(*texts: str) -> Conversation:
    roles = ["user", "assistant"] * len(texts)
    messages = [Message(role, (TextPart(text),)) for role, text in zip(roles, texts, strict=False)]  # type: ignore[arg-type]
    return Conversation(Window(Query("q"), ()), messages)


def body(*texts: str, **options: Any) -> Any:
    return json.loads(RequestWriter({"model": "m"}, Pictures(), **options).write(told(*texts)).body)


# ---- out


@pytest.mark.parametrize("word", PLACEHOLDERS)
def test_a_literal_placeholder_is_no_picture(word: str) -> None:
    said = f"<think>I see {word}{word} here.</think><answer>[1]</answer>"
    sent = body("what?", said)["messages"][1]["content"]
    assert word not in sent and sent == said.replace(word, "\u2039" + word[1:])


@pytest.mark.parametrize(
    "text",
    [
        "<think>a < b, 5 <- 6</think>", "<answer>[2, 1]</answer>", "image 3, [1], <images>", "<|", "a|b|>",
        '<tool_call>{"name": "crop_image", "arguments": {"bbox_2d": [1, 2, 3, 4]}}</tool_call>', "<function-name>",
    ],
)  # fmt: skip
def test_other_text_is_sent_as_it_was_said(text: str) -> None:
    assert body("what?", text)["messages"][1]["content"] == text


@given(st.text(alphabet="<>|[]/imageIMG_pad｜ 1", max_size=40))
def test_escaping_leaves_no_placeholder_and_only_touches_first_characters(text: str) -> None:
    sent = escaped(text)
    assert escaped(sent) == sent and len(sent) == len(text)
    assert all(now == was or (was in "<[" and now == "\u2039") for was, now in zip(text, sent, strict=True))


def test_half_a_surrogate_pair_is_sent_as_a_question_mark() -> None:
    assert body("a\ud800b")["messages"][0]["content"] == "a?b"


def test_text_alone_is_a_string_and_pictures_stand_in_their_place(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (100, 80), "red").save(tmp_path / "red.png")
    view = View(ImageRef(str(tmp_path / "red.png")), 56, 28, (0, 0, 50, 25))
    parts = (TextPart("before "), ImagePart(view, 1), TextPart(" after"))
    writer = RequestWriter({"model": "m", "seed": 1}, Pictures())
    request = writer.write(Conversation(Window(Query("q"), ()), [Message("user", parts)]))
    sent = json.loads(request.body)
    assert list(sent) == ["model", "seed", "stop", "messages"] and request.images == 1
    content = sent["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    import base64

    data = base64.b64decode(content[1]["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    picture = open_image(ImageRef(data=data))
    assert picture.size == (56, 28)
    red, green, blue = picture.getpixel((20, 10))  # type: ignore[misc]
    assert red > 240 and green < 15 and blue < 15


def test_the_key_of_a_request_is_its_content(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "one.png"

    def key(colour: str, text: str = "x", scope: str = "", at: int = 1) -> str:
        Image.new("RGB", (56, 56), colour).save(path)
        os.utime(path, (at, at))
        parts = (TextPart(text), ImagePart(View(ImageRef(str(path)), 28, 28), 1))
        return writer(scope).write(Conversation(Window(Query("q"), ()), [Message("user", parts)])).key

    pictures = Pictures()

    def writer(scope: str) -> RequestWriter:
        return RequestWriter({"model": "m"}, pictures, scope=scope)

    assert key("red") == key("red")
    others = [key("blue", at=2), key("red", "y"), key("red", scope="elsewhere")]  # a file that changed is another
    assert len({key("red"), *others}) == 4


def test_pictures_are_kept_within_their_room() -> None:
    from PIL import Image

    from vretrver.images import from_pil

    views = [View(from_pil(Image.new("RGB", (28, 28), (at, 0, 0))), 28, 28) for at in range(6)]
    size = len(Pictures().part(views[0]).part) + len(views[0].image.data or b"")
    pictures = Pictures(room=3 * size + size // 2)
    for view in views:
        pictures.part(view)
    for view in views[3:]:
        pictures.part(view)
    assert pictures.encoded == 6
    pictures.part(views[0])
    assert pictures.encoded == 7


# ---- native tool calling


def test_signatures_are_those_of_the_system_prompt() -> None:
    toolbox = default_toolbox()
    messages = [Message("system", (TextPart(system_prompt(toolbox)),)), Message("user", (TextPart("q"),))]
    assert [tool["function"] for tool in native.tools_of(messages)] == list(toolbox.signatures)
    ((role, system), _user) = native.turns(messages)
    assert isinstance(system, Message) and role == "system"
    assert "at most two tool calls in total, one per turn." in system.text and "Coordinates are" in system.text
    assert not any(word in system.text for word in ("tool_call", "<tools>", "crop_image", "Write a call"))
    assert native.tools_of([Message("system", (TextPart("Be brief."),))]) == []
    assert "tools" not in body("q", tools="native")


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=3))
def test_a_native_call_becomes_a_block_that_parses_back(think: str, arguments: dict[str, Any]) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "zoom", "arguments": json.dumps(arguments)}}]
    text = native.text_of("", calls)
    parsed = parse(text, default_toolbox())
    assert parsed.call == ToolCall("zoom", arguments) and not parsed.repairs
    again = native.turns([Message("assistant", (TextPart(think.replace("<", "") + text),))])[0][1]
    assert not isinstance(again, Message)
    assert json.loads(again["tool_calls"][0]["function"]["arguments"]) == arguments
    assert again["content"] == escaped(think.replace("<", ""))


def test_arguments_that_are_no_json_are_the_models_to_mend() -> None:
    calls = [{"function": {"name": "crop_image", "arguments": '{"bbox_2d": [1, 2</tool_call>'}}]
    parsed = parse(native.text_of("Hm. ", calls), default_toolbox())
    assert parsed.problem == "The tool call is not one valid JSON object." and parsed.text.startswith("Hm. <tool_call>")
    refusal = Observation((TextPart("no"),), valid=False).message()
    roles = [role for role, _ in native.turns([Message("assistant", (TextPart(parsed.text),)), refusal])]
    assert roles == ["assistant", "user"]  # it cannot be written as a call, so it stays text


def test_the_first_of_several_calls_counts() -> None:
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    assert native.text_of("", calls) == render_tool_call(ToolCall("a"))


# ---- in


def read(content: Any = "x", *, reason: str = "stop", usage: Any = None, **message: Any) -> Answer:
    choice = {"message": {"content": content, **message}, "finish_reason": reason}
    choice |= {name: message.pop(name) for name in ("stop_reason", "matched_stop") if name in message}
    return read_answer(json.dumps({"choices": [choice], "usage": usage}).encode(), JSON)


def test_a_stop_text_that_the_server_cut_is_put_back() -> None:
    call = '<think>t</think>\n<tool_call>{"name": "a", "arguments": {}}'
    assert read(call).text == call + "</tool_call>"
    assert read(call + "</tool_call>").text == call + "</tool_call>"
    assert read(call, stop_reason="</tool_call>").text == call + "</tool_call>"
    assert read(call, stop_reason=None).text == call  # vLLM: the model itself ended, the block was left open
    assert read(call, matched_stop=151645).text == call  # SGLang, the same
    assert read(call, reason="length").text == call and read(call, reason="length").truncated
    assert read("<answer>[1]</answer>").text == "<answer>[1]</answer>"


def test_reasoning_goes_back_where_the_protocol_has_it() -> None:
    for name in ("reasoning_content", "reasoning"):
        assert read("<answer>[1]</answer>", **{name: "hm"}).text == "<think>hm</think>\n<answer>[1]</answer>"
    assert read([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]).text == "ab"


def test_tokens_are_those_the_server_tells() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    assert read(usage=usage).tokens == Tokens(9, 2, cached=4)  # of the pictures' share it says nothing
    assert read().tokens is None and read(usage={"prompt_tokens": 9}).tokens == Tokens(9, 0)
    strange = {"prompt_tokens": -1, "completion_tokens": True, "prompt_tokens_details": [1]}
    assert read(usage=strange).tokens is None


# ---- kept


def test_the_cache_stays_within_its_room_and_forgets_the_oldest(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "cache", room=2000)
    keys = [f"{at:064x}" for at in range(16)]
    for at, key in enumerate(keys):
        cache.put(key, Answer("x" * 100))
        path = next((tmp_path / "cache").glob(f"*/{key}.json"), None)
        if path is not None:
            os.utime(path, (at, at))
    sizes = [path.stat().st_size for path in (tmp_path / "cache").glob("*/*.json")]
    assert 1000 < sum(sizes) <= 2000
    assert cache.get(keys[0]) is None and cache.get(keys[15]) == Answer("x" * 100)
    moved = f"{keys[15][:62]}ff"
    next((tmp_path / "cache").glob(f"*/{keys[15]}.json")).rename(tmp_path / "cache" / moved[:2] / f"{moved}.json")
    assert cache.get(moved) is None  # an entry tells whose it is
    cache.put("f" * 64, Answer("x" * 5000))
    assert cache.get("f" * 64) is None  # larger than all the room
    if os.name == "posix":
        assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_what_was_kept_is_handed_out_once_and_not_for_ever() -> None:
    clock = FakeClock()
    kept = Kept(clock, seconds=10, most=2)
    kept.put([("a", Completion("1")), ("a", Completion("2")), ("b", Completion("3"))])
    assert [kept.take("a", True) for _ in range(3)] == [Completion("1"), Completion("2"), None]
    clock.pass_by(10)
    assert kept.take("b", True) is None
    kept.put([(key, Completion(key)) for key in "cde"])
    assert [kept.take(key, True) for key in "cde"] == [None, Completion("d"), Completion("e")]


def test_import_stays_light() -> None:
    import subprocess
    import sys

    started = time.perf_counter()
    code = "import sys, vretrver, vretrver.policies; print([n for n in ('urllib3', 'PIL', 'http') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]" and time.perf_counter() - started < 10


def test_extra_fields_reach_the_body() -> None:
    from vretrver.policies.chat import ChatPolicy

    assert ChatPolicy("http://localhost/v1", "m", temperature=None, max_tokens=None)._options == {"model": "m"}
    policy = ChatPolicy("http://localhost/v1", "m", max_tokens=None, extra={"max_completion_tokens": 7, "seed": 1})
    assert policy._options == {"model": "m", "temperature": 0.0, "max_completion_tokens": 7, "seed": 1}
    with pytest.raises(InvalidInput):
        ChatPolicy("http://localhost/v1", "m", extra={"temperature": 1})

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.boxes import BoxFamily
from vretrver.episode import Episode
from vretrver.errors import InvalidInput
from vretrver.messages import Completion, ImagePart, Message, TextPart, ToolCall, View
from vretrver.protocol import Wire, render_answer, render_tool_call
from vretrver.tools import load_toolbox
from vretrver.training.examples import Example, example_of, marked, turns_of, unmarked
from vretrver.types import Candidate, Document, ImageRef, Query, Window

A, B, Q = ImageRef("a.jpg"), ImageRef("b.jpg"), ImageRef("q.jpg")
SIZES = {A: (200, 100), B: (400, 400), Q: (100, 100)}
WINDOW = Window(
    Query("the same in red", (Q,)),
    (Candidate(Document("one", image=A), 0, 1), Candidate(Document("two", image=B), 0, 2)),
)
CALL = ToolCall("compare_crops", {"crops": [{"target_image": 2, "bbox_2d": [10, 10, 90, 90]}]})


def played(tools: str = "compare", turns: int = 2, boxes: BoxFamily = "released", *texts: str) -> Episode:
    episode = Episode(WINDOW, SIZES, load_toolbox(tools), max_tool_turns=turns, wire=Wire(boxes=boxes), policy="me")
    for text in texts or (render_tool_call(CALL, "Look."), render_answer([1, 0], "(2) is red.")):
        episode.feed(Completion(text))
    return episode


@pytest.mark.parametrize("boxes", ["released", "0-1000"])
def test_an_example_is_the_conversation_that_the_episode_sent(boxes: BoxFamily) -> None:
    episode = played("compare,select", 3, boxes)
    example = example_of(
        episode.trace, load_toolbox("select,compare"), max_tool_turns=3, boxes=boxes, facts={"topic": "t"}
    )
    assert example.messages == episode.conversation.messages
    assert [message.role for message in example.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert example.prompt_hash == example.facts["prompt_hash"] == episode.trace.prompt_hash
    assert example.facts["topic"] == "t" and example.tool_turns == 1
    assert [part.index for part in example.pictures] == [0, 1, 2, 2]
    assert turns_of(episode.trace) == list(example.messages[2:])


def test_another_system_prompt_is_refused() -> None:
    trace = played().trace
    for options in ({"toolbox": load_toolbox("select")}, {"max_tool_turns": 1}, {"boxes": "0-1000"}):
        with pytest.raises(InvalidInput, match="another system prompt"):
            example_of(trace, **{"toolbox": load_toolbox("compare"), **options})  # type: ignore[arg-type]


def test_a_trace_without_an_end_is_no_example() -> None:
    whole = played().trace
    for turns in ((), whole.turns[:1]):
        with pytest.raises(InvalidInput, match="holds no whole conversation"):
            example_of(replace(whole, turns=turns), load_toolbox("compare"))


@pytest.mark.parametrize(
    "roles",
    [[], ["system"], ["user"], ["assistant"], ["user", "user"], ["system", "user"], ["user", "assistant", "assistant"]],
)
def test_turns_in_another_order_are_refused(roles: list[str]) -> None:
    with pytest.raises(InvalidInput, match="the turns are"):
        Example(tuple(Message(role, (TextPart("x"),)) for role in roles))  # type: ignore[arg-type]


PICTURE = ImagePart(View(A, 56, 56), 1)


@given(st.lists(st.sampled_from(["a", "<image>", "<", "image>", PICTURE]), max_size=8))
def test_marks_stand_for_pictures_and_for_nothing_else(items: list[str | ImagePart]) -> None:
    message = Message("user", tuple(TextPart(item) if isinstance(item, str) else item for item in items))
    text = marked(message)
    assert text.count("<image>") == len(message.views)
    back = Message("user", unmarked(text, message.views))
    assert back.views == message.views and marked(back) == text
    assert back.text == message.text or "\u2039image>" in text


def test_as_many_marks_as_pictures() -> None:
    with pytest.raises(InvalidInput, match="2 <image> marks came with 1 pictures"):
        unmarked("<image> and <image>", [PICTURE])

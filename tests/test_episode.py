from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.episode import AGAIN, Episode
from vretrver.messages import Completion, Observation, ToolCall, View
from vretrver.protocol import render_answer, render_tool_call
from vretrver.tools import Gallery, Toolbox
from vretrver.tools.select_images import SelectImages
from vretrver.trace import Evidence, StopReason
from vretrver.types import Candidate, Document, ImageRef, Query, Window

A, B = ImageRef("a.jpg"), ImageRef("b.jpg")
SIZES = {A: (200, 100), B: (400, 400)}
WINDOW = Window(
    Query("red"),
    (
        Candidate(Document("one", image=A), 0.3, 1),
        Candidate(Document("words", "text"), 0.2, 2),
        Candidate(Document("three", image=B), 0.1, 3),
    ),
    start=10,
)
CROP = ToolCall("crop_image", {"bbox_2d": [0, 0, 100, 100], "target_image": 2})
SELECT = ToolCall("select_images", {"target_images": [1, 2]})


def play(*texts: str, window: Window = WINDOW, **options: Any) -> Episode:
    episode = Episode(window, SIZES, policy="me", **options)
    for text in texts:
        episode.feed(Completion(text))
    return episode


def test_a_whole_episode_as_a_transcript() -> None:
    episode = play(
        render_tool_call(SELECT, "Two pictures look alike.") + " and more",
        render_tool_call(CROP, "(1) is blue. (3) needs a closer look."),
        render_answer([2, 0, 1], "Candidate 3 is red at its edge. (1) stays blue."),
    )
    said = [(message.role, message.text) for message in episode.conversation.messages[2:]]
    assert said == [
        (
            "assistant",
            "<think>Two pictures look alike.</think>\n"
            '<tool_call>{"name": "select_images", "arguments": {"target_images": [1, 2]}}</tool_call>',
        ),
        (
            "user",
            "Here are the selected images for detailed analysis. (Image Size: 196x112, Numbered 1 to 2):<image><image>",
        ),
        (
            "assistant",
            "<think>(1) is blue. (3) needs a closer look.</think>\n"
            '<tool_call>{"name": "crop_image", "arguments": {"bbox_2d": [0, 0, 100, 100], "target_image": 2}}'
            "</tool_call>",
        ),
        ("user", "Here is the cropped image. (Image Size: 140x140)\n<image>"),
        (
            "assistant",
            "<think>Candidate 3 is red at its edge. (1) stays blue.</think>\n<answer>[3, 1, 2]</answer>",
        ),
    ]
    trace = episode.trace
    assert (trace.stop, trace.order, trace.start, trace.policy) == (StopReason.ANSWERED, (2, 0, 1), 10, "me")
    assert (trace.tool_calls, trace.usage.policy_calls, trace.usage.images) == (2, 3, 5)
    assert trace.repairs == () and trace.error is None
    assert trace.prompt == episode.conversation.messages[1].parts
    assert trace.evidence == {
        "one": (Evidence("a.jpg", None, "select_images", "(1) is blue. (1) stays blue."),),
        "three": (
            Evidence("b.jpg", None, "select_images", "(3) needs a closer look. Candidate 3 is red at its edge."),
            Evidence("b.jpg", (0, 0, 140, 140), "crop_image", "Candidate 3 is red at its edge."),
        ),
    }


@pytest.mark.parametrize(
    ("texts", "stop", "repairs"),
    [
        (["no idea"], StopReason.NO_ANSWER, ("no answer was given: the incoming order stands",)),
        (["<answer>[]</answer>"], StopReason.NO_ANSWER, ("appended in incoming order: 1, 2, 3",)),
        (["<answer>[1, 2, 3]</answer>"], StopReason.ANSWERED, ()),
        (
            [render_tool_call(SELECT), render_tool_call(CROP), render_tool_call(CROP)],
            StopReason.OUT_OF_TURNS,
            ("a tool was called after 2 tool turns: the incoming order stands",),
        ),
    ],
)
def test_ends(texts: list[str], stop: StopReason, repairs: tuple[str, ...]) -> None:
    episode = play(*texts)
    assert episode.done
    assert (episode.trace.stop, episode.trace.order, episode.trace.repairs) == (stop, (0, 1, 2), repairs)


def test_a_policy_that_fails_leaves_the_incoming_order_and_its_error() -> None:
    episode = play(render_tool_call(SELECT))
    episode.fail("PolicyError: gone")
    assert (episode.trace.stop, episode.trace.order) == (StopReason.POLICY_ERROR, (0, 1, 2))
    assert episode.trace.error == "PolicyError: gone" and len(episode.trace.turns) == 1


def test_a_bad_call_is_heard_and_costs_a_turn() -> None:
    episode = play("<tool_call>zoom!</tool_call>", '<tool_call>{"name": "dig", "arguments": {}}</tool_call>')
    assert [message.text for message in episode.conversation.messages if message.role == "user"][1:] == [
        "Your action is not valid, please check the format and try again.The tool call is not one valid JSON object.",
        "Your action is not valid, please check the format and try again."
        "Unknown tool 'dig'. The tools are: select_images, crop_image.",
    ]
    assert not episode.done and episode.trace.tool_calls == 2 and episode.trace.evidence == {}
    episode.feed(Completion(render_tool_call(SELECT)))
    assert episode.trace.stop is StopReason.OUT_OF_TURNS


def test_without_tool_turns_a_call_ends_it() -> None:
    episode = play(render_tool_call(SELECT), max_tool_turns=0)
    assert episode.trace.stop is StopReason.OUT_OF_TURNS
    assert "# Tools" not in episode.conversation.messages[0].text


class Counting(SelectImages):
    """Counts how often it is really run."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def run(self, arguments: Mapping[str, Any], gallery: Gallery) -> Observation:
        self.runs += 1
        return super().run(arguments, gallery)


def test_a_repeated_call_is_answered_from_the_episode_with_a_note() -> None:
    tool = Counting()
    again = render_tool_call(SELECT, "(1) is blue.")
    episode = play(render_tool_call(SELECT), again, "(1) is red.", toolbox=Toolbox([tool]))
    first, second, _ = (turn.observation for turn in episode.trace.turns)
    assert first is not None and second is not None and tool.runs == 1
    assert second.message().text == AGAIN + first.message().text
    assert [look.note for look in episode.trace.evidence["one"]] == ["(1) is blue. (1) is red."]


class Broken(SelectImages):
    def run(self, arguments: Mapping[str, Any], gallery: Gallery) -> Observation:
        raise ZeroDivisionError("of its own")


def test_a_faulty_tool_lands_on_the_trace_and_the_ranking_goes_on() -> None:
    episode = play(render_tool_call(SELECT), render_answer([1, 0, 2]), toolbox=Toolbox([Broken()]))
    assert episode.trace.order == (1, 0, 2) and episode.trace.stop is StopReason.ANSWERED
    assert episode.trace.error == "tool select_images failed: ZeroDivisionError: of its own"
    assert episode.conversation.messages[3].text.endswith("The tool failed. Go on without it.")


def test_an_unreadable_picture_takes_no_number() -> None:
    episode = Episode(WINDOW, {B: (400, 400)})
    assert [(part.index, part.view.image) for part in episode.conversation.messages[1].views] == [(1, B)]
    assert episode.trace.repairs == ("candidate (1) is shown without its image, which cannot be read: a.jpg",)


def test_relevance_is_kept_within_bounds_or_dropped() -> None:
    episode = Episode(WINDOW, SIZES)
    episode.feed(Completion(render_answer([0, 1, 2]), relevance=(0.5, -1.0, 7.0)))
    assert episode.trace.relevance == (0.5, 0.0, 1.0)
    for bad in [(0.5, 0.5), (0.5, 0.5, float("nan")), (0.5, 0.5, "likely"), 7]:
        episode = Episode(WINDOW, SIZES)
        episode.feed(Completion(render_answer([0, 1, 2]), relevance=bad))  # type: ignore[arg-type]
        assert episode.trace.relevance is None
        assert episode.trace.repairs == ("dropped the policy's relevance: it is not one finite number per candidate",)


def test_an_empty_window() -> None:
    episode = play("<answer>[]</answer>", window=Window(Query("x"), ()))
    assert (episode.trace.order, episode.trace.stop, episode.trace.repairs) == ((), StopReason.ANSWERED, ())


def test_a_look_at_the_query_is_no_candidates_evidence() -> None:
    window = Window(Query("red", (B,)), WINDOW.candidates)
    episode = play(render_tool_call(ToolCall("select_images", {"target_images": [0]})), "x", window=window)
    assert episode.trace.turns[0].observation == Observation(
        (*episode.conversation.messages[3].parts,)
    ) and episode.conversation.messages[3].views[0].view == View(B, 392, 392)
    assert episode.trace.evidence == {}


@given(
    st.lists(st.text() | st.sampled_from([render_tool_call(SELECT), render_tool_call(CROP), "<answer>[2]"]), max_size=5)
)
def test_any_texts_end_in_a_permutation_within_three_generations(texts: list[str]) -> None:
    episode = Episode(WINDOW, SIZES)
    for text in [*texts, "", "", ""]:
        if not episode.done:
            episode.feed(Completion(text))
    assert episode.done and len(episode.trace.turns) <= 3
    assert sorted(episode.trace.order) == [0, 1, 2]

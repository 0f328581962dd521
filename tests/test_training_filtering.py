from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flat_world import flat_world
from vretrver.datasets import Task
from vretrver.episode import Episode
from vretrver.messages import Completion, ToolCall
from vretrver.protocol import render_answer, render_tool_call
from vretrver.tools import load_toolbox
from vretrver.trace import StopReason, Trace
from vretrver.training.filtering import REASONS, Rules, counts
from vretrver.training.truths import Question, World
from vretrver.types import Candidate, Document, ImageRef, Query, Window

A, B = ImageRef("a.jpg"), ImageRef("b.jpg")
WINDOW = Window(Query("red"), (Candidate(Document("a", image=A), 0, 1), Candidate(Document("b", image=B), 0, 2)))
CALL = render_tool_call(ToolCall("crop_image", {"bbox_2d": [0, 0, 50, 50], "target_image": 2}), "I look at (2).")


def played(*texts: str) -> Trace:
    episode = Episode(WINDOW, {A: (100, 100), B: (100, 100)})
    for text in texts:
        episode.feed(Completion(text))
    return episode.trace


@pytest.mark.parametrize(
    ("texts", "faults"),
    [
        ([CALL, render_answer([1, 0], "(2) is red.")], ()),
        ([render_answer([1, 0], "(2) is red.")], ()),
        ([CALL, render_answer([0, 1], "(1) is red.")], ("ranking",)),
        ([CALL, "<answer>[2, 1]</answer>"], ("format",)),
        ([CALL, "<think></think><answer>[2, 1]</answer>"], ("format",)),
        ([CALL, "<think>x</think><answer>2, 1</answer>"], ("format",)),
        ([CALL, "<think>x</think><answer>[2]</answer>"], ("format",)),
        ([CALL, "<think>x</think><answer>[2, 1]</answer> So."], ("format",)),
        ([CALL, "So. <think>x</think><answer>[2, 1]</answer>"], ("format",)),
        ([CALL, "<think>x</think><think>y</think><answer>[2, 1]</answer>"], ("format",)),
        ([CALL, "<think>x</think>"], ("no answer", "format", "ranking")),
        ([CALL, CALL, CALL], ("no answer", "format", "calls", "ranking")),
        ([CALL, CALL, render_answer([1, 0], "x")], ("calls",)),
        ([CALL.replace("50, 50", "50"), render_answer([1, 0], "x")], ("calls",)),
        (["<think>x</think><tool_call>{</tool_call>", render_answer([1, 0], "x")], ("calls",)),
        ([CALL, render_answer([1, 0], "(2) beats candidate 3.")], ("stranger",)),
        ([CALL, render_answer([1, 0], "Image 0 is red.")], ("stranger",)),
    ],
)
def test_rules_on_form_and_outcome(texts: list[str], faults: tuple[str, ...]) -> None:
    assert Rules().faults(played(*texts), {"b"}) == faults


def test_the_rules_can_ask_for_more() -> None:
    trace = played(render_answer([1, 0], "(2) and (3)."))
    assert Rules(evidence=False).faults(trace, {"b"}) == ()
    assert Rules(evidence=False, looks=1).faults(trace, {"b"}) == ("looks",)
    assert Rules(evidence=False).faults(trace, {"c"}) == ("nothing right",)
    three = replace(trace, candidates=("a", "b", "c"), order=(1, 0, 2))
    assert Rules(evidence=False).faults(three, {"b", "c"}) == ()
    assert Rules(evidence=False, ranking="all").faults(three, {"b", "c"}) == ("ranking",)
    assert Rules(evidence=False, ranking="all").faults(three, {"b", "a"}) == ()


def test_an_error_on_the_trace_is_a_fault() -> None:
    trace = replace(played(CALL, render_answer([1, 0], "x")), error="tool failed")
    assert Rules().faults(trace, {"b"}) == ("format",)
    assert "no answer" in Rules().faults(replace(trace, stop=StopReason.POLICY_ERROR, turns=()), {"b"})


def test_counts_name_the_first_reason() -> None:
    assert counts([(), ("ranking",), ("format", "ranking"), ()]) == {"kept": 2, "format": 1, "ranking": 1}
    assert set(counts([("unsettled",)])) <= {"kept", *REASONS}


# -- where the truth is known


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return flat_world(tmp_path_factory.mktemp("worlds"))


def asked(task: Task, group: str) -> tuple[Window, Question]:
    topic = next(topic for topic in task.topics if topic.group == group)
    documents = [document for document in task.pool if document.id in (topic.candidates or ())]
    window = Window(topic.query, tuple(Candidate(one, 0, rank) for rank, one in enumerate(documents, 1)))
    return window, World.of(task).question(one.id for one in documents)


def faults(window: Window, question: Question, *texts: str) -> tuple[str, ...]:
    images = [*window.query.images, *(one.document.image for one in window.candidates if one.document.image)]
    known = [one for one in (question.query, *question.pictures.values()) if one]
    sizes = {ref: next(one.size for one in known if one.file == Path(ref.label).name) for ref in images}
    episode = Episode(window, sizes, load_toolbox("select,zoom,compare"))
    for text in texts:
        episode.feed(Completion(text))
    assert episode.done
    return Rules().faults(episode.trace, {question.relevant}, question)


def look(question: Question, *numbers: int, shift: int = 0) -> str:
    """A comparison of the deciding details; 0 is the query."""
    pictures = [question.query, *question.pictures.values()]
    crops = []
    for number in numbers:
        known = pictures[number]
        assert known
        box = [edge - shift for edge in known.detail]
        crops.append({"target_image": number, "bbox_2d": box})
    return render_tool_call(ToolCall("compare_crops", {"crops": crops}), "Look.")


def ranked(question: Question, *sentences: str) -> str:
    right = list(question.values).index(question.relevant)
    rest = [at for at in range(len(question.values)) if at != right]
    return render_answer([right, *rest], " ".join(["So.", *sentences]))


def test_what_is_said_of_a_picture_must_be_true_and_seen(task: Task) -> None:
    window, question = asked(task, "t->i/count")
    values = [question.said(value) for value in question.values.values()]
    true = [f"({number}) has {value}." for number, value in enumerate(values, 1)]
    whole = look(question, 1, 2, 3, 4)
    assert faults(window, question, whole, ranked(question, *true)) == ()
    assert faults(window, question, whole, ranked(question, f"(1) has {values[1]}.")) == ("false",)
    assert faults(window, question, whole, ranked(question, f"(1) has {values[0]}, not {values[1]}.")) == ()
    assert faults(window, question, whole, ranked(question, f"(1) and (2) have {values[3]}.")) == ()
    early = look(question, 1, 2, 3, 4).replace("Look.", f"(2) has {values[1]}.")
    assert faults(window, question, early, ranked(question)) == ("unseen",)
    assert faults(window, question, look(question, 1, 2, 3, 4, shift=100), ranked(question)) == ("beside", "unsettled")


def test_who_is_ranked_first_must_follow_from_what_was_shown(task: Task) -> None:
    window, question = asked(task, "t->i/print")
    right = list(question.values).index(question.relevant) + 1
    others = [number for number in (1, 2, 3, 4) if number != right]
    assert faults(window, question, look(question, right), ranked(question)) == ()
    assert faults(window, question, look(question, *others), ranked(question)) == ()  # by elimination
    assert faults(window, question, look(question, *others[:2]), ranked(question)) == ("unsettled",)
    select = render_tool_call(ToolCall("select_images", {"target_images": [right]}), "Look.")
    assert faults(window, question, select, ranked(question)) == ()


def test_a_query_picture_that_decides_must_be_seen(task: Task) -> None:
    window, question = asked(task, "i->i/colour")
    assert question.query
    assert faults(window, question, look(question, 1, 2, 3, 4), ranked(question)) == ("unsettled",)
    whole = look(question, 0, 1, 2, 3, 4)
    value = question.said(question.query.value)
    assert faults(window, question, whole, ranked(question, f"Image 0 has {value}.")) == ()
    wrong = next(question.said(value) for value in question.values.values() if value != question.query.value)
    assert faults(window, question, whole, ranked(question, f"Image 0 has {wrong}.")) == ("false",)


def test_texts_are_there_to_be_read(task: Task) -> None:
    window, question = asked(task, "i->t/where")
    values = [question.said(value) for value in question.values.values()]
    first = look(question, 0).replace("Look.", f"(1) says {values[0]}. (2) says {values[1]}.")
    assert faults(window, question, first, ranked(question)) == ()
    assert faults(window, question, first, ranked(question, f"(1) says {values[1]}.")) == ("false",)
    assert faults(window, question, ranked(question)) == ("unsettled",)


def test_the_longer_name_counts() -> None:
    question = Question(
        "t", "which", "t->i", "", None, "star", "t-c0", {"t-c0": "star", "t-c1": "star_david"}, {}, None
    )
    assert question.named_in("(1) has a star of David.") == "star_david"
    assert question.named_in("(1) has a STAR!") == "star"
    assert question.named_in("(1) has a starfish") is None
    ink = replace(question, kind="colour", subject="star", values={"a": "red", "b": "blue"})
    assert ink.named_in("(1) is a red kettle") is None and ink.named_in("the star in blue, not red") == "blue"
    number = replace(question, kind="count", subject="key", values={"a": "1", "b": "3"})
    assert number.named_in("one of them: 3 keys, not one key") == "3"
    assert number.said("1") == "one key" and number.said("3") == "three keys"

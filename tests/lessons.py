"""Small examples to learn from, and tiny models to teach them to. No test's subject itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tiny_vlm
from vretrver.messages import Conversation, Message, TextPart, ToolCall
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import Wire, render_answer, render_tool_call, render_window
from vretrver.reranker import Reranker
from vretrver.tools import Gallery, Toolbox, load_toolbox
from vretrver.training.examples import Example, example_of
from vretrver.types import Candidate, Document, ImageRef, Query, Window

Paint = Callable[..., str]
COLOURS = ("red", "green", "blue", "orange", "teal", "pink")
SAID = ("(1) may be it. (2) is green. (3) is blue. (4) is red.", 'Find it. {"target_images": [1, 2]}')
WIRE = Wire(boxes="qwen2.5-vl", window_pixels=56 * 56)


def toolbox() -> Toolbox:
    return load_toolbox("select")


def documents(paint: Paint, count: int = 3) -> list[Document]:
    """Pictures of one colour each, and a text among them."""
    pictures = [paint(f"{name}.png", name, (56, 56)) for name in COLOURS[: count - 1]]
    found = [Document(name, image=ImageRef(path)) for name, path in zip(COLOURS, pictures, strict=False)]
    return [*found[:1], Document("words", "a note"), *found[1:]]


def script(conversation: Conversation) -> str:
    """Look at two pictures, then rank the one that the query names first."""
    window = conversation.window
    turns = sum(message.role == "assistant" for message in conversation.messages)
    wanted = next(at for at, one in enumerate(window.candidates) if one.document.id == window.query.text)
    if turns == 0:
        return render_tool_call(ToolCall("select_images", {"target_images": [1, 2]}), f"({wanted + 1}) may be it.")
    order = [wanted, *(at for at in range(len(window.candidates)) if at != wanted)]
    return render_answer(order, f"({wanted + 1}) is {window.query.text}.")


def examples(paint: Paint, count: int = 4) -> list[Example]:
    """Conversations of three assistant-or-tool turns, with pictures in the window and in the tool's turn."""
    found = documents(paint)
    names = [document.id for document in found if document.image]
    made = []
    for at in range(count):
        shuffled = found[at % 3 :] + found[: at % 3]
        ranking = Reranker(ScriptedPolicy(script), toolbox=toolbox(), wire=WIRE).rerank(
            Query(names[at % len(names)]), shuffled
        )
        (trace,) = ranking.traces
        made.append(
            example_of(trace, toolbox(), boxes=WIRE.boxes, window_pixels=WIRE.window_pixels, facts={"topic": f"t{at}"})
        )
    return made


def model(folder: Path, family: tiny_vlm.Family = "qwen2_5_vl", **options: object) -> str:
    """A tiny model whose tokenizer knows the words of such examples."""
    notes = tuple(Candidate(Document(name, "a note"), 1.0, 1) for name in COLOURS)
    window = Window(Query("red"), notes[:3])
    opening = render_window(window, Gallery({}), toolbox(), 2, WIRE)
    words = [*tiny_vlm.TEXTS, *(message.text for message in opening), *SAID]
    return tiny_vlm.build(folder, family, texts=words, vocabulary=1500, **options)  # type: ignore[arg-type]


def said(example: Example) -> list[str]:
    """What the assistant says, turn by turn."""
    return [
        "".join(part.text for part in message.parts if isinstance(part, TextPart))
        for message in example.messages
        if message.role == "assistant"
    ]


def without_tools(example: Example, words: str) -> Example:
    """The same opening, answered in words at once."""
    opening = [message for message in example.messages if message.role == "system"] + [example.messages[1]]
    return Example((*opening, Message("assistant", (TextPart(words),))), example.facts)

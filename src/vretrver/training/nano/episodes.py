"""Whole episodes of the small-detail world as the nano agent is to live them: its words, through the product's episode.

Two turns: point at every tag in one `compare_crops` call; then one verdict per candidate, and the ranking. Verdicts
come before the ranking because a small model that ranks at once chooses at chance. A print is read out before it is
judged. The wording is fixed on purpose, and that of the oracle's style `nano`: a few million numbers are to see and
compare, not to vary phrases.

Pictures are named, not drawn, here: `told` needs sizes and boxes alone, so training may put any thumbnail and any
close-up of the right tag in their places.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from vretrver.datasets.world import INSTRUCTIONS, WINDOW_PIXELS
from vretrver.episode import Episode
from vretrver.messages import Completion, Message, TextPart, ToolCall
from vretrver.protocol import Wire, render_answer, render_tool_call
from vretrver.tools import Toolbox
from vretrver.tools.compare_crops import CompareCrops
from vretrver.training.nano.tokenizer import IMAGE
from vretrver.types import Candidate, Document, ImageRef, Query, Window
from vretrver.world import Group, Scene

WIRE = Wire(boxes="0-1000", window_pixels=WINDOW_PIXELS)
STEP = 10  # thousandths; boxes are written in these steps
SHRINK = 0.96
"""The written box as a share of the tag's: the tool pads it by a tenth of its sides, and 1.15 of the tag is shown."""

WHERE = "\n\nWhere is the tag of every picture? Answer with a list of regions."
"""Asked instead of the guidelines, it is answered with the boxes of all tags: pointing as a plain question."""

BEGINS_QUERY, BEGINS_BOX = "Query: ", ', "bbox_2d": ['

Shares = tuple[float, float, float, float]


def told(one: Group, boxes: Sequence[Shares], sizes: Sequence[tuple[int, int]]) -> tuple[Message, ...]:
    """The conversation of a perfect agent.

    Args:
        boxes: the tag's box in each picture, query first, as shares of its sides. sizes: their pixels.

    Returns:
        System, user, assistant (the call), user (its result), assistant (verdicts and ranking).
    """
    window, known = _window(one, sizes)
    episode = Episode(window, known, Toolbox([CompareCrops()]), wire=WIRE)
    numbers = range(0 if one.picture is not None else 1, len(boxes) + (0 if one.picture is not None else 1))
    episode.feed(Completion(call(dict(zip(numbers, boxes, strict=True)))))
    final = verdicts(one)
    messages = (*episode.conversation.messages, Message("assistant", (TextPart(final),)))
    assert len(messages) == 5, "the call was refused"
    return messages


def call(boxes: Mapping[int, Shares]) -> str:
    """What the agent writes to see the tags of some pictures, by their number."""
    crops = [{"target_image": number, "bbox_2d": _thousandths(box)} for number, box in boxes.items()]
    return render_tool_call(ToolCall("compare_crops", {"crops": crops}), "The tags decide.")


def verdicts(one: Group) -> str:
    """What the agent says of each candidate, and its ranking: those it said yes to first, the rest as they came."""
    read = one.kind == "print"
    said, flags = [], [at == one.answer for at in range(len(one.values))]
    for at, (value, right) in enumerate(zip(one.values, flags, strict=True)):
        said.append(verdict(at + 1, value if read and isinstance(one.candidates[at], Scene) else None, right))
    return verdicts_of(one.picture.tag.value if read and one.picture is not None else None, said, flags)


def verdict(number: int, text: str | None, right: bool) -> str:
    """One candidate's, with what its print says where that decides."""
    return f"({number})" + (f' "{text}"' if text else "") + (" yes" if right else " no")


def verdicts_of(query: str | None, said: Sequence[str], flags: Sequence[bool]) -> str:
    """The last turn. Args: `query`: what the print of the query's picture says. `said`, `flags`: a candidate each."""
    order = sorted(range(len(flags)), key=lambda at: not flags[at])
    return render_answer(order, "\n".join([f'image 0 "{query}"'] * (query is not None) + list(said)))


def regions(boxes: Mapping[int, Shares]) -> str:
    """The tags of some pictures as a list, in the form in which a call has them."""
    listed = [{"target_image": number, "bbox_2d": _thousandths(box)} for number, box in boxes.items()]
    return json.dumps(listed)


def opening(one: Group, pictures: int, *, tools: bool = True) -> list[tuple[str, str]]:
    """How an episode begins: the system's and the user's words, `IMAGE` for each picture.

    Args:
        pictures: how many the window shows. tools: False for a window that is to be ranked at once.
    """
    window, known = _window(one, [(1280, 1280)] * pictures)
    toolbox = Toolbox([CompareCrops()] if tools else [])
    episode = Episode(window, known, toolbox, wire=WIRE, max_tool_turns=2 if tools else 0)
    return [
        (message.role, "".join(part.text if isinstance(part, TextPart) else IMAGE for part in message.parts))
        for message in episode.conversation.messages
    ]


def box_numbers() -> range:
    """The numbers of boxes that are one token each: those of three digits."""
    return range(100, 1000, STEP)


def phrases() -> list[str]:
    """What every episode repeats word for word, for the tokenizer."""
    episode = Episode(_window_of(Query("x"), 2), {ImageRef(path="1"): (1280, 1280), ImageRef(path="2"): (1280, 1280)},
                      Toolbox([CompareCrops()]), wire=WIRE)  # fmt: skip
    system, user = (message.text for message in episode.conversation.messages)
    guidelines = user[user.index("\n\nGuidelines: ") :]
    first, second = "Rank all 2 candidates", "and 1 to 2 are the candidates"
    head, rest = guidelines.split(first)
    middle, tail = rest.split(second)
    return [
        system,
        head + "Rank all ",
        " candidates" + middle + "and 1 to ",
        " are the candidates" + tail,
        *INSTRUCTIONS.values(),
        BEGINS_QUERY,
        "\n\nCandidates:\n",
        "<think>The tags decide.</think>\n",
        '<tool_call>{"name": "compare_crops", "arguments": {"crops": [{"target_image": ',
        BEGINS_BOX,
        *map(str, box_numbers()),
        ']}, {"target_image": ',
        "]}]}}</tool_call>",
        "Here are the cropped images. (Numbered 1 to ",
        ")\n1. Image ",
        *(f"\n{at}. Image " for at in range(2, 7)),
        *(f" (Image Size: {wide}x{high}): " for wide in range(224, 365, 28) for high in range(168, 281, 28)),
        " (Image Size: ",
        "): ",
        "</think>\n<answer>[",
        "]</answer>",
        '[{"target_image": ',
        ']}, {"target_image": ',
        "]}]",
        WHERE,
        "image 0",
        *(f"({at})" for at in range(1, 21)),
        " yes",
        " no",
        ", ",
    ]


def _window(one: Group, sizes: Sequence[tuple[int, int]]) -> tuple[Window, dict[ImageRef, tuple[int, int]]]:
    refs = [ImageRef(path=f"{one.id}/{at}") for at in range(len(sizes))]
    shown = refs[1:] if one.picture is not None else refs
    documents = [
        Document(str(at), text=candidate) if isinstance(candidate, str) else Document(str(at), image=shown[at])
        for at, candidate in enumerate(one.candidates)
    ]
    pictures = (refs[0],) if one.picture is not None else ()
    query = Query(one.text, pictures, INSTRUCTIONS[one.modality])
    return Window(query, tuple(Candidate(document, 0.0, at + 1) for at, document in enumerate(documents))), dict(
        zip(refs, sizes, strict=True)
    )


def _window_of(query: Query, count: int) -> Window:
    return Window(
        query, tuple(Candidate(Document(str(at), image=ImageRef(path=str(at))), 0.0, at) for at in range(1, count + 1))
    )


def _thousandths(box: Shares) -> list[int]:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    wide, high = (box[2] - box[0]) * SHRINK / 2, (box[3] - box[1]) * SHRINK / 2
    return [round(value * 1000 / STEP) * STEP for value in (x - wide, y - high, x + wide, y + high)]

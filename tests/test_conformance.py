"""Conformance with the released checkpoints: whole transcripts, to the letter, in tests/golden/.

The golden files were written by hand from the description of the released protocol and agree with it in its fixed
strings: the system prompt's opening, the observations, the refusals, the order and the numbers of images, the turns.
The wording of the guidelines and of the tools' descriptions is ours.

In a transcript `{{image 2: b.jpg at 252x252}}` stands for a picture: its number on the wire, its file, the size at
which it is shown, and for a crop the corners of its box in the original.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.boxes import BoxFamily, from_original
from vretrver.episode import Episode
from vretrver.messages import Completion, ImagePart, Message, Part, TextPart, ToolCall
from vretrver.protocol import Wire, number_pictures, parse, render_tool_call
from vretrver.sizes import MAX_PIXELS, MIN_PIXELS, PATCH, shown_size
from vretrver.tools import REFUSED, default_toolbox
from vretrver.tools.crop_image import padded
from vretrver.trace import Trace
from vretrver.types import Box, Candidate, Document, ImageRef, Query, Window

GOLDEN = Path(__file__).parent / "golden"
TOOLS = default_toolbox()
SIZES = {
    ImageRef(f"{name}.jpg"): size
    for name, size in {
        "query": (640, 480),
        "photo": (4000, 3000),
        "square": (256, 256),
        "column": (100, 2000),
        "wide": (200, 100),
        "small": (56, 56),
    }.items()
}


def window(query: Query, *items: tuple[str | None, str | None]) -> Window:
    documents = [
        Document(str(at), text, None if image is None else ImageRef(f"{image}.jpg"))
        for at, (text, image) in enumerate(items, start=1)
    ]
    return Window(query, tuple(Candidate(document, 0.0, at) for at, document in enumerate(documents, start=1)))


UNIVERSAL = window(
    Query("the same in red", (ImageRef("query.jpg"),)),
    (None, "photo"),
    ("a red kite over water", None),
    ("a blue kite", "square"),
    ("kites, second hand", None),
    (None, "column"),
)
WINDOWS = {
    "two_looks": UNIVERSAL,
    "text_query": window(
        Query("a boat", instruction="Find a caption for it."),
        ("a boat at sea", None),
        (None, "wide"),
        ("a harbour", None),
        ("a buoy", "small"),
        ("a quay", "gone"),
    ),
    "words_only": window(Query("a boat"), ("a boat at sea", None), ("a harbour", None)),
}


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def sections(text: str) -> list[tuple[str, str]]:
    """(heading, text) of what stands between lines that begin with `### `."""
    found = re.split(r"^### (.*)\n", text, flags=re.MULTILINE)[1:]
    return [(heading, body.removesuffix("\n")) for heading, body in zip(found[::2], found[1::2], strict=True)]


def written(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.text
    view = part.view
    cut = "" if view.box is None else ", {},{} to {},{}".format(*view.box)
    return f"{{{{image {part.index}: {view.image.label} at {view.width}x{view.height}{cut}}}}}"


def transcript(messages: list[Message], trace: Trace) -> list[tuple[str, str]]:
    order = ", ".join(str(position + 1) for position in trace.order)
    end = [f"{trace.stop} after {trace.tool_calls} tool turns: {order}", *trace.repairs]
    said = [(str(message.role), "".join(map(written, message.parts))) for message in messages]
    return [*said, ("end", "\n".join(end))]


@pytest.mark.parametrize("name", WINDOWS)
def test_a_golden_transcript(name: str) -> None:
    want = sections(golden(name))
    episode = Episode(WINDOWS[name], SIZES)
    for heading, text in want:
        if heading == "assistant":
            assert not episode.done
            dropped = " what follows a call is dropped" if text.endswith("</tool_call>") else ""
            episode.feed(Completion(text + dropped))
    assert episode.done
    system, *rest = episode.conversation.messages
    assert (system.role, system.text) == ("system", golden("system").removesuffix("\n"))
    assert transcript(rest, episode.trace) == want


def test_the_roles_take_turns_and_an_observation_is_the_user_s() -> None:
    for name in WINDOWS:
        roles = [heading for heading, _text in sections(golden(name))][:-1]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert roles.count("assistant") <= 3  # two tool turns and an answer


@pytest.mark.parametrize(("block", "heard"), sections(golden("refusals")))
def test_what_is_heard_of_an_invalid_call(block: str, heard: str) -> None:
    observation = Episode(UNIVERSAL, SIZES).feed(Completion(f"<tool_call>{block}</tool_call>"))
    assert observation is not None and not observation.valid
    assert observation.parts == (TextPart(REFUSED + heard),)
    assert REFUSED == "Your action is not valid, please check the format and try again."


def test_images_stand_in_order_and_text_only_candidates_take_no_number() -> None:
    parts = [part for part in Episode(UNIVERSAL, SIZES).conversation.messages[1].parts if isinstance(part, ImagePart)]
    assert [(part.index, part.view.image.label) for part in parts] == [
        (0, "query.jpg"), (1, "photo.jpg"), (2, "square.jpg"), (3, "column.jpg"),
    ]  # fmt: skip
    gallery = number_pictures(UNIVERSAL, SIZES, Wire())
    assert {number: picture.candidate for number, picture in gallery.pictures.items()} == {0: None, 1: 0, 2: 2, 3: 4}


@pytest.mark.parametrize("name", ["crop_image", "zoom_in", "crop_image_normalized"])
def test_the_tools_answer_to_their_other_names(name: str) -> None:
    call = {"name": name, "arguments": {"bbox_2d": [0, 0, 128, 128], "target_image": 2}}
    parsed = parse(f"<tool_call>{json.dumps(call)}</tool_call>", TOOLS)
    assert parsed.call == ToolCall("crop_image", {"bbox_2d": [0, 0, 128, 128], "target_image": 2})


# ---- crops


@pytest.mark.parametrize(
    ("size", "box", "cut"),
    [
        ((100, 50), (10, 10, 20, 20), (0, 5, 30, 25)),  # a tenth of each side: 10 and 5
        ((100, 50), (40, 20, 60, 30), (30, 15, 70, 35)),
        ((100, 50), (-50, -50, 120, 60), (0, 0, 100, 50)),  # clamped
        ((6000, 6000), (1000, 1000, 2000, 2000), (400, 400, 2600, 2600)),  # a tenth is 600: the edge of the rule
        ((9000, 8000), (5000, 4000, 5100, 4100), (4400, 3400, 5700, 4700)),  # 600 / side is less than a tenth
    ],
)
def test_a_crop_is_padded_by_a_tenth_of_the_side_and_at_most_600_pixels(
    size: tuple[int, int], box: Box, cut: Box
) -> None:
    assert padded(box, size) == cut


@pytest.mark.parametrize("family", ["released", "qwen2.5-vl", "0-1000"])
@pytest.mark.parametrize(
    ("written", "cut"),
    [
        ([0, 0, 1, 1], (0, 0, 4000, 3000)),
        ([0.25, 0.5, 0.5, 0.75], (600, 1200, 2400, 2550)),  # 1000..2000 by 1500..2250, padded by 400 and 300
        ([0.5, 0.5, 1.0, 1.0], (1600, 1200, 4000, 3000)),
    ],
)
def test_four_values_up_to_one_are_normalised(family: BoxFamily, written: list[float], cut: Box) -> None:
    gallery = number_pictures(UNIVERSAL, SIZES, Wire(boxes=family))
    observation = TOOLS.run(ToolCall("crop_image", {"bbox_2d": written, "target_image": 1}), gallery)
    assert [part.view.box for part in observation.parts if isinstance(part, ImagePart)] == [cut]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((28, 28), (56, 56)),  # 4 * 28 * 28 pixels at least
        ((57, 56), (56, 56)),
        ((1800, 1350), (1792, 1344)),  # 64.3 and 48.2 patches
        ((4000, 3000), (2296, 1708)),  # 82 x 61 patches are 5002; 83 x 62 would be 5146, above 5120
    ],
)
def test_shown_sizes_are_multiples_of_28_within_the_bounds(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert shown_size(*size) == shown
    assert (PATCH, MIN_PIXELS, MAX_PIXELS) == (28, 4 * 28 * 28, 5120 * 28 * 28)


# ---- boxes of each family on a large photo: original -> wire -> original

UNITS: dict[BoxFamily, tuple[int, int]] = {"released": (4000, 3000), "qwen2.5-vl": (728, 532), "0-1000": (1000, 1000)}


@pytest.mark.parametrize("family", UNITS)
@given(data=st.data())
def test_a_box_comes_back_within_one_of_the_model_s_pixels(family: BoxFamily, data: st.DataObject) -> None:
    x0, y0 = data.draw(st.integers(0, 3999)), data.draw(st.integers(0, 2999))
    box = (x0, y0, data.draw(st.integers(x0 + 1, 4000)), data.draw(st.integers(y0 + 1, 3000)))
    gallery = number_pictures(UNIVERSAL, SIZES, Wire(boxes=family))
    photo = gallery.picture(1)
    shown = (photo.view.width, photo.view.height)
    numbers = from_original(box, family, photo.size, shown)
    call = parse(render_tool_call(ToolCall("crop_image", {"bbox_2d": numbers, "target_image": 1})), TOOLS).call
    assert call is not None
    back = gallery.pixels(photo, call.arguments["bbox_2d"])
    columns, rows = UNITS[family]
    pixel = (4000 / columns, 3000 / rows) * 2  # one of the model's pixels, in the original's
    assert all(abs(was - now) <= most + 1e-6 for was, now, most in zip(box, back, pixel, strict=True))
    seen = TOOLS.run(call, gallery).parts[-1]
    assert isinstance(seen, ImagePart) and seen.view.box is not None
    left, top, right, bottom = seen.view.box
    assert left <= box[0] and top <= box[1] and right >= box[2] and bottom >= box[3]


@pytest.mark.parametrize(
    ("family", "said"),
    [("released", "pixels of the image."), ("qwen2.5-vl", "shown to you."), ("0-1000", "from 0 to 1000.")],
)
def test_the_system_prompt_says_what_numbers_mean(family: BoxFamily, said: str) -> None:
    system = Episode(UNIVERSAL, SIZES, wire=Wire(boxes=family)).conversation.messages[0].text
    assert system.splitlines()[-1].startswith("Coordinates are ") and system.endswith(said)


def test_pixels_as_shown_are_those_of_the_picture_s_last_whole_view() -> None:
    """A photo stands in the window at 728x532 and select_images shows it at 2296x1708: its lower right quarter in each.

    A model that writes pixels of what it was shown means the view it has just asked for.
    """
    for looks, corner in [((), [364, 266, 728, 532]), (([1],), [1148, 854, 2296, 1708])]:
        episode = Episode(UNIVERSAL, SIZES, wire=Wire(boxes="qwen2.5-vl"))
        for images in looks:
            episode.feed(Completion(render_tool_call(ToolCall("select_images", {"target_images": images}))))
        seen = episode.feed(
            Completion(render_tool_call(ToolCall("crop_image", {"bbox_2d": corner, "target_image": 1})))
        )
        assert seen is not None and seen.valid
        part = seen.parts[-1]
        assert isinstance(part, ImagePart) and part.view.box == (1600, 1200, 4000, 3000)

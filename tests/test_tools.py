from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.boxes import BoxFamily
from vretrver.errors import InvalidInput
from vretrver.messages import ImagePart, Observation, TextPart, ToolCall, View
from vretrver.tools import REFUSED, Gallery, Picture, Toolbox, brief, default_toolbox, load_toolbox
from vretrver.tools.crop_image import CropImage, padded
from vretrver.tools.select_images import SelectImages
from vretrver.types import ImageRef

PHOTO = Picture(View(ImageRef("photo.jpg"), 728, 532), (4000, 3000), candidate=0)
SMALL = Picture(View(ImageRef("small.jpg"), 196, 112), (200, 100), candidate=2)
ASKED = Picture(View(ImageRef("asked.jpg"), 196, 112), (200, 100))
FULL = Gallery({0: ASKED, 1: PHOTO, 2: SMALL})


def ask(name: str, arguments: Mapping[str, Any], gallery: Gallery = FULL) -> Observation:
    return default_toolbox().run(ToolCall(name, arguments), gallery)


def heard(observation: Observation) -> str:
    assert not observation.valid
    (part,) = observation.parts
    assert isinstance(part, TextPart) and part.text.startswith(REFUSED)
    return part.text.removeprefix(REFUSED)


def views(observation: Observation) -> list[tuple[int, View]]:
    assert observation.valid
    return [(part.index, part.view) for part in observation.parts if isinstance(part, ImagePart)]


def test_select_shows_whole_originals_as_large_as_a_model_takes() -> None:
    observation = ask("select_images", {"target_images": [1, 0]})
    assert observation.message().text == (
        "Here are the selected images for detailed analysis. (Image Size: 2296x1708, Numbered 1 to 2):<image><image>"
    )
    assert views(observation) == [
        (1, View(ImageRef("photo.jpg"), 2296, 1708)),
        (0, View(ImageRef("asked.jpg"), 196, 112)),
    ]


def test_select_shows_a_picture_named_twice_once() -> None:
    assert len(views(ask("select_images", {"target_images": [2, 2]}))) == 1


def test_crop_pads_by_a_tenth_and_keeps_to_the_original() -> None:
    observation = ask("crop_image", {"bbox_2d": [50, 20, 100, 60], "target_image": 2})
    assert observation.message().text == "Here is the cropped image. (Image Size: 84x56)\n<image>"
    assert views(observation) == [(2, View(ImageRef("small.jpg"), 84, 56, (30, 10, 120, 70)))]


@pytest.mark.parametrize(
    ("box", "size", "grown"),
    [
        ((50, 20, 100, 60), (200, 100), (30, 10, 120, 70)),
        ((0, 0, 200, 100), (200, 100), (0, 0, 200, 100)),  # clamped
        ((7000, 100, 7001, 101), (10_000, 1000), (6400, 0, 7601, 201)),  # 600 pixels at most
    ],
)
def test_padding(box: tuple[int, ...], size: tuple[int, int], grown: tuple[int, ...]) -> None:
    assert padded((box[0], box[1], box[2], box[3]), size) == grown


@pytest.mark.parametrize("family", ["released", "qwen2.5-vl", "0-1000"])
def test_the_same_region_in_every_family(family: BoxFamily) -> None:
    written = {"released": [2000, 1500, 3000, 2250], "qwen2.5-vl": [364, 266, 546, 399], "0-1000": [500, 500, 750, 750]}
    gallery = Gallery(FULL.pictures, family)
    ((_, view),) = views(ask("crop_image", {"bbox_2d": written[family], "target_image": 1}, gallery))
    assert view.box == (1600, 1200, 3400, 2550)


@pytest.mark.parametrize("name", ["zoom_in", "crop_image_normalized"])
def test_aliases_and_fractions(name: str) -> None:
    ((_, view),) = views(ask(name, {"bbox_2d": [0.5, 0.5, 0.75, 0.75], "target_image": 1}))
    assert view.box == (1600, 1200, 3400, 2550)
    assert default_toolbox().canonical(name) == "crop_image"


FORMAT = "Invalid bbox_2d format. It should be a list of four numbers."
RANGE = (
    "Invalid target_images indices. Each index should be an integer equal to 0 for the query image or between 1 and "
    "the number of candidate images (2) for candidate images."
)
EDGE = "Invalid bbox_2d values. "
FINITE = EDGE + "Each should be a finite coordinate inside the image."
OUTSIDE = EDGE + "The box lies outside the image, which is shown at 196x112."


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "Missing parameters: bbox_2d, target_image"),
        ({"bbox_2d": [0, 0, 9, 9]}, "Missing parameters: target_image"),
        ({"bbox_2d": "0,0,9,9", "target_image": 1}, FORMAT),
        ({"bbox_2d": [0, 0, 9], "target_image": 1}, FORMAT),
        ({"bbox_2d": [0, 0, 9, "9"], "target_image": 1}, FORMAT),
        ({"bbox_2d": [0, 0, 9, True], "target_image": 1}, FORMAT),
        ({"bbox_2d": [0, 0, 9, float("nan")], "target_image": 1}, FINITE),
        ({"bbox_2d": [0, 0, 9, 10**400], "target_image": 1}, FINITE),
        ({"bbox_2d": [9, 0, 9, 9], "target_image": 1}, EDGE + "x1 should be less than x2 and y1 less than y2."),
        ({"bbox_2d": [0, 9, 9, 2], "target_image": 1}, EDGE + "x1 should be less than x2 and y1 less than y2."),
        ({"bbox_2d": [300, 0, 400, 9], "target_image": 2}, OUTSIDE),
        ({"bbox_2d": [0, 0, 9, 9], "target_image": 3}, RANGE),
        ({"bbox_2d": [0, 0, 9, 9], "target_image": -1}, RANGE),
        ({"bbox_2d": [0, 0, 9, 9], "target_image": True}, "Invalid target_image format. True is not an integer."),
        ({"bbox_2d": [0, 0, 9, 9], "target_image": "1"}, "Invalid target_image format. '1' is not an integer."),
        ({"bbox_2d": [0, 0, 9, 9], "target_image": [1]}, "Invalid target_image format. [1] is not an integer."),
    ],
)  # fmt: skip
def test_what_a_model_hears_of_a_bad_crop(arguments: dict[str, Any], reason: str) -> None:
    assert heard(ask("crop_image", arguments)) == reason


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "Missing parameters: target_images"),
        ({"target_images": 1}, "Invalid target_images format. It should be a list of 1 to 4 integers, not 1."),
        ({"target_images": []}, "Invalid target_images format. It should hold 1 to 4 integers, not 0."),
        ({"target_images": [1] * 5}, "Invalid target_images format. It should hold 1 to 4 integers, not 5."),
        ({"target_images": [1, 3]}, RANGE),
        ({"target_images": [1.0]}, "Invalid target_image format. 1.0 is not an integer."),
    ],
)
def test_what_a_model_hears_of_a_bad_selection(arguments: dict[str, Any], reason: str) -> None:
    assert heard(ask("select_images", arguments)) == reason


def test_what_a_model_hears_when_there_is_no_such_picture() -> None:
    texts = Gallery({})
    assert heard(ask("select_images", {"target_images": [0]}, texts)).startswith("Query image does not exist. ")
    assert heard(ask("select_images", {"target_images": [1]}, texts)).startswith("Candidate images do not exist. ")
    assert heard(ask("dig", {})) == "Unknown tool 'dig'. The tools are: select_images, crop_image."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5),
)


@given(st.sampled_from(["crop_image", "select_images"]), JSON, JSON, JSON)
def test_any_arguments_get_an_answer(name: str, first: Any, second: Any, third: Any) -> None:
    observation = ask(name, {"bbox_2d": first, "target_image": second, "target_images": third})
    for part in observation.parts:
        if isinstance(part, ImagePart) and part.view.box is not None:
            width, height = FULL.pictures[part.index].size
            x0, y0, x1, y1 = part.view.box
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height


def test_quoting_a_value_is_bounded() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert brief("<image>") == "'‹image>'"
    assert brief("x" * 1000) == "'" + "x" * 56 + "..."
    assert brief(10**5000) == "a int"
    assert brief(deep) == "a list"
    while deep:  # taken apart by hand: freeing it in one go would recurse
        deep = deep[0]


class Rotate:
    """A tool of somebody else's: one class."""

    name = "rotate"
    aliases = ("turn",)
    signature: Mapping[str, Any] = {"name": "rotate", "parameters": {"type": "object", "required": ["degrees"]}}

    def run(self, arguments: Mapping[str, Any], gallery: Gallery) -> Observation:
        return Observation((TextPart(f"turned by {arguments['degrees']}"),))


def test_adding_a_tool_is_writing_one_class() -> None:
    toolbox = Toolbox([SelectImages(), CropImage(), Rotate()])
    assert [signature["name"] for signature in toolbox.signatures] == ["select_images", "crop_image", "rotate"]
    assert toolbox.run(ToolCall("turn", {"degrees": 9}), FULL).parts == (TextPart("turned by 9"),)


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two tools answer to 'crop_image'"):
        Toolbox([CropImage(), CropImage()])


@pytest.mark.parametrize(
    ("names", "tools"),
    [
        (None, ["select_images", "crop_image"]),
        ("select", ["select_images"]),
        ("zoom", ["crop_image"]),
        ("crop_image, select_images", ["select_images", "crop_image"]),
        ("compare", ["compare_crops"]),
        ("compare_crops,select,zoom", ["select_images", "crop_image", "compare_crops"]),
        ("none", []),
        ([], []),
    ],
)
def test_a_toolbox_by_names(names: str | list[str] | None, tools: list[str]) -> None:
    assert [tool.name for tool in load_toolbox(names).tools] == tools


@pytest.mark.parametrize("names", ["rotate", "select,rotate", "", "none,select"])
def test_a_tool_that_is_none_is_refused(names: str) -> None:
    with pytest.raises(InvalidInput, match="choose from select_images, crop_image, compare_crops, or none"):
        load_toolbox(names)

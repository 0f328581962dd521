from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.episode import Episode
from vretrver.messages import Completion, ImagePart, Observation, TextPart, ToolCall, View
from vretrver.protocol import Wire, render_answer, render_tool_call
from vretrver.sizes import PATCH
from vretrver.tools import REFUSED, Gallery, Picture, load_toolbox
from vretrver.tools.compare_crops import LEAST_PIXELS, MOST_PIXELS, CompareCrops, padded
from vretrver.types import Candidate, Document, ImageRef, Query, Window

ASKED = Picture(View(ImageRef("asked.jpg"), 196, 112), (200, 100))
PHOTO = Picture(View(ImageRef("photo.jpg"), 728, 532), (4000, 3000), candidate=0)
SMALL = Picture(View(ImageRef("small.jpg"), 196, 112), (200, 100), candidate=2)
FULL = Gallery({0: ASKED, 1: PHOTO, 2: SMALL})
ONE = {"target_image": 1, "bbox_2d": [1000, 1000, 1400, 1100]}
RANGE = (
    "Invalid target_images indices. Each index should be an integer equal to 0 for the query image or between 1 and "
    "the number of candidate images (2) for candidate images."
)


def ask(crops: Any, gallery: Gallery = FULL) -> Observation:
    return load_toolbox("compare").run(ToolCall("compare_crops", {"crops": crops}), gallery)


def test_crops_come_in_the_order_of_the_call_each_with_its_number_and_size() -> None:
    seen = ask([{"target_image": 2, "bbox_2d": [50, 20, 150, 60]}, ONE, {"target_image": 0, "bbox_2d": [0, 0, 1, 1]}])
    assert seen.message().text == (
        "Here are the cropped images. (Numbered 1 to 3)\n1. Image 2 (Image Size: 364x168): <image>"
        "\n2. Image 1 (Image Size: 476x112): <image>\n3. Image 0 (Image Size: 336x168): <image>"
    )
    shown = [(part.index, part.view.image.path, part.view.box) for part in seen.message().views]
    # Padded by a tenth of the box's own sides; four numbers of at most 1 are fractions of the sides.
    assert shown == [
        (2, "small.jpg", (40, 16, 160, 64)),
        (1, "photo.jpg", (960, 990, 1440, 1110)),
        (0, "asked.jpg", (0, 0, 200, 100)),
    ]


def test_a_small_box_is_enlarged_and_a_large_one_shrunk() -> None:
    small, whole = ask([ONE, {"target_image": 1, "bbox_2d": [0, 0, 4000, 3000]}]).message().views
    assert small.view.width * small.view.height >= LEAST_PIXELS == 64 * 28 * 28
    assert whole.view.width * whole.view.height <= MOST_PIXELS
    (less,) = CompareCrops(max_pixels=16 * PATCH * PATCH).run({"crops": [ONE]}, FULL).message().views
    assert less.view.width * less.view.height <= 16 * PATCH * PATCH


@pytest.mark.parametrize(
    ("crops", "reason"),
    [
        (3, "Invalid crops format. It should be a list of 1 to 6 crops, not 3."),
        ([], "Invalid crops format. It should hold 1 to 6 crops, not 0."),
        ([ONE] * 7, "Invalid crops format. It should hold 1 to 6 crops, not 7."),
        ([ONE, 3], "Crop 2: Invalid format. It should hold target_image and bbox_2d; 3 does not."),
        ([{"target_image": 1}], "Crop 1: Missing parameters: bbox_2d"),
        ([{}], "Crop 1: Missing parameters: target_image, bbox_2d"),
        ([{**ONE, "target_image": 3}], f"Crop 1: {RANGE}"),
        ([{**ONE, "bbox_2d": [1, 2, 3]}], "Crop 1: Invalid bbox_2d format. It should be a list of four numbers."),
        (
            [{**ONE, "bbox_2d": [9, 9, 2, 20]}],
            "Crop 1: Invalid bbox_2d values. x1 should be less than x2 and y1 less than y2.",
        ),
    ],
)
def test_what_a_model_hears_of_a_bad_call(crops: Any, reason: str) -> None:
    (part,) = ask(crops).parts
    assert isinstance(part, TextPart) and part.text == REFUSED + reason


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["target_image", "bbox_2d"]),
            st.integers(-1, 3) | st.lists(st.floats() | st.integers(-9, 900), min_size=3, max_size=5),
        ),
        max_size=8,
    )
)
def test_any_call_gets_an_answer_inside_the_pictures(crops: list[Any]) -> None:
    seen = ask(crops)
    assert seen.valid or seen.message().text.startswith(REFUSED)
    for part in seen.message().views:
        x0, y0, x1, y1 = part.view.box or (0, 0, 0, 0)
        width, height = FULL.pictures[part.index].size
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert part.view.width % PATCH == part.view.height % PATCH == 0


def test_the_pad_is_clamped() -> None:
    assert padded((0, 10, 100, 90), (105, 100)) == (0, 2, 105, 98)


def test_each_candidate_gets_its_own_evidence() -> None:
    images = {"one": ImageRef("photo.jpg"), "three": ImageRef("small.jpg")}
    documents = (
        Document("one", image=images["one"]),
        Document("two", "text"),
        Document("three", image=images["three"]),
    )
    candidates = tuple(Candidate(document, 0.0, rank) for rank, document in enumerate(documents, 1))
    query = ImageRef("asked.jpg")
    episode = Episode(
        Window(Query("red", (query,)), candidates),
        {query: (200, 100), images["one"]: (4000, 3000), images["three"]: (200, 100)},
        load_toolbox("select,zoom,compare"),
        wire=Wire(boxes="0-1000"),
    )
    crops = [
        {"target_image": 2, "bbox_2d": [250, 200, 750, 600]},
        {"target_image": 1, "bbox_2d": [250, 500, 350, 600]},
        {"target_image": 0, "bbox_2d": [0, 0, 500, 500]},
    ]
    episode.feed(Completion(render_tool_call(ToolCall("compare", {"crops": crops}), "Look closer.")))
    seen = episode.conversation.messages[-1]
    assert [part.index for part in seen.parts if isinstance(part, ImagePart)] == [2, 1, 0]
    episode.feed(Completion(render_answer([2, 0, 1], "Candidate (3) is red. Candidate (1) is blue.")))
    evidence = {
        key: [(look.tool, look.box, look.note) for look in looks] for key, looks in episode.trace.evidence.items()
    }
    assert evidence == {
        "three": [("compare_crops", (40, 16, 160, 64), "Candidate (3) is red.")],
        "one": [("compare_crops", (960, 1470, 1440, 1830), "Candidate (1) is blue.")],
    }

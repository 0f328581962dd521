from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.boxes import BoxFamily, box_family, from_original, to_original, whole_pixels
from vretrver.errors import InvalidInput
from vretrver.types import Box

PHOTO = (4000, 3000)
SHOWN = (728, 532)
FAMILIES = get_args(BoxFamily)


@st.composite
def boxes(draw: st.DrawFn, size: tuple[int, int] = PHOTO) -> Box:
    x0 = draw(st.integers(0, size[0] - 1))
    y0 = draw(st.integers(0, size[1] - 1))
    return x0, y0, draw(st.integers(x0 + 1, size[0])), draw(st.integers(y0 + 1, size[1]))


@pytest.mark.parametrize(
    ("family", "written"),
    [("released", [1000, 750, 3000, 3000]), ("qwen2.5-vl", [182, 133, 546, 532]), ("0-1000", [250, 250, 750, 1000])],
)
def test_each_family_means_the_same_quarter_of_a_large_photo(family: BoxFamily, written: list[float]) -> None:
    box = (1000, 750, 3000, 3000)
    assert from_original(box, family, PHOTO, SHOWN) == written
    assert to_original(written, family, PHOTO, SHOWN) == box


def test_released_numbers_drift_when_a_model_means_what_it_saw() -> None:
    """Why the families exist: the same four numbers, 5.5 times too near the corner."""
    seen = [364, 266, 728, 532]  # the lower right quarter as shown
    assert to_original(seen, "qwen2.5-vl", PHOTO, SHOWN) == (2000, 1500, 4000, 3000)
    assert to_original(seen, "released", PHOTO, SHOWN) == (364, 266, 728, 532)


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_up_to_one_are_fractions(family: BoxFamily) -> None:
    assert to_original([0.25, 0.5, 0.75, 1], family, PHOTO, SHOWN) == (1000, 1500, 3000, 3000)


@pytest.mark.parametrize("family", FAMILIES)
@given(box=boxes())
def test_a_box_comes_back_covered_and_at_most_one_unit_larger(family: BoxFamily, box: Box) -> None:
    units = {"released": PHOTO, "qwen2.5-vl": SHOWN, "0-1000": (1000, 1000)}[family]
    back = to_original(from_original(box, family, PHOTO, SHOWN), family, PHOTO, SHOWN)
    slack = (PHOTO[0] / units[0] + 1e-6, PHOTO[1] / units[1] + 1e-6) * 2
    for at, (before, after) in enumerate(zip(box, back, strict=True)):
        grown = before - after if at < 2 else after - before
        assert -1e-6 <= grown < slack[at]
    if family == "released":
        assert whole_pixels([round(value, 6) for value in back], PHOTO) == box


def test_a_tiny_box_in_the_corner_is_not_read_as_the_whole_picture() -> None:
    for family in FAMILIES:
        written = from_original((0, 0, 1, 1), family, PHOTO, SHOWN)
        assert to_original(written, family, PHOTO, SHOWN) == pytest.approx((0, 0, 1, 1))


@given(st.tuples(*[st.floats(-1e6, 1e6)] * 4))
def test_whole_pixels_always_gives_a_box_inside(values: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = whole_pixels(values, (7, 5))
    assert 0 <= x0 < x1 <= 7 and 0 <= y0 < y1 <= 5


def test_an_unknown_family_is_an_error_that_names_the_known() -> None:
    assert box_family("0-1000") == "0-1000"
    with pytest.raises(InvalidInput, match=r"unknown box family 'qwen'; choose from released, qwen2\.5-vl, 0-1000"):
        box_family("qwen")

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.sizes import MAX_PIXELS, MIN_PIXELS, PATCH, shown_size


@pytest.mark.parametrize(
    ("size", "most", "shown"),
    [
        ((56, 56), MAX_PIXELS, (56, 56)),
        ((1000, 600), MAX_PIXELS, (1008, 588)),  # 35.7 and 21.4 patches
        ((10, 10), MAX_PIXELS, (56, 56)),  # grown to four patches
        ((4000, 3000), 512 * PATCH * PATCH, (728, 532)),  # 26.1 x 19.6 patches fit into 512
        ((42, 70), MAX_PIXELS, (56, 56)),  # 1.5 and 2.5 patches: both round to even, as the processor's round() does
    ],
)
def test_sizes_checked_by_hand(size: tuple[int, int], most: int, shown: tuple[int, int]) -> None:
    assert shown_size(*size, max_pixels=most) == shown


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(200, 5120))
def test_sizes_are_whole_patches_within_the_bounds(width: int, height: int, patches: int) -> None:
    columns, rows = shown_size(width, height, max_pixels=patches * PATCH * PATCH)
    assert columns % PATCH == rows % PATCH == 0
    assert MIN_PIXELS <= columns * rows <= patches * PATCH * PATCH


@given(st.integers(1, 100_000))
def test_a_hair_is_one_patch_thin(length: int) -> None:
    width, height = shown_size(length * 1000, 1)
    assert height == PATCH and width * height <= MAX_PIXELS
    assert shown_size(1, length * 1000) == (height, width)

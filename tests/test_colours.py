"""Colours: one-colour pictures and drawn ones whose shares can be counted."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vretrver import colours
from vretrver.errors import InvalidInput


def shirt(colour: str, background: str = "white") -> Image.Image:
    picture = Image.new("RGB", (80, 80), background)
    ImageDraw.Draw(picture).rectangle((20, 20, 59, 59), fill=colour)
    return picture


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The same item in Grey.", ["gray"]),
        ("navy blue socks", ["navy"]),
        ("greenish yellow shell", ["green", "yellow"]),
        ("a tired greenhouse", []),
        ("", []),
    ],
)
def test_named_colours(text: str, names: list[str]) -> None:
    assert [colour.name for colour in colours.named_colours(text)] == names


def test_named_colours_say_where() -> None:
    text = "a dark red shoe"
    (found,) = colours.named_colours(text)
    assert text[found.start : found.end] == "red"


def test_descriptors_are_unit_and_not_negative() -> None:
    descriptor = colours.describe_picture(shirt("green"))
    assert descriptor.shape == (colours.DIM,) and descriptor.dtype == np.float32
    assert descriptor.min() >= 0
    assert np.linalg.norm(descriptor) == pytest.approx(1, abs=1e-5)


def test_a_text_without_colour_has_a_zero_descriptor() -> None:
    assert not colours.describe_text("which product is this?").any()


TYPICAL = {
    "black": "#1c1c1e", "white": "#f6f6f6", "gray": "#86888a", "red": "#b81c22", "orange": "#e8741e",
    "yellow": "#f0d030", "green": "#2f7d3b", "blue": "#2450a8", "purple": "#6b3690", "pink": "#f08cae",
    "brown": "#5a3418",
}  # fmt: skip


@pytest.mark.parametrize("name", TYPICAL)
def test_a_name_is_closest_to_its_own_colour(name: str) -> None:
    asked = colours.describe_text(name)
    seen = {other: colours.describe_picture(Image.new("RGB", (60, 60), code)) for other, code in TYPICAL.items()}
    assert max(seen, key=lambda other: colours.similarity(asked, seen[other])) == name
    assert colours.colour_share(Image.new("RGB", (60, 60), TYPICAL[name]), name) == pytest.approx(1)


def test_an_even_background_is_left_out() -> None:
    assert colours.colour_share(shirt("red", background="white"), "red") == pytest.approx(1, abs=0.05)
    assert colours.colour_share(shirt("red", background="white"), "white") < 0.05


def test_a_busy_background_counts() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    assert colours.colour_share(Image.fromarray(noise), "red") < 0.5


def test_a_plain_picture_is_all_foreground() -> None:
    assert colours.colour_share(Image.new("RGB", (9, 5), "white"), "white") == pytest.approx(1)


def test_a_shade_is_not_its_basic_colour() -> None:
    assert colours.colour_share(shirt("#14213d"), "navy") > 0.9
    assert colours.colour_share(shirt("#3d7fd0"), "navy") < 0.1
    assert colours.colour_share(shirt("#3d7fd0"), "blue") > 0.9


def test_an_unknown_colour_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(InvalidInput, match=r"'octarine'.*black"):
        colours.colour_share(shirt("red"), "octarine")

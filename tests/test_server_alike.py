from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vretrver.images import fit_within
from vretrver.server.alike import GRID, MOST_BITS, MOST_COLOUR, Sketch, folded, sketch


def picture(seed: int = 1, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Soft blobs: as smooth as a photograph, and another for each seed."""
    dice = np.random.default_rng(seed)
    return Image.fromarray(dice.integers(0, 255, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)


def sketched(image: Image.Image, quality: int = 82) -> Sketch:
    buffer = io.BytesIO()
    fit_within(image, 256).save(buffer, "JPEG", quality=quality)
    made = sketch(buffer.getvalue())
    assert made is not None
    return made


def test_other_sizes_and_compressions_are_alike() -> None:
    original = sketched(picture())
    assert original.is_like(sketched(picture().resize((160, 120))))
    assert original.is_like(sketched(picture().resize((1600, 1200)), quality=30))


def test_other_pictures_colours_shapes_and_crops_are_not() -> None:
    original = sketched(picture())
    assert not any(original.is_like(sketched(picture(seed))) for seed in range(2, 40))
    grey = picture().convert("L").convert("RGB")
    assert not original.is_like(sketched(grey))
    assert not original.is_like(sketched(picture().resize((240, 240))))
    assert not original.is_like(sketched(picture().crop((60, 45, 320, 240)).resize((320, 240))))
    assert not sketched(Image.new("RGB", (64, 48), "red")).is_like(sketched(Image.new("RGB", (64, 48), "green")))


def test_the_better_one_stands_for_the_others() -> None:
    one, two = sketched(picture(1)), sketched(picture(2))
    sketches = {"a": one, "b": two, "c": one, "d": None, "e": two, "f": one}
    assert folded(["a", "b", "c", "d", "e", "f", "g"], sketches) == {"c": "a", "e": "b", "f": "a"}
    assert folded(["f", "a"], sketches) == {"a": "f"}


def test_what_is_no_picture_has_no_sketch() -> None:
    assert sketch(b"nothing") is None


def test_the_page_on_the_page_tells_the_rule_as_it_is() -> None:
    said = (Path(__file__).parents[1] / "docs" / "page.md").read_text(encoding="utf-8").replace("\n", " ")
    assert f"at most {MOST_BITS} of {GRID * GRID} places" in said
    assert f"{GRID} by {GRID} grid differs by more than {MOST_COLOUR:g} of 255" in said

"""Degradations: what a specification may say, and what it does to pixels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vretrver.degrade import RANGES, Degradation, degraded_file, parse
from vretrver.errors import ImageError, InvalidInput, MissingPath, StorageError
from vretrver.images import from_pil
from vretrver.types import ImageRef

GREY = (128, 128, 128)


def board(width: int = 64, height: int = 48) -> Image.Image:
    """A chequered picture of 4-pixel squares in two colours, neither of them grey."""
    rows, columns = np.indices((height, width)) // 4
    pixels = np.where(((rows + columns) % 2 == 0)[..., None], (220, 40, 30), (20, 60, 200))
    return Image.fromarray(pixels.astype(np.uint8))


def spread(picture: Image.Image) -> float:
    return float(np.asarray(picture, np.float64).std())


@st.composite
def degradations(draw: st.DrawFn) -> Degradation:
    names = draw(st.lists(st.sampled_from(sorted(RANGES)), min_size=1, unique=True))
    steps = []
    for name in names:
        low, high = RANGES[name]
        if isinstance(low, int):
            steps.append((name, float(draw(st.integers(low, int(high))))))
        else:
            steps.append((name, draw(st.integers(max(1, round(low * 100)), round(high * 100))) / 100))
    return Degradation(tuple(steps), draw(st.integers(0, 9)))


@given(degradations())
def test_parse_inverts_the_canonical_string(degradation: Degradation) -> None:
    assert parse(str(degradation)) == degradation


def test_order_is_kept_and_blanks_do_not_matter() -> None:
    assert str(parse(" noise=0.10 , blur=2.0,seed=3")) == "noise=0.1,blur=2,seed=3"


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        ("", "cannot read ''"),
        ("fog=2", "names of blur"),
        ("blur", "name=value"),
        ("blur=0", "above 0, up to 20"),
        ("blur=nan", "above 0"),
        ("blur=inf", "above 0"),
        ("jpeg=20.5", "a whole number 1 to 95"),
        ("lowres=4", "8 to 2048"),
        ("noise=", "noise=\\(nothing\\)"),
        ("blur=1,blur=2", "twice"),
        ("seed=3", "names no operation"),
        ("blur=1,seed=-1", "whole number 0"),
    ],
)
def test_a_bad_specification_says_what_is_allowed(specification: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse(specification)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_every_operation_keeps_the_size_and_changes_the_picture(name: str) -> None:
    value = {"blur": 4, "jpeg": 20, "lowres": 8, "occlude": 0.2, "brightness": 2, "contrast": 2}.get(name, 0.3)
    picture = board()
    worse = parse(f"{name}={value}").apply(picture, "key")
    assert worse.size == picture.size
    assert worse.mode == "RGB"
    assert worse.tobytes() != picture.tobytes()
    assert picture.tobytes() == board().tobytes()


def test_blur_is_in_pixels_at_512() -> None:
    """An edge blurred at twice the size is as soft, measured in shares of the width."""
    softness = []
    for side in (256, 512):
        edge = Image.new("RGB", (side, side // 2))
        edge.paste((255, 255, 255), (side // 2, 0, side, side // 2))
        row = np.asarray(parse("blur=4").apply(edge, "k"))[side // 4, :, 0]
        softness.append(np.count_nonzero((row > 40) & (row < 215)) / side)
    assert softness[0] == pytest.approx(softness[1], abs=0.01)


def test_noise_has_the_stated_strength() -> None:
    worse = np.asarray(parse("noise=0.1").apply(Image.new("RGB", (200, 200), GREY), "k"), np.float64)
    assert worse.std() == pytest.approx(25.5, rel=0.02)


@given(st.floats(0.01, 0.9), st.integers(0, 10**6))
def test_occlude_covers_the_stated_share(share: float, key: int) -> None:
    picture = Image.new("RGB", (300, 200), (255, 0, 0))
    worse = np.asarray(parse(f"occlude={share}").apply(picture, str(key)))
    assert (worse == GREY).all(axis=2).mean() == pytest.approx(share, abs=0.01)


def test_lowres_leaves_small_pictures_alone() -> None:
    assert parse("lowres=64").apply(board(), "k").tobytes() == board().tobytes()
    assert spread(parse("lowres=8").apply(board(), "k")) < 0.7 * spread(board())


def test_the_key_and_the_seed_decide_what_is_random() -> None:
    one = parse("noise=0.1,occlude=0.2")
    assert one.apply(board(), "a").tobytes() == one.apply(board(), "a").tobytes()
    assert one.apply(board(), "a").tobytes() != one.apply(board(), "b").tobytes()
    assert one.apply(board(), "a").tobytes() != parse("noise=0.1,occlude=0.2,seed=1").apply(board(), "a").tobytes()


def test_steps_are_applied_in_the_order_written() -> None:
    covered_last = np.asarray(parse("blur=9,occlude=0.3").apply(board(), "k"))
    covered_first = np.asarray(parse("occlude=0.3,blur=9").apply(board(), "k"))
    assert (covered_last == GREY).all(axis=2).mean() > (covered_first == GREY).all(axis=2).mean()


def test_a_file_is_written_once_under_a_name_of_its_content(tmp_path: Path) -> None:
    buffer = BytesIO()
    board().save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    (tmp_path / "b.png").write_bytes(buffer.getvalue())
    first = degraded_file(ImageRef(path=str(tmp_path / "a.png")), parse("noise=0.1"), tmp_path / "worse")
    written = first.stat().st_mtime_ns
    assert degraded_file(ImageRef(path=str(tmp_path / "b.png")), parse("noise=0.10"), tmp_path / "worse") == first
    assert degraded_file(ImageRef(data=buffer.getvalue()), parse("noise=0.1"), tmp_path / "worse") == first
    assert first.stat().st_mtime_ns == written
    assert degraded_file(from_pil(board(32, 32)), parse("noise=0.1"), tmp_path / "worse") != first
    assert degraded_file(ImageRef(data=buffer.getvalue()), parse("noise=0.2"), tmp_path / "worse") != first
    assert sorted(path.suffix for path in (tmp_path / "worse").iterdir()) == [".jpg"] * 3
    with Image.open(first) as worse:
        assert worse.size == board().size


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("not a picture")
    with pytest.raises(ImageError):
        degraded_file(ImageRef(path=str(tmp_path / "note.png")), parse("blur=1"), tmp_path / "worse")
    with pytest.raises(MissingPath):
        degraded_file(ImageRef(path=str(tmp_path / "absent.png")), parse("blur=1"), tmp_path / "worse")
    assert not list(tmp_path.rglob("*.jpg")) + list(tmp_path.rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(StorageError, match="taken"):
        degraded_file(from_pil(board()), parse("blur=1"), tmp_path / "taken")

"""Which pictures are opened: the rule, and what tries to get around it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reddest import encoded
from vretrver.adapters.pictures import Base64, data_url, picture_of
from vretrver.errors import ImageError, InvalidInput
from vretrver.images import MAX_BYTES, image_size, open_image
from vretrver.types import ImageRef

Paint = Callable[..., str]
RED = encoded("red")
URL = "data:image/png;base64," + base64.b64encode(RED).decode()


@pytest.mark.parametrize(
    "source", [RED, bytearray(RED), URL, URL.replace("data:image", "DATA:Image"), ImageRef(data=RED)]
)
def test_bytes_and_data_urls_need_no_root(source: object) -> None:
    assert picture_of(source) == ImageRef(data=RED)


@pytest.mark.parametrize("text", [base64.b64encode(RED), base64.b64encode(RED).decode(), URL])
def test_base64_where_a_field_holds_nothing_else(text: str | bytes) -> None:
    assert picture_of(Base64(text)) == ImageRef(data=RED)


def test_a_data_url_survives_the_way_out_and_back() -> None:
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), "red").save(buffer, kind)
        url = data_url(ImageRef(data=buffer.getvalue()))
        assert url.startswith(f"data:image/{kind.lower()};base64,")
        assert picture_of(url).data == buffer.getvalue()
    with pytest.raises(InvalidInput, match="is a path"):
        data_url(ImageRef(path="a.png"))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"]
)
def test_pil_images_of_every_mode(mode: str) -> None:
    assert image_size(picture_of(Image.new(mode, (6, 4)))) == (6, 4)


def test_a_pil_image_keeps_its_colours() -> None:
    ref = picture_of(Image.new("CMYK", (4, 4), (0, 255, 255, 0)))
    assert open_image(ref).getpixel((0, 0)) == (255, 0, 0)


def test_a_damaged_pil_image_is_an_image_error(tmp_path: Path, paint: Paint) -> None:
    whole = Path(paint("whole.png", size=(640, 480))).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "half.png") as lazy, pytest.raises(ImageError, match="cannot keep a PIL image"):
        picture_of(lazy)


def test_a_path_object_is_codes_a_string_is_datas(paint: Paint, tmp_path: Path) -> None:
    path = paint("a.png")
    assert picture_of(Path(path)) == ImageRef(path=path)
    with pytest.raises(InvalidInput, match="name the folder that pictures may be read from with root="):
        picture_of(path)
    assert picture_of(path, tmp_path) == ImageRef(path=path)
    assert picture_of("a.png", tmp_path) == ImageRef(path=path)
    assert picture_of("./sub/../a.png", str(tmp_path)) == ImageRef(path=path)


@pytest.mark.parametrize(
    "text", ["../secret.png", "/etc/passwd", "sub/../../secret.png", "link.png", "folder/secret.png"]
)
def test_nothing_leads_out_of_the_root(text: str, paint: Paint, tmp_path: Path) -> None:
    paint("secret.png")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "folder").symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="leads out of"):
        picture_of(text, root)


@given(st.text(max_size=40))
def test_whatever_the_string_it_stays_inside(text: str) -> None:
    root = Path("/nowhere/pictures")
    try:
        ref = picture_of(text, root)
    except InvalidInput:
        return
    assert ref.data is not None or Path(str(ref.path)).is_relative_to(root)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("https://example.org/a.png", "URLs are not fetched"),
        ("file:///etc/passwd", "URLs are not fetched"),
        ("S3://bucket/a.png", "URLs are not fetched"),
        ("data:text/html;base64,AAAA", "begins with data:image"),
        ("data:image/png,rawtext", "begins with data:image"),
        ("data:image/png;base64,A", "does not decode"),
        ("data:image/png;base64,AA AA", "does not decode"),
        ("a\0b.png", "is no path"),
        (7, "cannot take a int"),
    ],
)
def test_what_is_refused_and_why(source: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=says):
        picture_of(source, tmp_path)


def test_base64_is_bounded_before_it_is_decoded() -> None:
    with pytest.raises(ImageError, match="at most"):
        picture_of(Base64("A" * (MAX_BYTES * 4 // 3 + 8)))

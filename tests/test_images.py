from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import Paint
from vretrver import images
from vretrver.errors import ImageError, MissingPath
from vretrver.messages import View
from vretrver.types import ImageRef


def encoded(picture: Image.Image, kind: str, **options: object) -> ImageRef:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return ImageRef(data=buffer.getvalue())


def pixel(picture: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = picture.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_every_allowed_format_opens_as_rgb(kind: str) -> None:
    picture = images.open_image(encoded(Image.new("RGB", (20, 10), (250, 0, 0)), kind))
    assert (picture.mode, picture.size) == ("RGB", (20, 10))
    assert np.allclose(pixel(picture), (250, 0, 0), atol=6)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), (255, 0, 0)),
        (Image.new("L", (4, 4), 128), (128, 128, 128)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("I;16", (4, 4), 32896), (128, 128, 128)),
    ],
    ids=["cmyk", "grey", "bilevel", "16-bit"],
)
def test_every_mode_becomes_8_bit_rgb(picture: Image.Image, expected: tuple[int, int, int]) -> None:
    assert np.allclose(pixel(images.open_image(encoded(picture, "TIFF"))), expected, atol=2)


def test_alpha_is_laid_on_white_also_in_palettes() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert pixel(images.open_image(encoded(clear, "PNG"))) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0])
    assert pixel(images.open_image(encoded(palette, "PNG", transparency=0))) == (255, 255, 255)
    assert pixel(images.open_image(encoded(palette, "PNG"))) == (255, 0, 0)


def test_a_gif_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    ref = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixel(images.open_image(ref))[0] > 200


def test_exif_orientation_is_applied_to_pixels_and_size() -> None:
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste("black", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    ref = encoded(picture, "JPEG", exif=exif, quality=95)
    assert images.image_size(ref) == (20, 40)
    upright = images.open_image(ref)
    assert upright.size == (20, 40)
    assert pixel(upright, 10, 5)[0] < 60
    assert pixel(upright, 10, 35)[0] > 200


def test_near_shrinks_a_large_jpeg_but_never_below_twice_what_is_asked() -> None:
    ref = encoded(Image.new("RGB", (2000, 1600), "red"), "JPEG")
    small = images.open_image(ref, near=100)
    assert small.size == (250, 200)  # an eighth, the decoder's smallest step
    assert min(images.open_image(ref, near=300).size) >= 600
    assert images.open_image(ref).size == (2000, 1600)


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7"],
)
def test_what_is_no_picture_is_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError, match="cannot read image bytes:"):
        images.open_image(ImageRef(data=data))


def test_a_truncated_picture_is_an_image_error() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, "JPEG").data
    assert data is not None
    with pytest.raises(ImageError, match="truncated"):
        images.open_image(ImageRef(data=data[: len(data) // 2]))


@pytest.mark.parametrize(("width", "height", "said"), [(25_000, 20_000, "500000000"), (10_000, 10_000, "10000x10000")])
def test_a_bomb_is_refused_by_its_header_alone(width: int, height: int, said: str) -> None:
    """Millions of pixels claimed by a file of a few dozen bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(ImageError, match=said):
        images.open_image(ImageRef(data=data))
    with pytest.raises(ImageError, match=said):
        images.image_size(ImageRef(data=data))


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(ImageError, match="bytes; at most"):
        images.open_image(ImageRef(data=bytes(images.MAX_BYTES + 1)))


def test_paths_that_are_no_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"no such image: .*nowhere\.jpg"):
        images.open_image(ImageRef(path=str(tmp_path / "nowhere.jpg")))
    with pytest.raises(ImageError, match="is not a file"):
        images.open_image(ImageRef(path=str(tmp_path)))
    with pytest.raises(ImageError, match="cannot read image"):
        images.open_image(ImageRef(path="a\0b"))


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]),
    wounds=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=12),
    keep=st.floats(0.1, 1.0),
)
def test_damaged_bytes_give_a_picture_or_an_image_error(kind: str, wounds: list[tuple[int, int]], keep: float) -> None:
    data = bytearray(encoded(Image.linear_gradient("L").resize((32, 32)).convert("RGB"), kind).data or b"")
    for position, value in wounds:
        data[position % len(data)] = value
    ref = ImageRef(data=bytes(data[: max(1, int(len(data) * keep))]))
    with contextlib.suppress(ImageError):
        assert images.open_image(ref).mode == "RGB"


def test_a_crop_comes_from_the_original_at_full_resolution(tmp_path: Path) -> None:
    picture = Image.new("RGB", (3000, 2000), "white")
    picture.putpixel((2500, 1500), (0, 0, 0))
    path = str(tmp_path / "large.png")
    picture.save(path)
    piece = images.crop(ImageRef(path=path), (2490, 1490, 2510, 1510))
    assert piece.size == (20, 20)
    assert pixel(piece, 10, 10) == (0, 0, 0)


@pytest.mark.parametrize("box", [(0, 0, 65, 10), (-1, 0, 5, 5), (5, 5, 5, 9), (9, 0, 3, 5)])
def test_a_box_outside_the_picture_is_refused(paint: Paint, box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ImageError, match="does not lie inside"):
        images.crop(ImageRef(path=paint()), box)


def test_a_view_renders_at_the_size_it_says(paint: Paint) -> None:
    ref = ImageRef(path=paint(size=(64, 48)))
    assert images.render(View(ref, 28, 56)).size == (28, 56)
    assert images.render(View(ref, 112, 84, box=(0, 0, 16, 12))).size == (112, 84)


def test_fit_within_keeps_the_shape_and_never_enlarges() -> None:
    assert images.fit_within(Image.new("RGB", (400, 200)), 100).size == (100, 50)
    assert images.fit_within(Image.new("RGB", (40, 20)), 100).size == (40, 20)
    assert images.fit_within(Image.new("RGB", (4000, 2)), 100).size == (100, 1)


def test_encoding_drops_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "secret camera"
    ref = encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif)
    assert b"secret camera" not in images.encode_jpeg(images.open_image(ref))


def test_from_pil_keeps_every_pixel() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (9, 7, 3), dtype=np.uint8))
    assert np.array_equal(np.asarray(images.open_image(images.from_pil(noise))), np.asarray(noise))

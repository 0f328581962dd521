"""Pictures made worse on purpose, to see how far a ranking holds: `parse("blur=2,jpeg=20").apply(picture, key)`.

Operations are applied in the order written. What is random in them (noise, where the rectangle lies) depends on the
operation, the picture's key and the seed alone, so a run that goes on after a kill sees the same pictures.
It leaves out weather and camera effects that need a model of the scene; compression, focus, light, sensor noise, cover
and resolution are what happens to pictures in collections.

| operation | value | unit |
|---|---|---|
| blur | 0 < x <= 20 | standard deviation of a Gaussian, in pixels of the picture at 512 pixels on its longer side |
| noise | 0 < x <= 0.5 | standard deviation of Gaussian noise per pixel and channel, as a share of 255 |
| jpeg | 1 to 95 | JPEG quality, colour at half resolution |
| occlude | 0 < x <= 0.9 | share of the area under one grey rectangle |
| lowres | 8 to 2048 | the longer side is shrunk to this many pixels and enlarged back; smaller pictures stay |
| brightness | 0.1 to 4 | every value times this, clipped |
| contrast | 0.1 to 4 | every value's distance from the mean grey times this, clipped |
| seed | 0 to 2**31 - 1 | no operation: other noise, another place of the rectangle |
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from vretrver.errors import InvalidInput, MissingPath, StorageError
from vretrver.images import fit_within, open_image
from vretrver.types import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

REFERENCE_SIDE = 512
RANGES = {
    "blur": (0.0, 20.0),
    "noise": (0.0, 0.5),
    "jpeg": (1, 95),
    "occlude": (0.0, 0.9),
    "lowres": (8, 2048),
    "brightness": (0.1, 4.0),
    "contrast": (0.1, 4.0),
}
_GREY = (128, 128, 128)
_QUALITY = 95  # of the files: errors well below any operation's, a fifth of a PNG's bytes where there is noise


@dataclass(frozen=True, slots=True)
class Degradation:
    """Operations with their strengths, in order. `str()` gives the canonical specification; `parse` is its inverse.

    Args:
        steps: pairs of operation and value, each operation at most once.
        seed: changes what is random.
    """

    steps: tuple[tuple[str, float], ...]
    seed: int = 0

    def __str__(self) -> str:
        steps = [f"{name}={value:g}" for name, value in self.steps]
        return ",".join(steps + [f"seed={self.seed}"] * bool(self.seed))

    def apply(self, picture: PILImage, key: str) -> PILImage:
        """The picture made worse, of the same size, as RGB.

        Args:
            picture: any mode; not changed.
            key: what stands for the picture, such as its digest or document id; equal keys get equal noise.
        """
        worse = picture.convert("RGB")
        for name, value in self.steps:
            digest = hashlib.sha256(f"{name}\0{key}\0{self.seed}".encode()).digest()
            worse = _OPERATIONS[name](worse, value, np.random.RandomState(int.from_bytes(digest[:4], "big")))
        return worse


def parse(specification: str) -> Degradation:
    """A specification such as `blur=2,noise=0.1,lowres=64`; the module's table lists operations, ranges and units.

    Raises:
        InvalidInput: an operation is unknown or given twice, or a value is no number or out of range.
    """
    steps: dict[str, float] = {}
    seed = 0
    for part in specification.split(","):
        name, equals, written = (piece.strip() for piece in part.partition("="))
        if name == "seed" and equals:
            seed = int(_number(name, written, 0, 2**31 - 1))
            continue
        if name not in RANGES or not equals:
            raise InvalidInput(
                f"cannot read {part.strip()!r} as a degradation; write name=value, separated by commas, with names of "
                + ", ".join(f"{one} ({_range(one)})" for one in RANGES)
            )
        if name in steps:
            raise InvalidInput(f"degradation {name} is given twice in {specification!r}; give it once")
        steps[name] = _number(name, written, *RANGES[name])
    if not steps:
        raise InvalidInput(f"the degradation {specification!r} names no operation; choose from {', '.join(RANGES)}")
    return Degradation(tuple(steps.items()), seed)


def degraded_file(ref: ImageRef, degradation: Degradation, folder: str | os.PathLike[str]) -> Path:
    """The degraded picture as a JPEG file of quality 95, written once and found again by content.

    Its name is a digest of the original's bytes and of the specification, and the original's digest is the key: the
    same picture under two names is degraded alike. A file is either whole or not there.

    Raises:
        MissingPath, ImageError: as `images.open_image`.
        StorageError: the folder cannot be written.
    """
    folder = Path(folder)
    original = _digest(ref)
    name = hashlib.sha256(f"{original}\0{degradation}".encode()).hexdigest()[:32]
    path = folder / f"{name}.jpg"
    if path.exists():
        return path
    worse = degradation.apply(open_image(ref), original)
    part = folder / f"{path.stem}.{os.getpid()}-{threading.get_ident()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        worse.save(part, "JPEG", quality=_QUALITY, subsampling=0)
        part.replace(path)
    except OSError as fault:
        with suppress(OSError):
            part.unlink()
        raise StorageError(f"cannot write a degraded picture to {folder}: {fault}") from fault
    return path


def _number(name: str, written: str, low: float, high: float) -> float:
    try:
        value = float(written)
    except ValueError:
        value = float("nan")
    whole = isinstance(low, int)
    # An open lower end where 0 would do nothing; NaN fails every comparison.
    if not (low <= value <= high and (value > 0 or low != 0 or whole)) or (whole and value != int(value)):
        allowed = _range(name) if name in RANGES else f"a whole number {low} to {high}"
        raise InvalidInput(f"degradation {name}={written or '(nothing)'} is not allowed; {name} takes {allowed}")
    return float(f"{value:g}")  # as it will be written: equal specifications, equal pictures


def _range(name: str) -> str:
    low, high = RANGES[name]
    if isinstance(low, int):
        return f"a whole number {low} to {high}"
    return f"above 0, up to {high:g}" if low == 0 else f"{low:g} to {high:g}"


def _digest(ref: ImageRef) -> str:
    if ref.data is not None:
        return hashlib.sha256(ref.data).hexdigest()
    assert ref.path is not None
    try:
        with open(ref.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as fault:
        raise MissingPath(f"cannot read image {ref.path!r}: {fault}") from fault


def _blur(picture: PILImage, value: float, _random: np.random.RandomState) -> PILImage:
    return picture.filter(ImageFilter.GaussianBlur(value * max(picture.size) / REFERENCE_SIDE))


def _noise(picture: PILImage, value: float, random: np.random.RandomState) -> PILImage:
    pixels = np.asarray(picture, np.float32)
    noisy = pixels + random.normal(0.0, 255 * value, pixels.shape).astype(np.float32)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _jpeg(picture: PILImage, value: float, _random: np.random.RandomState) -> PILImage:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(value), subsampling=2)
    return Image.open(buffer).convert("RGB")


def _occlude(picture: PILImage, value: float, random: np.random.RandomState) -> PILImage:
    """One grey rectangle of this share of the area, up to twice as wide for its height as the picture, or half."""
    width, height = picture.size
    ratio = 2 ** random.uniform(-1, 1)
    across = min(1.0, max(value, (value * ratio) ** 0.5))
    wide, high = max(1, round(width * across)), max(1, round(height * value / across))
    x, y = random.randint(0, width - wide + 1), random.randint(0, height - high + 1)
    covered = picture.copy()
    ImageDraw.Draw(covered).rectangle((x, y, x + wide - 1, y + high - 1), fill=_GREY)
    return covered


def _lowres(picture: PILImage, value: float, _random: np.random.RandomState) -> PILImage:
    return fit_within(picture, int(value)).resize(picture.size, Image.Resampling.BICUBIC)


def _brightness(picture: PILImage, value: float, _random: np.random.RandomState) -> PILImage:
    return ImageEnhance.Brightness(picture).enhance(value)


def _contrast(picture: PILImage, value: float, _random: np.random.RandomState) -> PILImage:
    return ImageEnhance.Contrast(picture).enhance(value)


_OPERATIONS: dict[str, Callable[[PILImage, float, np.random.RandomState], PILImage]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "occlude": _occlude,
    "lowres": _lowres,
    "brightness": _brightness,
    "contrast": _contrast,
}

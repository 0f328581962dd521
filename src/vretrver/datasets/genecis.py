"""GeneCIS: conditional image similarity, four subsets, each query with a gallery of its own (Vaze et al., CVPR 2023).

    genecis/{focus,change}_{attribute,object}.json    or annotations/: reference, condition, target, gallery
    val2017/000000000139.jpg                          COCO 2017 validation, for the object subsets
    VG_100K_all/2345.jpg                              or VG_100K/ and VG_100K_2/: Visual Genome 1.2, for attributes

The object subsets compare whole pictures. The attribute subsets compare crops: `instance_bbox` (x, y, width, height)
dilated by 0.7 and padded to a square with black, as the published evaluation cuts them. That rule moves the left and
top edges out by 0.7 of the size and measures 1.7 sizes from there, so the right and bottom edges stay where they were
unless the picture's border held the left or top. Crops are written below `work` when they are first needed.

The published galleries hold the target first: a method that gives equal scores would be right every time. Here the
order of each gallery is shuffled by a hash of the query's number and the candidates' ids, and the pool is in id order.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.datasets import Card, Task, Topic
from vretrver.datasets.records import chosen, first_of, folder, id_of, list_of, object_of, picture, read_json, text_of
from vretrver.errors import ImageError, InvalidInput, RecordError
from vretrver.images import encode_jpeg, open_image
from vretrver.types import Box, Document, ImageRef, Query

SUBSETS = ("focus_attribute", "change_attribute", "focus_object", "change_object")
INSTRUCTIONS = {
    "focus": "Find a picture that has what the text names in common with this one.",
    "change": "Find a picture like this one, with the change that the text names.",
}
MEASURES = ("hit@1", "hit@2", "hit@3", "mrr")
DILATION = 0.7
MAX_CROPS = 200_000
CARD = Card(
    title="GeneCIS",
    source="https://github.com/facebookresearch/genecis (pictures: Visual Genome 1.2, COCO 2017 validation)",
    licence="CC BY-NC 4.0 for the annotations; Visual Genome CC BY 4.0; COCO's pictures are Flickr's",
    metric="R@1, R@2, R@3 within each query's gallery of 10 (attributes) or 15 (objects); the table averages R@1 over "
    "the four subsets",
    notes="Published order puts the target first, so ties would count as right: galleries are shuffled here. The box "
    "rule of the attribute crops is asymmetric and is kept; crops are stored as JPEG of quality 95. Older copies of "
    "the annotations are pickles, which are not opened. The authors call the data noisy.",
)

Corners: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Crop:
    """One instance of Visual Genome: the picture, its box as published (x, y, width, height), where its crop goes."""

    id: str
    source: ImageRef
    box: Corners
    file: Path

    def ref(self) -> ImageRef:
        """The crop, written if it is not there yet; the original itself where that is missing or unreadable."""
        if not self.file.is_file():
            if self.source.path is None or not os.path.isfile(self.source.path):
                return self.source  # so that whoever counts missing pictures names the one to download
            try:
                _write(self)
            except ImageError:
                return self.source
        return ImageRef(path=str(self.file))


class CropPool:
    """The crops of all galleries; each is cut when the pool first comes to it."""

    def __init__(self, crops: Sequence[Crop]) -> None:
        self._crops = tuple(crops)

    def __len__(self) -> int:
        return len(self._crops)

    def __iter__(self) -> Iterator[Document]:
        return (Document(crop.id, image=crop.ref()) for crop in self._crops)


def load(
    root: str | os.PathLike[str],
    task: str,
    work: str | os.PathLike[str] | None = None,
    instruction: str | None = None,
) -> Task:
    """One subset.

    Args:
        root: the folder that holds the annotations and the pictures.
        task: one of `SUBSETS`.
        work: where the attribute subsets' crops go; the object subsets need none. A folder made before is used again.
        instruction: what every query asks for, apart from its condition; "" for nothing, None for our own words.

    Raises:
        InvalidInput: no such subset, `work` is missing, or the annotations are only there as a pickle.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    chosen(task, SUBSETS, "task")
    say = INSTRUCTIONS[task.partition("_")[0]] if instruction is None else instruction
    path = _annotations(place, task)
    entries = list_of(read_json(path), str(path), "the file")
    if task.endswith("object"):
        topics, pool = _objects(place, path, entries, say)
    elif work is None:
        raise InvalidInput(f"genecis {task} compares crops and needs a folder to write them to: --work FOLDER")
    else:
        topics, pool = _attributes(place, path, entries, say, Path(work) / "genecis-crops-1")
    sizes = sorted({len(topic.candidates or ()) for topic in topics})
    facts = {"instruction": say, "gallery": sizes[0] if len(sizes) == 1 else sizes, "gallery order": "by hash"}
    card = replace(CARD, title=f"GeneCIS {task.replace('_', ' ')}")
    return Task(f"genecis/{task}", "val", topics, pool, MEASURES, card, place, facts=facts)


def crop_box(box: Corners, width: int, height: int) -> Box:
    """The published crop of an instance: (x, y, width, height) in a picture of the given size to pixel corners.

    left = max(0, x - 0.7 w), right = min(width, left + 1.7 w); top and bottom alike.
    """
    x, y, w, h = box
    left, top = max(0.0, x - DILATION * w), max(0.0, y - DILATION * h)
    right, bottom = min(width, left + (1 + DILATION) * w), min(height, top + (1 + DILATION) * h)
    x0, y0 = min(round(left), width - 1), min(round(top), height - 1)
    return x0, y0, min(width, max(round(right), x0 + 1)), min(height, max(round(bottom), y0 + 1))


# -- the two kinds of subset --------------------------------------------------------------------------------------


def _objects(root: Path, path: Path, entries: Sequence[Any], say: str) -> tuple[tuple[Topic, ...], Any]:
    folders = (root / "val2017", root / "coco" / "val2017")
    pictures = next((one for one in folders if one.is_dir()), folders[0])
    pool: dict[str, Document] = {}

    def picture_of(entry: Any, where: str) -> tuple[str, ImageRef]:
        name = _image_id(object_of(entry, where, "an entry"), "val_image_id", where).zfill(12)
        return name, picture(pictures, f"{name}.jpg", where)

    topics = []
    for at, record, where in _records(entries, path):
        named = [picture_of(one, where) for one in _gallery(record, where)]
        pool.update((name, Document(name, image=ref)) for name, ref in named)
        reference = picture_of(record.get("reference"), where)[1]
        topics.append(_topic(at, _condition(record, where), reference, [name for name, _ref in named], say))
    return tuple(topics), tuple(pool[name] for name in sorted(pool))


def _attributes(root: Path, path: Path, entries: Sequence[Any], say: str, work: Path) -> tuple[tuple[Topic, ...], Any]:
    folders = [root / name for name in ("VG_100K_all", "VG_100K", "VG_100K_2", "vg") if (root / name).is_dir()]
    there = {name: one for one in reversed(folders) for name in os.listdir(one)}
    crops: dict[str, Crop] = {}

    def crop_of(entry: Any, where: str) -> Crop:
        record = object_of(entry, where, "an entry")
        image = _image_id(record, "image_id", where)
        source = picture(there.get(f"{image}.jpg", root / "VG_100K_all"), f"{image}.jpg", where)
        box = _box(record.get("instance_bbox"), where)
        name = "-".join([image, *(f"{value:g}" for value in box)])
        return Crop(name, source, box, work / f"{name}.jpg")

    topics = []
    for at, record, where in _records(entries, path):
        named = [crop_of(one, where) for one in _gallery(record, where)]
        crops.update((crop.id, crop) for crop in named)
        reference = crop_of(record.get("reference"), where).ref()
        topics.append(_topic(at, _condition(record, where), reference, [crop.id for crop in named], say))
        if len(crops) + len(topics) > MAX_CROPS:
            raise InvalidInput(f"{path} asks for more than {MAX_CROPS} crops; this is not GeneCIS")
    return tuple(topics), CropPool([crops[name] for name in sorted(crops)])


def _annotations(root: Path, task: str) -> Path:
    names = (root / "genecis" / task, root / "annotations" / task, root / task)
    pickled = next((one.with_suffix(".pkl") for one in names if one.with_suffix(".pkl").is_file()), None)
    if pickled is not None and not any(one.with_suffix(".json").is_file() for one in names):
        raise InvalidInput(
            f"{pickled} is a pickle, which can run code and is not opened; take {task}.json from the current repository"
        )
    return first_of(*(one.with_suffix(".json") for one in names), what=f"GeneCIS's {task}.json")


def _records(entries: Sequence[Any], path: Path) -> Iterator[tuple[int, Mapping[str, Any], str]]:
    for at, entry in enumerate(entries):
        where = f"{path}: entry {at}"
        yield at, object_of(entry, where, "the entry"), where


def _gallery(record: Mapping[str, Any], where: str) -> list[Any]:
    """The target, then the others."""
    return [record.get("target"), *list_of(record.get("gallery"), where, "gallery")]


def _topic(at: int, condition: str, reference: ImageRef, gallery: Sequence[str], say: str) -> Topic:
    """A query and its gallery, whose first is the target."""
    order = sorted(dict.fromkeys(gallery), key=lambda name: hashlib.sha256(f"{at}\n{name}".encode()).digest())
    return Topic(str(at), Query(condition, (reference,), say or None), {gallery[0]: 1}, tuple(order))


def _condition(record: Mapping[str, Any], where: str) -> str:
    condition = text_of(record.get("condition"), where, "condition")
    if condition is None:
        raise RecordError(f"{where}: condition is empty")
    return condition


def _image_id(record: Mapping[str, Any], key: str, where: str) -> str:
    name = id_of(record.get(key), where, key)
    if not name.isalnum():
        raise RecordError(f"{where}: {key} is {name[:60]!r}; it must be a picture's number")
    return name


def _box(value: Any, where: str) -> Corners:
    numbers = list_of(value, where, "instance_bbox")
    if len(numbers) != 4 or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise RecordError(f"{where}: instance_bbox is {str(value)[:80]}; it must be [x, y, width, height] in pixels")
    x, y, w, h = (float(one) for one in numbers)
    if w <= 0 or h <= 0 or max(abs(x), abs(y), w, h) > 1e6:
        raise RecordError(f"{where}: instance_bbox {numbers} has no area, or is no box of pixels")
    return x, y, w, h


def _write(crop: Crop) -> None:
    """Cut, pad to a square with black, write under another name, rename: a crop that is there is whole."""
    image = open_image(crop.source)
    piece = image.crop(crop_box(crop.box, *image.size))
    side = max(piece.size)
    left, top = (side - piece.width) // 2, (side - piece.height) // 2
    square = piece.crop((-left, -top, side - left, side - top))  # outside of a picture is black
    crop.file.parent.mkdir(parents=True, exist_ok=True)
    part = crop.file.with_name(f"{crop.file.name}.{os.getpid()}.part")
    part.write_bytes(encode_jpeg(square, quality=95))
    part.replace(crop.file)

"""Three entries of each kind of subset, as the repository publishes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vretrver.datasets import load_task
from vretrver.datasets.genecis import SUBSETS, crop_box, load
from vretrver.datasets.missing import missing_pictures
from vretrver.errors import InvalidInput, MissingPath, RecordError


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def objects(root: Path, count: int = 3, gallery: int = 4) -> None:
    entries = [
        {
            "reference": {"val_image_id": 900 + n},
            "condition": f"with a dog {n}",
            "target": {"val_image_id": n},
            "gallery": [{"val_image_id": 100 + 10 * n + m} for m in range(gallery)],
        }
        for n in range(count)
    ]
    put(root / "genecis/change_object.json", entries)
    (root / "val2017").mkdir(exist_ok=True)


def attributes(root: Path) -> None:
    """Pictures of 100 x 50; the right half is red."""
    (root / "VG_100K_2").mkdir(parents=True, exist_ok=True)
    for n in range(9):
        picture = Image.new("RGB", (100, 50), "blue")
        picture.paste((255, 0, 0), (50, 0, 100, 50))
        picture.save(root / f"VG_100K_2/{n}.jpg", quality=95)
    entries = [
        {
            "reference": {"image_id": 6 + n, "instance_bbox": [60, 20, 20, 10]},
            "condition": "red",
            "target": {"image_id": n, "instance_bbox": [60, 20, 20, 10]},
            "gallery": [
                {"image_id": 3 + n, "instance_bbox": [0, 0, 40, 40]},
                {"image_id": n, "instance_bbox": [0, 0, 9, 9]},
            ],
        }
        for n in range(3)
    ]
    put(root / "annotations/focus_attribute.json", entries)


def test_whole_pictures(tmp_path: Path) -> None:
    objects(tmp_path)
    task = load_task("genecis", tmp_path, task="change_object")
    first = task.topics[0]
    assert (task.name, len(task.topics), len(task.pool)) == ("genecis/change_object", 3, 15)
    assert (first.query.text, dict(first.relevant)) == ("with a dog 0", {"000000000000": 1})
    assert first.query.images[0].path == str(tmp_path / "val2017/000000000900.jpg")
    assert sorted(first.candidates or ()) == sorted(["000000000000", *(f"{100 + m:012d}" for m in range(4))])
    assert task.facts["gallery"] == 5
    assert task.measures[:3] == ("hit@1", "hit@2", "hit@3")


def test_the_target_s_place_tells_nothing(tmp_path: Path) -> None:
    objects(tmp_path, count=2000, gallery=9)
    task = load(tmp_path, "change_object")
    first = sum((topic.candidates or ("",))[0] in topic.relevant for topic in task.topics)
    assert 140 < first < 260  # 200 of 2000 by chance, standard deviation 13.4
    again = load(tmp_path, "change_object")
    assert [topic.candidates for topic in task.topics] == [topic.candidates for topic in again.topics]
    names = [one.id for one in task.pool]
    assert names == sorted(names)


def test_the_published_box() -> None:
    assert crop_box((60, 20, 20, 10), 100, 50) == (46, 13, 80, 30)  # right = left + 1.7 w is the old right edge
    assert crop_box((0, 0, 40, 40), 100, 50) == (0, 0, 68, 50)  # left was held by the border, so right moves out
    assert crop_box((99.9, 0, 0.1, 50), 100, 50) == (99, 0, 100, 50)  # never empty


def test_crops_are_cut_padded_and_kept(tmp_path: Path) -> None:
    attributes(tmp_path)
    work = tmp_path / "work"
    task = load_task("genecis", tmp_path, task="focus_attribute", work=work)
    crops = {one.id: one.image for one in task.pool}
    assert len(crops) == len(task.pool) == 9  # three galleries of three, no crop in two
    name = "0-60-20-20-10"
    assert dict(task.topics[0].relevant) == {name: 1}
    reference = crops[name]
    assert reference is not None and reference.path is not None
    pixels = np.asarray(Image.open(reference.path)).astype(int)
    assert pixels.shape == (34, 34, 3)  # 34 x 17, padded above and below
    assert pixels[2].max() < 40 and pixels[-3].max() < 40  # black
    assert pixels[17, 1, 2] > 200 and pixels[17, 32, 0] > 200  # blue on the left, red on the right
    before = Path(reference.path).stat().st_mtime_ns
    assert [one.id for one in task.pool] == list(crops)
    assert Path(reference.path).stat().st_mtime_ns == before
    assert not list(work.rglob("*.part"))
    assert missing_pictures(task) == []


def test_a_missing_original_is_the_one_that_is_named(tmp_path: Path) -> None:
    attributes(tmp_path)
    (tmp_path / "VG_100K_2/1.jpg").unlink()
    (tmp_path / "VG_100K_2/7.jpg").unlink()
    task = load(tmp_path, "focus_attribute", work=tmp_path / "work")
    assert missing_pictures(task) == [str(tmp_path / f"VG_100K_all/{n}.jpg") for n in (7, 1)]


def test_attributes_need_a_folder_to_write_to(tmp_path: Path) -> None:
    attributes(tmp_path)
    with pytest.raises(InvalidInput, match="--work FOLDER"):
        load(tmp_path, "focus_attribute")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "genecis").mkdir()
    (tmp_path / "genecis/focus_object.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(InvalidInput, match="is a pickle, which can run code and is not opened"):
        load(tmp_path, "focus_object")
    with pytest.raises(MissingPath, match=r"change_object\.json is not there"):
        load(tmp_path, "change_object")
    with pytest.raises(InvalidInput, match=f"choose from {', '.join(SUBSETS)}"):
        load(tmp_path, "color")


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [0, 0, 5], None, [0, 0, "a", 5], [0, 0, 1e9, 1]])
def test_a_box_that_is_none_is_named(tmp_path: Path, box: Any) -> None:
    attributes(tmp_path)
    path = tmp_path / "annotations/focus_attribute.json"
    entries = json.loads(path.read_text())
    entries[1]["target"]["instance_bbox"] = box
    put(path, entries)
    with pytest.raises(RecordError, match=r"focus_attribute\.json: entry 1: instance_bbox"):
        load(tmp_path, "focus_attribute", work=tmp_path / "work")


def test_an_id_is_no_path(tmp_path: Path) -> None:
    objects(tmp_path, count=1)
    entries = json.loads((tmp_path / "genecis/change_object.json").read_text())
    entries[0]["target"]["val_image_id"] = "../../x"
    put(tmp_path / "genecis/change_object.json", entries)
    with pytest.raises(RecordError, match=r"entry 0: val_image_id is '\.\./\.\./x'; it must be a picture's number"):
        load(tmp_path, "change_object")

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from PIL.Image import Image as PILImage

from conftest import MeanColour
from unprivileged import bound_by_permissions, open_folder
from vretrver.errors import IndexMismatch, InvalidInput, StorageError
from vretrver.indexes import load_index
from vretrver.indexes.manifest import Manifest
from vretrver.ingest import IngestReport, build_index
from vretrver.ocr import Line

Paint = Callable[..., str]


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.deleted


@pytest.fixture
def photos(paint: Paint, tmp_path: Path) -> Path:
    for colour in ("red", "green", "blue"):
        paint(f"photos/{colour}.png", colour)
    return tmp_path / "photos"


def index(photos: Path, embedder: MeanColour, batch: int = 64) -> IngestReport:
    return build_index(photos, photos.resolve().parent / "p.vr", embedder, ocr=False, batch=batch)


def test_what_is_indexed_can_be_read_back(photos: Path, embedder: MeanColour) -> None:
    (photos / "red.txt").write_text("a red card")
    (photos / "blue.json").write_text('{"text": "sea", "year": 2020}')
    assert counts(index(photos, embedder, batch=2)) == (3, 0, 0, 0)
    found = load_index(photos.parent / "p.vr")
    assert found.ids() == ["blue.png", "green.png", "red.png"]
    blue, _green, red = found.documents([0, 1, 2])
    assert (red.text, red.image and red.image.path) == ("a red card", str(photos / "red.png"))
    assert blue.metadata == {"year": 2020}
    assert found.thumbnails(["red.png"])["red.png"][:2] == b"\xff\xd8"


def test_running_again_opens_only_what_changed(photos: Path, embedder: MeanColour, paint: Paint) -> None:
    index(photos, embedder)
    embedder.opened = 0
    assert counts(index(photos, embedder)) == (0, 0, 3, 0)
    assert embedder.opened == 0
    os.utime(photos / "red.png")  # another date, the same content
    assert counts(index(photos, embedder)) == (0, 0, 3, 0)
    assert embedder.opened == 0
    paint("photos/red.png", "yellow")
    (photos / "blue.txt").write_text("now with a caption")
    (photos / "green.png").rename(photos / "moved.png")
    assert counts(index(photos, embedder)) == (1, 2, 0, 1)
    assert embedder.opened == 3
    found = load_index(photos.parent / "p.vr")
    assert found.ids() == ["blue.png", "moved.png", "red.png"]
    assert found.snapshot.vectors[2, 1] == pytest.approx(found.snapshot.vectors[2, 0]), "red.png is yellow now"


def test_nothing_is_lost_for_a_folder_or_a_caption_that_cannot_be_read(embedder: MeanColour) -> None:
    with open_folder() as place:
        photos = place / "photos"
        for name in ("a.png", "sub/b.png", "sub/c.png", "d.png", "e.png"):
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), "red").save(photos / name)
        (photos / "a.txt").write_text("a red card")
        assert counts(index(photos, embedder)) == (5, 0, 0, 0)
        (photos / "d.png").unlink()
        (photos / "sub").chmod(0)
        (photos / "a.txt").chmod(0)
        with bound_by_permissions(place):
            report = index(photos, embedder)
        found = load_index(place / "p.vr")
        assert found.ids() == ["a.png", "e.png", "sub/b.png", "sub/c.png"], "the unseen stays; what is gone goes"
        assert found.documents([0])[0].text == "a red card"
        assert counts(report) == (0, 0, 1, 1) and report.unseen == ["a.png", "sub"]
        assert dict(report.skipped)["sub"] == "cannot be listed (Permission denied); what is indexed of it stays"
        assert "its caption cannot be read" in dict(report.skipped)["a.png"]
        (photos / "sub").chmod(0o755)
        (photos / "a.txt").chmod(0o644)
        assert counts(index(photos, embedder)) == (0, 0, 4, 0)
        photos.chmod(0)
        refused = pytest.raises(InvalidInput, match=r"cannot list .* \(Permission denied\); nothing is changed")
        with bound_by_permissions(place), refused:
            index(photos, embedder)
        photos.chmod(0o755)


def test_words_read_stay_when_only_the_caption_changes(photos: Path, embedder: MeanColour, paint: Paint) -> None:
    index(photos, embedder)
    store = load_index(photos.parent / "p.vr")
    with store.writing():
        store.set_printed({"red.png": "SALE", "blue.png": "SEA"})
    (photos / "red.txt").write_text("new caption")
    paint("photos/blue.png", "navy")
    index(photos, embedder)
    printed = load_index(photos.parent / "p.vr").printed(["red.png", "blue.png"])
    assert printed == {"red.png": "SALE", "blue.png": None}


def test_bad_pictures_are_skipped_and_named(photos: Path, embedder: MeanColour) -> None:
    (photos / "fake.jpg").write_bytes(b"this is no picture")
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    noise.save(photos / "cut.jpg")
    (photos / "cut.jpg").write_bytes((photos / "cut.jpg").read_bytes()[:2000])
    report = index(photos, embedder)
    assert counts(report) == (3, 0, 0, 0)
    assert sorted(path for path, _ in report.skipped) == ["cut.jpg", "fake.jpg"]
    assert "2 skipped" in report.summary()
    assert report.to_json()["added"] == 3


def test_a_picture_that_only_the_embedder_cannot_open(photos: Path) -> None:
    class Picky(MeanColour):
        def encode(self, items):  # type: ignore[no-untyped-def]
            if any("green" in item.id for item in items):
                from vretrver.errors import ImageError

                raise ImageError("cannot read image green.png: too green")
            return super().encode(items)

    report = index(photos, Picky())
    assert counts(report) == (2, 0, 0, 0)
    assert report.skipped == [("green.png", "cannot read image green.png: too green")]


def test_another_embedder_or_version_is_refused(photos: Path, embedder: MeanColour) -> None:
    index(photos, embedder)
    with pytest.raises(IndexMismatch, match=r"was built with embedder mean-colour .*another index with -o"):
        index(photos, MeanColour("mean-colour-2"))
    with pytest.raises(IndexMismatch, match="built with embedder 'mean-colour', not 'lite'"):
        build_index(photos, photos.parent / "p.vr", "lite", ocr=False)
    manifest = photos.parent / "p.vr" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(IndexMismatch, match="index format 7"):
        index(photos, embedder)


def test_where_nothing_can_be_written(photos: Path, embedder: MeanColour) -> None:
    (photos.parent / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write to .*; choose another folder with -o"):
        build_index(photos, photos.parent / "file" / "p.vr", embedder)
    with pytest.raises(StorageError, match="not empty and no index"):
        build_index(photos, photos, embedder)


def test_a_disk_that_takes_no_more(photos: Path, embedder: MeanColour) -> None:
    """A limit on files' sizes stands in for a full disk: the system refuses the write in the same way."""
    resource = pytest.importorskip("resource")
    index(photos, embedder)
    for number in range(8):
        Image.effect_noise((256, 256), 90).save(photos / f"noise{number}.png")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write to .*p.vr: .*what was acknowledged is kept"):
            index(photos, embedder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(load_index(photos.parent / "p.vr")) == 3
    assert counts(index(photos, embedder)) == (8, 0, 3, 0)


def test_one_writer_at_a_time(photos: Path, embedder: MeanColour) -> None:
    index(photos, embedder)
    store = load_index(photos.parent / "p.vr")
    with store.writing(), pytest.raises(StorageError, match="another process is writing"):
        index(photos, embedder)


def test_two_sources_share_an_index_unless_their_ids_meet(photos: Path, embedder: MeanColour, paint: Paint) -> None:
    index(photos, embedder)
    more = Path(paint("more/pink.png", "pink")).parent
    assert counts(build_index(more, photos.parent / "p.vr", embedder, ocr=False)) == (1, 0, 0, 0)
    assert counts(index(photos, embedder)) == (0, 0, 3, 0)
    paint("more/red.png", "red")
    with pytest.raises(InvalidInput, match=r"id 'red.png' is in .* already, from .*photos"):
        build_index(more, photos.parent / "p.vr", embedder, ocr=False)


def test_a_tree_that_moved_is_known_again(photos: Path, embedder: MeanColour) -> None:
    index(photos, embedder)
    tree = photos.parent.rename(photos.parent.with_name("elsewhere"))
    red = load_index(tree / "p.vr").documents([2])[0]
    assert red.image is not None
    assert red.image.path == str(tree / "photos" / "red.png")
    assert counts(index(tree / "photos", embedder)) == (0, 0, 3, 0)
    assert counts(index(tree / "photos" / ".." / "photos", embedder)) == (0, 0, 3, 0)
    assert len(load_index(tree / "p.vr").manifest.sources) == 1


def test_reading_stopped_in_the_middle_goes_on_where_it_was(paint: Paint, tmp_path: Path, embedder: MeanColour) -> None:
    class Reads:
        def __init__(self, patience: int) -> None:
            self.left = patience

        def read(self, picture: PILImage) -> list[Line]:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return [Line("SALE", (0, 0, 1, 1), 0.9)]

    for number in range(20):
        paint(f"photos/{number:02}.png")
    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path / "photos", tmp_path / "p.vr", embedder, ocr=Reads(18))
    assert len(load_index(tmp_path / "p.vr")) == 20, "vectors were acknowledged before any word was read"
    assert len(load_index(tmp_path / "p.vr").unread()) == 4, "a batch of 16 was"
    report = build_index(tmp_path / "photos", tmp_path / "p.vr", embedder, ocr=Reads(99))
    assert (report.unchanged, report.read) == (20, 4)
    assert load_index(tmp_path / "p.vr").unread() == []


KILLED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests in the background ignores it
sys.path.insert(0, {tests!r})
from conftest import MeanColour
from unprivileged import bound_by_permissions, open_folder
from vretrver.ingest import build_index

class Slow(MeanColour):
    def encode(self, items):
        time.sleep(0.2)
        return super().encode(items)

build_index({photos!r}, {index!r}, Slow(), ocr=False, batch=2)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_was_acknowledged_survives_a_kill(
    paint: Paint, tmp_path: Path, embedder: MeanColour, how: signal.Signals
) -> None:
    for number in range(40):
        paint(f"photos/{number:02}.png")
    photos, place = tmp_path / "photos", tmp_path / "p.vr"
    script = KILLED.format(tests=str(Path(__file__).parent), photos=str(photos), index=str(place))
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not ((place / "manifest.json").exists() and Manifest.read(place).version >= 4):
        assert time.monotonic() < deadline, "the child never got going"
        assert child.poll() is None, "the child ended too soon"
        time.sleep(0.01)
    child.send_signal(how)
    assert child.wait(10) != 0
    kept = len(load_index(place))
    assert 0 < kept < 40
    report = build_index(photos, place, embedder, ocr=False)
    assert counts(report) == (40 - kept, 0, kept, 0)
    assert len(load_index(place)) == 40


def test_a_reader_that_remembers_nothing_yet_is_used_all_the_same(
    photos: Path, embedder: MeanColour, tmp_path: Path
) -> None:
    class Empty:
        def __init__(self) -> None:
            self.asked = 0

        def __len__(self) -> int:
            return 0

        def read(self, picture: PILImage) -> list[Line]:
            self.asked += 1
            return []

    reader = Empty()
    build_index(photos, tmp_path / "read.vr", embedder, ocr=reader)
    assert reader.asked > 0

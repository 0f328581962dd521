"""An index that follows a folder, and readers that never see half a change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.Image import Image as PILImage

from conftest import MeanColour
from unprivileged import bound_by_permissions, open_folder
from vretrver.cli import main
from vretrver.errors import IndexMismatch, InvalidInput, MissingPath
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import Manifest
from vretrver.ingest import build_index
from vretrver.ocr import Line
from vretrver.retriever import Retriever
from vretrver.types import Query
from vretrver.watching import Note, _pictures, _Unlisted, watch
from vretrver.watching.noticing import matters

pytest.importorskip("watchfiles")

Paint = Callable[..., str]


class Watching:
    """A watch in a thread of its own, and what it told."""

    def __init__(self, folder: Path, destination: Path, **options: Any) -> None:
        self.notes: list[Note] = []
        self.destination = destination
        self._stop, self._fault = threading.Event(), None
        options = {"embedder": MeanColour(), "ocr": False, **options}

        def run() -> None:
            try:
                watch(folder, destination, **options, tell=self.notes.append, stop=self._stop)
            except Exception as fault:
                self._fault = fault

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not done():
            assert self._fault is None, self._fault
            assert time.monotonic() < end, self.notes
            time.sleep(0.02)

    def told(self, kind: str, count: int = 1) -> Note:
        """The note of that kind that came as number `count`."""
        self.until(lambda: len([note for note in self.notes if note.kind == kind]) >= count)
        return [note for note in self.notes if note.kind == kind][count - 1]

    def ids(self) -> list[str]:
        return LanceIndex.open(self.destination).ids()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert self._fault is None, self._fault


@pytest.fixture
def photos(paint: Paint, tmp_path: Path) -> Path:
    for colour in ("red", "green"):
        paint(f"photos/{colour}.png", colour)
    return tmp_path / "photos"


@pytest.fixture
def start(photos: Path, tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    begun: list[Watching] = []

    def begin(**options: Any) -> Watching:
        begun.append(Watching(photos, tmp_path / "p.vr", **options))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


@pytest.mark.parametrize("poll", [None, 0.1])
def test_what_happens_in_the_folder_happens_in_the_index(
    start: Callable[..., Watching], photos: Path, paint: Paint, poll: float | None
) -> None:
    watching = start(poll=poll)
    assert watching.told("watching").text.startswith(f"watching {photos.resolve()}: 2 added, 0 as before")
    for name in ("blue", "black", "white"):
        paint(f"photos/new/{name}.png", name)
    watching.until(lambda: len(watching.ids()) == 5)
    (photos / "red.png").rename(photos / "rot.png")
    watching.until(lambda: "rot.png" in watching.ids())
    (photos / "rot.png").unlink()
    watching.until(lambda: watching.ids() == ["green.png", "new/black.png", "new/blue.png", "new/white.png"])
    (photos / "green.txt").write_text("a leaf")
    watching.until(lambda: LanceIndex.open(watching.destination).documents([0])[0].text == "a leaf")
    watching.end()  # the last note is told after the last batch
    reports = [note.report for note in watching.notes if note.kind == "changed" and note.report]
    assert sum(report.added for report in reports) == 4
    assert sum(report.deleted for report in reports) == 2
    assert sum(report.updated for report in reports) == 1


def test_a_burst_is_one_batch(start: Callable[..., Watching], photos: Path, paint: Paint) -> None:
    watching = start()
    watching.told("watching")
    made = [Path(paint(f"{number}.png")) for number in range(10)]
    (photos / "red.png").unlink()
    for path in made:
        path.rename(photos / path.name)
    note = watching.told("changed")
    assert note.text.startswith("10 added, 1 deleted in ")
    assert note.to_json()["event"] == "changed" and note.to_json()["added"] == 10


@pytest.mark.parametrize("poll", [None, 0.1])
def test_a_file_that_cannot_be_read_is_named_once_and_tried_again(
    start: Callable[..., Watching], photos: Path, paint: Paint, poll: float | None
) -> None:
    whole = Path(paint("whole.jpg", "blue", (400, 300))).read_bytes()
    watching = start(poll=poll)
    watching.told("watching")
    (photos / "late.jpg").write_bytes(whole[: len(whole) // 2])
    assert "\nskipped late.jpg: " in watching.told("changed").text
    paint("photos/other.png")
    assert watching.told("changed", 2).text.startswith("1 added in ")
    assert "late.jpg" not in watching.told("changed", 2).text
    with open(photos / "late.jpg", "ab") as file:
        file.write(whole[len(whole) // 2 :])
    watching.told("changed", 3)
    assert "late.jpg" in watching.ids()


def test_a_folder_that_is_gone_or_empty_deletes_nothing(start: Callable[..., Watching], photos: Path) -> None:
    watching = start()
    watching.told("watching")
    away = photos.rename(photos.with_name("away"))
    assert "is gone; nothing is deleted" in watching.told("kept").text
    photos.mkdir()
    assert "no pictures in" in watching.told("kept", 2).text
    assert watching.ids() == ["green.png", "red.png"]
    photos.rmdir()
    (away / "red.png").unlink()
    away.rename(photos)
    assert watching.told("changed").text.startswith("1 deleted in ")
    assert watching.ids() == ["green.png"]


def test_another_writer_is_waited_for(start: Callable[..., Watching], photos: Path, paint: Paint) -> None:
    watching = start()
    watching.told("watching")
    with LanceIndex.open(watching.destination).writing():
        paint("photos/blue.png", "blue")
        assert "another process is writing" in watching.told("waiting").text
        time.sleep(0.8)
        assert len([note for note in watching.notes if note.kind == "waiting"]) == 1, "told once"
    assert watching.told("changed").text.startswith("1 added in ")


def test_captions_of_a_listing_are_followed(start: Callable[..., Watching], tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("path,text\nred.png,brick\n")
    watching = start(listing=tmp_path / "captions.csv")
    watching.told("watching")
    (tmp_path / "captions.csv").write_text("path,text\nred.png,a fire engine\n")
    assert watching.told("changed").text.startswith("1 updated in ")
    assert LanceIndex.open(watching.destination).documents([1])[0].text == "a fire engine"


def test_words_are_read_after_what_is_new(start: Callable[..., Watching], photos: Path, paint: Paint) -> None:
    class Slow:
        def read(self, picture: PILImage) -> list[Line]:
            if len(seen) == 2:
                paint("photos/zebra.png", "white")
            seen.append(picture)
            time.sleep(0.25 if 2 < len(seen) <= 8 else 0)
            return []

    seen: list[PILImage] = []
    for number in range(14):
        paint(f"photos/{number}.png")
    watching = start(ocr=Slow())
    watching.told("read", 2)
    assert [note.kind for note in watching.notes] == ["watching", "read", "changed", "read"]
    first, second = watching.told("read").report, watching.told("read", 2).report
    assert first and second and (first.read, second.read) == (8, 9)
    assert LanceIndex.open(watching.destination).unread() == []


def test_what_is_refused_at_the_start(photos: Path, tmp_path: Path, embedder: MeanColour) -> None:
    with pytest.raises(MissingPath, match="no such folder"):
        watch(tmp_path / "nowhere", tmp_path / "p.vr", embedder)
    with pytest.raises(InvalidInput, match=r"poll is 0; choose 0\.05"):
        watch(photos, tmp_path / "p.vr", embedder, poll=0)
    build_index(photos, tmp_path / "p.vr", embedder, ocr=False)
    with pytest.raises(IndexMismatch, match="built with embedder mean-colour"):
        watch(photos, tmp_path / "p.vr", MeanColour("mean-colour-2"), ocr=False)


@pytest.mark.parametrize(
    ("path", "counts"),
    [("", True), ("a.png", True), ("b/2020.01", True), (".a.png", False), ("b/.git/x", False), ("x.vr/cache/1", False)],
)
def test_which_changes_matter(path: str, counts: bool) -> None:
    assert matters(Path("/photos", path), Path("/photos"), Path("/elsewhere")) is counts


def test_the_index_inside_the_folder_does_not_wake_its_own_writer() -> None:
    index = Path("/photos/index")
    assert not matters(index / "write.lock", Path("/photos"), index)
    assert not matters(index, Path("/photos"), index)
    assert matters(Path("/photos/index.png"), Path("/photos"), index)


def test_a_folder_that_cannot_be_listed_is_not_empty(photos: Path, tmp_path: Path) -> None:
    assert _pictures(photos)
    (tmp_path / "none").mkdir()
    assert not _pictures(tmp_path / "none")
    with pytest.raises(_Unlisted, match="cannot be listed"):
        _pictures(tmp_path / "nowhere")


def test_a_folder_in_it_that_cannot_be_listed_keeps_what_it_had(embedder: MeanColour) -> None:
    with open_folder() as place:
        photos = place / "photos"
        for name in ("a.png", "sub/b.png"):
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), "red").save(photos / name)
        build_index(photos, place / "p.vr", embedder, ocr=False)
        (photos / "a.png").unlink()
        Image.new("RGB", (40, 30), "blue").save(photos / "c.png")
        (photos / "sub").chmod(0)
        with bound_by_permissions(place):
            watching = Watching(photos, place / "p.vr")
            try:
                report = watching.told("watching").report
            finally:
                watching.end()
        assert report is not None and (report.added, report.deleted, report.unseen) == (1, 1, ["sub"])
        (photos / "sub").chmod(0o755)
        assert LanceIndex.open(place / "p.vr").ids() == ["c.png", "sub/b.png"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_gently(photos: Path, tmp_path: Path, paint: Paint, end: signal.Signals) -> None:
    command = [sys.executable, "-m", "vretrver.cli", "watch", str(photos), "-o", str(tmp_path / "p.vr")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--no-ocr", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first = json.loads(process.stdout.readline())
        assert (first["event"], first["added"]) == ("watching", 2)
        paint("photos/blue.png", "blue")
        second = json.loads(process.stdout.readline())
        assert (second["event"], second["added"]) == ("changed", 1)
        process.send_signal(end)
        assert process.wait(15) == 0
        assert process.stderr.read() == ""
    assert len(LanceIndex.open(tmp_path / "p.vr").ids()) == 3


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path / "nowhere"), "-o", str(tmp_path / "p.vr")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_readers_see_acknowledged_versions_only(photos: Path, tmp_path: Path, paint: Paint) -> None:
    """Two readers search all the while a writer adds 30 files and deletes them; all they see is told beforehand."""
    where, model = tmp_path / "p.vr", MeanColour()
    build_index(photos, where, model, ocr=False)
    base = {"green.png", "red.png"}
    acknowledged = {Manifest.read(where).version: frozenset(base)}
    seen: list[tuple[int, frozenset[str], frozenset[str]]] = []
    faults: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        try:
            embedder = MeanColour()
            while not over.is_set():
                retriever = Retriever.open(where, embedder)
                retriever.reader = None
                index = retriever.index
                assert isinstance(index, LanceIndex)
                answer = retriever.retrieve(Query("red"), k=100)
                found = frozenset(candidate.document.id for candidate in answer)
                seen.append((index.manifest.version, frozenset(index.ids()), found))
        except BaseException as fault:
            faults.append(fault)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        names = sorted(f"n{number:02}.png" for number in range(30))
        for name in names:
            paint(f"photos/{name}", "blue")

        def added(_what: str, done: int, _total: int) -> None:
            acknowledged[Manifest.read(where).version] = frozenset({*base, *names[:done]})

        build_index(photos, where, model, ocr=False, progress=added, batch=3)
        acknowledged[Manifest.read(where).version] = frozenset({*base, *names})
        while names:
            for name in names[:5]:
                (photos / name).unlink()
            names = names[5:]
            now = frozenset({*base, *names})

            def deleted(_what: str, _done: int, _total: int, now: frozenset[str] = now) -> None:
                acknowledged[Manifest.read(where).version] = now

            build_index(photos, where, model, ocr=False, progress=deleted)
            acknowledged[Manifest.read(where).version] = now
    finally:
        over.set()
        for reader in readers:
            reader.join(20)
    assert faults == []
    assert len({version for version, _ids, _found in seen}) >= 5, "the readers read while it was written"
    for version, ids, found in seen:
        assert ids == acknowledged[version], f"version {version}"
        assert found == ids

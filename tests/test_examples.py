"""The examples run as a reader would run them; the demo runs as a small twin on pictures made here, without npm."""

from __future__ import annotations

import io
import json
import tarfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from vretrver.policies.scripted import ScriptedPolicy
from vretrver.viewer import read_traces

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPT = [
    "<think>I look closer at the first.</think>"
    '<tool_call>{"name": "crop_image", "arguments": {"bbox_2d": [0.1, 0.1, 0.4, 0.4], "target_image": 1}}</tool_call>',
    "<think>It is the second.</think><answer>[2, 1]</answer>",
]


@pytest.fixture(autouse=True)
def from_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def made_photos(folder: Path, count: int = 4) -> list[Any]:
    photo = import_module("demo_photos").Photo
    folder.mkdir(parents=True)
    photos = []
    for name in ("red", "green", "blue", "orange")[:count]:
        picture = Image.new("RGB", (90, 60), "white")
        ImageDraw.Draw(picture).ellipse((20, 10, 70, 50), fill=name)
        picture.save(folder / f"{name}.png")
        photos.append(photo(name, folder / f"{name}.png", f"A {name} ball", {"kind": "photo"}))
    return photos


def test_the_demo_in_small(tmp_path: Path) -> None:
    demo, asking = import_module("demo"), import_module("demo_asks")
    photos = made_photos(tmp_path / "photos")
    shelves, asks = asking.mixed_shelves(photos, tmp_path / "photos", (300, 200), each=2)
    pictures = asking._bare(photos, ["red", "green"])
    right = frozenset({"shelf-1"})
    asks = [
        asking.Ask("indexed", "a shelf", "Of two.", right, where={"kind": "shelf"}),
        asking.Ask("part", None, "Of two.", right, photos[0].path, {"kind": "shelf"}, series="shelf"),
        asking.Ask("bare", "red", "Of two.", frozenset({"red"}), among=pictures),
    ]
    said: list[str] = []
    for _ in range(2):
        page = demo.ask_all(tmp_path, [*photos, *shelves], asks, policy=ScriptedPolicy(SCRIPT), say=said.append)
    indexing = [line.split(",")[0] for line in said if line.startswith("index: ")]
    assert indexing == ["index: 6 new", "index: 0 new"]
    html = page.read_text("utf-8")
    for ask in asks:
        assert f'href="traces/{ask.name}.html"' in html
        assert (tmp_path / "traces" / f"{ask.name}.html").is_file()
        (ranking,) = read_traces(tmp_path / "traces" / f"{ask.name}.jsonl")
        assert ranking.usage.tool_calls == 1
        assert [result.candidate.rank for result in ranking.results] == [2, 1]


def test_each_thing_stands_on_one_shelf(tmp_path: Path) -> None:
    asking = import_module("demo_asks")
    shelves, asks = asking.mixed_shelves(made_photos(tmp_path / "photos"), tmp_path, (300, 200), each=2)
    assert [shelf.id for shelf in shelves] == ["shelf-1", "shelf-2"]
    assert len({shelf.path.read_bytes() for shelf in shelves}) == 2
    assert [ask.name for ask in asks] == ["shelf-blue", "shelf-green", "shelf-orange", "shelf-red"]
    assert sorted(next(iter(ask.right)) for ask in asks) == ["shelf-1", "shelf-1", "shelf-2", "shelf-2"]


def test_without_the_products_nothing_is_asked_about_them(tmp_path: Path) -> None:
    _shelves, asks = import_module("demo_asks").shelves_and_asks(made_photos(tmp_path / "p"), tmp_path, (300, 200))
    assert {ask.name.split("-")[0] for ask in asks} <= {"shelf", "nothing"}


def test_a_story_claims_what_was_measured() -> None:
    from test_viewer import looked

    told = import_module("demo_page").Told
    ranking = looked(["a.png", "b.png", "c.png"])  # the second was put first

    def outcome(*right: str) -> tuple[str, str]:
        story = told("q", "", frozenset(right), ranking, "t.html")
        return story.outcome, story.sentence

    assert outcome("id-1") == ("better", "Looking brought the right picture from place 2 to place 1.")
    assert outcome("id-0") == ("worse", "Looking pushed the right picture from place 1 to place 2.")
    assert outcome("id-2")[0] == "same"
    assert outcome("elsewhere") == ("same", "The right picture was not among the candidates, so no look could find it.")
    assert outcome()[0] == "nothing"


def test_an_archive_chooses_no_path(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("package/assets/images/a.jpg", "../../escape.jpg", "/etc/absolute.jpg", "package/run.js"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("package/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    members = import_module("demo_photos")._members(buffer.getvalue())
    assert set(members) == {"a.jpg", "escape.jpg", "absolute.jpg"}


def test_another_tarball_is_refused(tmp_path: Path) -> None:
    photos = import_module("demo_photos")
    (tmp_path / "vendure-create-3.7.3.tgz").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="not the pinned"):
        photos.product_photos(tmp_path / "photos", tmp_path)
    assert list(tmp_path.glob("*.tgz")) == []


def test_a_listing_names_every_photo(tmp_path: Path) -> None:
    photos = made_photos(tmp_path / "photos")
    listing = import_module("demo_photos").write_listing(photos, tmp_path / "photos" / "photos.jsonl")
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    assert lines[0] == {"id": "red", "path": "red.png", "text": "A red ball", "kind": "photo"}
    assert len(lines) == 4


def test_rerank_products_finds_the_carton(capsys: pytest.CaptureFixture[str]) -> None:
    import_module("rerank_products").main()
    assert capsys.readouterr().out.splitlines()[0].endswith("milk-1.5")


def test_search_folder_finds_the_kite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = import_module("search_folder")
    example.main(example.made_pictures(tmp_path), "a red kite")
    out = capsys.readouterr().out
    assert "4 pictures indexed, 0 skipped" in out
    assert "red kite.png" in out.splitlines()[1]
    assert (tmp_path / "run.html").is_file()

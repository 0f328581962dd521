from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.listing import MAX_CAPTION, Entry, Listing, read_source
from vretrver.listing.folder import read_folder

Paint = Callable[..., str]


def ids(listing: Listing) -> list[str]:
    return [entry.id for entry in listing.entries]


def entry(listing: Listing, name: str) -> Entry:
    return next(entry for entry in listing.entries if entry.id == name)


@pytest.fixture
def photos(paint: Paint, tmp_path: Path) -> Path:
    for name in ("b.png", "a/c.JPG", "a/d.png", ".hidden/e.png", ".f.png", "old.vr/g.png"):
        paint(f"photos/{name}")
    (tmp_path / "photos" / "notes.md").write_text("no picture")
    return tmp_path / "photos"


def test_a_folder_in_order_without_what_is_hidden(photos: Path) -> None:
    listing = read_source(photos)
    assert sorted(ids(listing)) == ["a/c.JPG", "a/d.png", "b.png"]
    assert ids(listing) == ids(read_source(str(photos)))
    assert entry(listing, "a/d.png").file == photos / "a" / "d.png"


def test_captions_beside_pictures(photos: Path) -> None:
    (photos / "b.txt").write_text("  a red card \n")
    (photos / "a" / "c.JPG.txt").write_text("named in full")
    (photos / "a" / "d.json").write_text('{"caption": "blue", "year": 2020, "shop": {"city": "Lund"}, "none": null}')
    listing = read_source(photos)
    assert entry(listing, "b.png").text == "a red card"
    assert entry(listing, "a/c.JPG").text == "named in full"
    assert entry(listing, "a/d.png").text == "blue"
    assert entry(listing, "a/d.png").metadata == {"year": 2020, "shop": {"city": "Lund"}}


def test_bad_captions_are_used_as_far_as_they_go_and_named(photos: Path) -> None:
    (photos / "b.txt").write_bytes(b"caf\xe9 au lait")
    (photos / "a" / "c.txt").write_text("word " * MAX_CAPTION)
    (photos / "a" / "d.json").write_text("[1, 2")
    listing = read_source(photos)
    assert entry(listing, "b.png").text == "caf\ufffd au lait"
    assert len(entry(listing, "a/c.JPG").text or "") == MAX_CAPTION
    assert entry(listing, "a/d.png").text is None
    assert [warning.split(":")[0] for warning in listing.warnings] == ["b.txt", "c.txt", "d.json"]


def test_a_link_out_of_the_folder_is_not_followed(photos: Path, paint: Paint) -> None:
    (photos / "in.png").symlink_to(photos / "b.png")
    (photos / "out.png").symlink_to(paint("secret/x.png"))
    (photos / "elsewhere").symlink_to(photos.parent / "secret")
    listing = read_source(photos)
    assert "in.png" in ids(listing)
    assert listing.skipped == [("out.png", "a link out of the folder")]
    assert not any(name.startswith("elsewhere") for name in ids(listing))


def deep(root: Path) -> Path:
    """A folder whose path is longer than the system takes: nobody, root included, can list it by its name."""
    below, here = root, os.open(root, os.O_RDONLY)
    while len(str(below)) < os.pathconf(root, "PC_PATH_MAX"):
        os.mkdir("d" * 200, dir_fd=here)
        into = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        below, here = below / ("d" * 200), into
    os.close(here)
    return below


def test_a_folder_that_cannot_be_listed_is_named_and_not_taken_for_empty(photos: Path) -> None:
    below = deep(photos / "a").relative_to(photos).as_posix()
    listing = read_source(photos)
    assert sorted(ids(listing)) == ["a/c.JPG", "a/d.png", "b.png"]
    assert listing.unseen == {below}
    assert listing.skipped == [(below, "cannot be listed (File name too long); what is indexed of it stays")]
    assert listing.may_hold(f"{below}/x.png") and listing.may_hold(below)
    assert not listing.may_hold(f"{below}-2/x.png") and not listing.may_hold("a/gone.png")
    with pytest.raises(InvalidInput, match=r"cannot list .* \(File name too long\)"):
        read_folder(photos / below)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_a_name_that_is_no_text_is_skipped_and_can_be_printed(photos: Path) -> None:
    (photos / "b.png").rename(photos / os.fsdecode(b"b\xff.png"))
    (where, reason), *rest = read_source(photos).skipped
    assert (where, reason, rest) == ("b?.png", "the name is not UTF-8", [])


def test_a_listing_of_the_folder_adds_captions(photos: Path, tmp_path: Path) -> None:
    (photos / "b.txt").write_text("from the sidecar")
    (tmp_path / "more.csv").write_text(
        "path,caption,year\nb.png,from the listing,2020\na/c.JPG,second,\ngone.png,x,1\n"
    )
    listing = read_source(photos, tmp_path / "more.csv")
    assert (entry(listing, "b.png").text, entry(listing, "b.png").metadata) == ("from the listing", {"year": "2020"})
    assert entry(listing, "a/c.JPG").text == "second"
    assert entry(listing, "a/d.png").text is None
    assert [where for where, _ in listing.skipped] == ["more.csv:4"]


def write(path: Path, records: list[dict[str, object]]) -> Path:
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
        case ".csv":
            lines = [";".join(records[0]), *(";".join(str(value) for value in record.values()) for record in records)]
            path.write_text("\n".join(lines))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(records), path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_every_kind_of_listing(photos: Path, kind: str) -> None:
    records: list[dict[str, object]] = [
        {"id": "one", "image": "b.png", "text": "red, plain", "shop": "ica"},
        {"id": "two", "image": "a/d.png", "text": "blue", "shop": "coop"},
    ]
    listing = read_source(write(photos / f"listing.{kind}", records))
    assert ids(listing) == ["one", "two"]
    assert entry(listing, "one") == Entry("one", "red, plain", "b.png", photos / "b.png", {"shop": "ica"})


def test_what_a_listing_may_not_say(photos: Path, paint: Paint) -> None:
    paint("secret/x.png")
    lines = ['{"path": "../secret/x.png"}', "not json", '{"path": "gone.png"}', '{"note": "nothing"}', '{"path": 3}',
             '{"id": "t", "text": "only text"}', "[" * 5000, '{"path": "b.png", "text": "ok"}']  # fmt: skip
    (photos / "l.jsonl").write_text("\n".join(lines))
    listing = read_source(photos / "l.jsonl")
    assert ids(listing) == ["t", "b.png"]
    reasons = dict(listing.skipped)
    assert "outside" in reasons["l.jsonl:1"]
    assert "not a JSON object" in reasons["l.jsonl:2"]
    assert "no such image" in reasons["l.jsonl:3"]
    assert "no id" in reasons["l.jsonl:4"]
    assert "not a text" in reasons["l.jsonl:5"]
    assert "not a JSON object" in reasons["l.jsonl:7"]
    assert "../secret/x.png" in ids(read_source(photos / "l.jsonl", outside=True))


def test_a_candidate_pool_finds_its_pictures_above_itself(paint: Paint, tmp_path: Path) -> None:
    paint("data/mbeir_images/x/1.png")
    pool = tmp_path / "data" / "cand_pool" / "local" / "pool.jsonl"
    pool.parent.mkdir(parents=True)
    write(
        pool,
        [
            {"did": "9:1", "txt": None, "img_path": "mbeir_images/x/1.png", "modality": "image", "src_content": None},
            {"did": "9:2", "txt": "Words.", "img_path": None, "modality": "text", "src_content": None},
        ],
    )
    listing = read_source(pool)
    assert listing.root == tmp_path / "data"
    assert entry(listing, "9:1").path == "mbeir_images/x/1.png"
    assert entry(listing, "9:2").text == "Words."
    assert entry(listing, "9:2").metadata == {"modality": "text"}


def test_sources_that_are_none(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"no pictures in .*empty.*nothing to index"):
        read_source(tmp_path / "empty")
    with pytest.raises(MissingPath, match="no such folder or listing"):
        read_source(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="neither a folder nor a listing"):
        read_source(photos / "notes.md")
    with pytest.raises(RecordError, match=r"more than once, such as \['b.png'\]"):
        read_source(write(photos / "twice.jsonl", [{"path": "b.png"}, {"path": "b.png"}]))
    (photos / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(RecordError, match="parquet"):
        read_source(photos / "bad.parquet")
    (photos / "empty.csv").write_text("")
    with pytest.raises(InvalidInput, match="empty"):
        read_source(photos / "empty.csv")

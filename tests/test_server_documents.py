"""Collections that change while they are served: documents over HTTP, and other writers' versions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from conftest import MeanColour
from served import COLOURS, Served, agent, cards, data_url, png
from vretrver.indexes import load_index
from vretrver.ingest import build_index
from vretrver.server import Settings, app


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return cards(tmp_path)


@pytest.fixture
def server(index: Path) -> Iterator[Served]:
    with Served(app(index, Settings(policy=agent()), embedder=MeanColour())) as running:
        yield running


def ids(server: Served, text: str = "card", **body: Any) -> list[str]:
    answer = server.post("/v1/search", {"text": text, "k": 50, "policy": False} | body)
    assert answer.status_code == 200, answer.text
    return [result["id"] for result in answer.json()["results"]]


def add(server: Served, *documents: dict[str, Any]) -> dict[str, Any]:
    answer = server.post("/v1/documents", {"documents": list(documents)})
    assert answer.status_code == 200, answer.text
    added: dict[str, Any] = answer.json()
    return added


def error(answer: Any, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    said: dict[str, str] = answer.json()["error"]
    return said


def test_what_is_added_is_found_at_once_and_on_disk(server: Served, index: Path) -> None:
    pink = {"id": "shop/pink 1", "text": "a pink kite", "image": data_url(png("pink")), "metadata": {"price": 3}}
    assert add(server, pink, {"id": "words", "text": "only words"}) == {
        "ids": ["shop/pink 1", "words"], "skipped": [], "documents": 8,
    }  # fmt: skip
    found = server.post("/v1/search", {"images": [data_url(png("pink"))], "k": 1, "policy": False}).json()["results"][0]
    assert (found["id"], found["text"], found["metadata"]) == ("shop/pink 1", "a pink kite", {"price": 3})
    assert found["path"].endswith(".png") and not Path(found["path"]).is_absolute()
    assert server.get(found["thumbnail"]).status_code == 200 and server.get(found["image"]).status_code == 200
    assert error(server.get("/v1/documents/words/image"), 404)["code"] == "no_picture"
    assert ids(server, where={"price": 3}) == ["shop/pink 1"]
    assert set(load_index(index).ids()) == {*ids(server)}  # another process sees the same
    # What was done here can be done again by hand: nothing changes.
    report = build_index(index / "uploads" / "documents.jsonl", index, MeanColour(), ocr=False, progress=False)
    assert (report.added, report.updated, report.deleted, report.unchanged) == (0, 0, 0, 2)


def test_a_document_is_replaced_by_one_of_its_id_and_deleted_with_its_picture(server: Served, index: Path) -> None:
    add(server, {"id": "a", "text": "first", "image": data_url(png("pink"))})
    add(server, {"id": "a", "text": "second"}, {"id": "b", "image": data_url(png("orange"))})
    assert {"a", "b"} < set(ids(server))
    assert [r["text"] for r in server.post("/v1/search", {"text": "x", "where": {"id": "a"}}).json()["results"]] == [
        "second"
    ]
    answer = server.delete("/v1/documents", params={"id": ["b", "a", "nobody", "b"]})
    assert answer.json() == {"deleted": ["b", "a"], "missing": ["nobody"], "documents": 6}
    assert set(ids(server)) == {"sub/red.png", *(f"{colour}.png" for colour in COLOURS[1:])}
    assert (index / "uploads" / "documents.jsonl").read_text() == ""
    assert list((index / "uploads").glob("??/*")) == []


def test_files_of_a_form_are_documents(server: Served) -> None:
    files = [("images", (f"holiday/{colour}.png", png(colour), "image/png")) for colour in ("pink", "orange")]
    answer = server.post("/v1/documents", files=files)
    assert answer.json()["ids"] == ["holiday/pink.png", "holiday/orange.png"]
    assert {"holiday/pink.png", "holiday/orange.png"} < set(ids(server))


def test_a_folders_document_can_be_deleted_but_not_overwritten(server: Served) -> None:
    taken = error(server.post("/v1/documents", {"documents": [{"id": "green.png", "text": "mine"}]}), 409)
    assert taken["code"] == "id_taken" and taken["param"] == "documents.0.id"
    twice = [{"id": "a", "text": "a"}, {"id": "a", "text": "b"}]
    assert error(server.post("/v1/documents", {"documents": twice}), 409)["param"] == "documents.1.id"
    assert server.delete("/v1/documents", params={"id": "green.png"}).json()["deleted"] == ["green.png"]
    assert "green.png" not in ids(server)
    add(server, {"id": "green.png", "text": "mine"})
    assert "green.png" in ids(server)


@pytest.mark.parametrize(
    ("documents", "param"),
    [
        ([], "documents"),
        ([{"text": "no id"}], "documents.0.id"),
        ([{"id": "a"}], "documents.0"),
        ([{"id": "a", "image": "/etc/passwd"}], "documents.0.image"),
        ([{"id": "a", "text": "a", "metadata": {"path": "/etc/passwd"}}], "documents.0.metadata"),
        ([{"id": "a", "text": "a", "metadata": {"deep": {"er": 1}}}], "documents.0.metadata"),
        ([{"id": "a\0b", "text": "a"}], "documents.0.id"),
        ([{"id": "a", "text": "a", "path": "/etc/passwd"}], "documents.0.path"),
    ],
)
def test_bad_documents_change_nothing(server: Served, documents: Any, param: str) -> None:
    assert error(server.post("/v1/documents", {"documents": documents}), 422)["param"].startswith(param)
    assert len(ids(server)) == 6


def test_a_picture_that_was_lost_or_damaged_is_gone_and_tells_no_folder(server: Served, index: Path) -> None:
    photos = index.parent / "photos"
    (photos / "green.png").unlink()
    (photos / "blue.png").write_bytes(b"no picture")
    for name in ("green.png", "blue.png"):
        said = error(server.get(f"/v1/documents/{name}/image"), 404)
        assert said["code"] == "gone" and str(index.parent) not in said["message"]
        assert server.get(f"/v1/documents/{name}/thumbnail").status_code == 200  # the index keeps those itself
        found = server.post("/v1/search", {"text": name, "k": 50})  # and the agent ranks it without its picture
        assert found.status_code == 200 and name in [result["id"] for result in found.json()["results"]]


def test_while_another_process_writes_nothing_is_lost(server: Served, index: Path) -> None:
    with FileLock(index / "write.lock"):
        answer = server.post("/v1/documents", {"documents": [{"id": "a", "text": "a"}]})
        assert error(answer, 503)["code"] == "storage" and "retry-after" in answer.headers
        assert len(ids(server)) == 6  # readers do not mind
    assert add(server, {"id": "b", "text": "b"})["ids"] == ["b"]
    assert len(ids(server)) == 7  # and what failed is not there


def test_a_version_that_somebody_else_wrote_is_seen_without_a_restart(server: Served, index: Path) -> None:
    photos = index.parent / "photos"
    (photos / "pink.png").write_bytes(png("pink"))
    (photos / "green.png").unlink()
    build_index(photos, index, MeanColour(), ocr=False, progress=False)
    deadline = time.monotonic() + 10
    while "pink.png" not in ids(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "pink.png" in ids(server) and "green.png" not in ids(server)


def test_readers_and_a_writer_at_the_same_time(server: Served) -> None:
    faults: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = ids(server)
            # Every answer is of one version: what was acknowledged in order is there in order.
            grown = sorted(int(name[4:]) for name in found if name.startswith("new-"))
            if grown != list(range(len(grown))) or len(found) != 6 + len(grown):
                faults.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for at in range(5):
        assert add(server, {"id": f"new-{at}", "text": f"a card of number {at}"})["documents"] == 7 + at
        assert f"new-{at}" in ids(server)  # acknowledged is found
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []


def test_a_damaged_listing_of_uploads_is_no_reason_to_forget_it(server: Served, index: Path) -> None:
    add(server, {"id": "a", "text": "a"})
    listing = index / "uploads" / "documents.jsonl"
    listing.write_text(listing.read_text() + "not json\n")
    said = error(server.post("/v1/documents", {"documents": [{"id": "b", "text": "b"}]}), 503)
    assert "log" in said["message"] and str(index.parent) not in said["message"]
    assert json.loads(listing.read_text().splitlines()[0])["id"] == "a"

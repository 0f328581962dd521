"""Folders that are indexed on request, a browser's session, and parts of pictures."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import MeanColour
from served import Served, agent, cards, events, png
from vretrver.errors import InvalidInput, MissingPath
from vretrver.server import Settings, app
from vretrver.server.auth import COOKIE, cookie_for

TOKEN = "a-token-of-many-characters"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "holiday"
    made.mkdir()
    for colour in ("pink", "brown"):
        (made / f"{colour}.png").write_bytes(png(colour))
    return made


@pytest.fixture
def server(tmp_path: Path, folder: Path) -> Iterator[Served]:
    settings = Settings(policy=agent(), folders=(folder,))
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as running:
        yield running


def update(server: Served, name: str = "holiday") -> dict[str, Any]:
    """Start one and wait for its end."""
    started = server.post("/v1/updates", {"folder": name})
    assert started.status_code == 202, started.text
    said: dict[str, Any] = started.json()
    deadline = time.monotonic() + 20
    while said["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.02)
        said = server.get(f"/v1/updates/{said['id']}").json()
    return said


def test_a_folder_is_indexed_and_brought_up_to_date(server: Served, folder: Path) -> None:
    assert server.get("/v1/collection").json()["folders"] == ["holiday"]
    (folder / "broken.png").write_bytes(b"no picture")
    first = update(server)
    assert (first["state"], first["added"], first["skipped"]) == ("done", 2, 1)
    assert first["reasons"][0].startswith("broken.png: ") and str(folder.parent) not in first["reasons"][0]
    assert server.get("/health").json()["documents"] == 8
    (folder / "pink.png").unlink()
    second = update(server)
    assert (second["added"], second["unchanged"], second["deleted"]) == (0, 1, 1)
    assert [one["id"] for one in server.get("/v1/updates").json()["updates"]] == [second["id"], first["id"]]


def test_a_fault_is_told_without_the_servers_folders(server: Served, folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    said = update(server)
    assert said["state"] == "failed" and said["error"].startswith("no pictures in holiday")


@pytest.mark.parametrize("name", ["/etc", "..", "photos", "holiday/.."])
def test_only_folders_that_were_allowed(server: Served, name: str) -> None:
    answer = server.post("/v1/updates", {"folder": name})
    assert answer.status_code == 404 and "allowed: holiday" in answer.json()["error"]["message"]
    assert server.get("/v1/updates/none").status_code == 404


def test_settings_refuse_folders_that_cannot_be_told_apart(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "other" / "holiday").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="'holiday' comes twice"):
        Settings(folders=(folder, tmp_path / "other" / "holiday"))
    with pytest.raises(MissingPath, match="no folder"):
        Settings(folders=(tmp_path / "none",))


def test_a_server_that_only_reads_indexes_nothing(tmp_path: Path, folder: Path) -> None:
    settings = Settings(policy="none", folders=(folder,), writable=False)
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as server:
        assert server.post("/v1/updates", {"folder": "holiday"}).status_code == 403
        told = server.get("/v1/collection").json()
    assert (told["folders"], told["policy"], told["writable"]) == ([], None, False)


def test_a_part_of_a_picture_is_cut_from_the_original(server: Served, folder: Path) -> None:
    half = Image.new("RGB", (64, 48), "white")
    half.paste("blue", (0, 0, 32, 48))
    half.save(folder / "half.png")
    update(server)
    url = "/v1/documents/half.png/image"
    part = Image.open(io.BytesIO(server.get(url, params={"box": "40,8,60,28"}).content))
    assert part.size == (20, 20) and all(channel > 240 for channel in part.getpixel((10, 10)))  # type: ignore[union-attr]
    assert Image.open(io.BytesIO(server.get(url, params={"box": "0,0,64,48", "side": 16}).content)).size == (16, 12)
    for box in ("0,0,65,48", "5,5,5,9", "1,2,3", "-1,0,5,5", "a"):
        assert server.get(url, params={"box": box}).status_code == 422


def test_who_looks_alike_is_said_where_it_is_asked(server: Served, folder: Path) -> None:
    (folder / "red again.png").write_bytes(png("red", (128, 96)))
    update(server)
    plain = server.post("/v1/search", {"text": "a plain red card", "k": 9}).json()["results"]
    assert {result["alike"] for result in plain} == {None}
    body = {"text": "a plain red card", "k": 9, "fold": True}
    alike = {one["id"]: one["alike"] for one in server.post("/v1/search", body).json()["results"]}
    assert alike["red again.png"] == "sub/red.png" and list(alike.values()).count(None) == 8
    told = dict(events(server.post("/v1/search/stream", body).text))
    assert set(told) == {"coarse", "alike", "progress", "ranking"}
    assert len(told["alike"]["alike"]) == 1
    assert {one["id"]: one["alike"] for one in told["ranking"]["results"]} == alike


def test_a_session_is_a_cookie_made_of_the_token(tmp_path: Path) -> None:
    settings = Settings(policy="none", token=TOKEN)
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as server:
        assert server.post("/v1/session").status_code == 401
        entered = server.post("/v1/session", headers={"Authorization": f"Bearer {TOKEN}"})
        assert entered.status_code == 204 and TOKEN not in entered.headers["set-cookie"]
        for attribute in ("HttpOnly", "SameSite=strict"):
            assert attribute in entered.headers["set-cookie"]
        assert server.get("/v1/collection").status_code == 200  # the client keeps the cookie
        server.client.cookies.clear()
        assert server.get("/v1/collection").status_code == 401
        for value in ("", cookie_for(""), cookie_for("another"), TOKEN):
            assert server.get("/v1/collection", headers={"Cookie": f"{COOKIE}={value}"}).status_code == 401

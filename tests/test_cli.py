"""The commands as a user meets them: what they print, where, and with which exit status."""

from __future__ import annotations

import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import Paint
from vretrver.cli import main

Capture = pytest.CaptureFixture[str]
COLOURS = ["red", "green", "blue", "yellow", "black", "white"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for colour in COLOURS:
        Image.new("RGB", (96, 64), colour).save(root / f"{colour}.png")
        (root / f"{colour}.txt").write_text(f"a plain {colour} card", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def index(folder: Path) -> str:
    path = str(folder.parent / "photos.vr")
    assert main(["index", str(folder), "-o", path, "--no-ocr"]) == 0
    return path


def run_json(capsys: Capture, *argv: str) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def failure(capsys: Capture, *argv: str) -> str:
    """The one line a failing command prints."""
    assert main(list(argv)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.startswith("vretrver: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    return lines[0]


def check_results(found: dict[str, Any], count: int) -> None:
    """The promises that every --json object keeps."""
    assert list(found) == ["query", "results", "no_match", "usage", "repairs", "partial", "skipped", "agreement"]
    results = found["results"]
    assert [result["rank"] for result in results] == list(range(1, count + 1))
    scores = [result["score"] for result in results]
    assert all(better > worse for better, worse in itertools.pairwise(scores))
    assert all(0 <= result["confidence"] <= 1 for result in results)
    assert len({result["id"] for result in results}) == count
    assert isinstance(found["no_match"], bool)
    assert set(found["usage"]) == {
        "windows", "rounds", "policy_calls", "tool_calls", "images", "cache_hits", "tokens", "money", "seconds",
    }  # fmt: skip


@pytest.mark.parametrize("policy", ["evidence", "none"])
def test_search_by_text_finds_the_captioned_card(capsys: Capture, index: str, policy: str) -> None:
    found = run_json(capsys, "search", index, "a plain green card", "-k", "3", "--policy", policy)
    check_results(found, 3)
    assert found["results"][0]["id"] == "green.png"
    assert found["results"][0]["text"] == "a plain green card"
    assert found["results"][0]["path"].endswith("green.png")


def test_search_by_picture_and_by_both(capsys: Capture, index: str, paint: Paint) -> None:
    blue = paint("query.png", "blue")
    assert run_json(capsys, "search", index, "--image", blue)["results"][0]["id"] == "blue.png"
    both = run_json(capsys, "search", index, "--image", blue, "a plain blue card", "-k", "2")
    check_results(both, 2)
    assert both["query"]["text"] == "a plain blue card"
    assert both["query"]["images"] == [{"path": blue}]
    assert both["results"][0]["id"] == "blue.png"


def test_k_larger_than_the_pool_gives_the_pool(capsys: Capture, index: str) -> None:
    check_results(run_json(capsys, "search", index, "card", "-k", "500"), len(COLOURS))


def test_trace_and_view(capsys: Capture, index: str, tmp_path: Path) -> None:
    traces, page = str(tmp_path / "run.jsonl"), tmp_path / "run.html"
    run_json(capsys, "search", index, "a plain red card", "--trace", traces)
    run_json(capsys, "search", index, "a plain blue card", "--trace", traces)
    assert len(Path(traces).read_text(encoding="utf-8").splitlines()) == 2
    assert main(["view", traces, "-o", str(page)]) == 0
    assert "a plain blue card" in page.read_text(encoding="utf-8")


def test_rerank_named_pictures(capsys: Capture, paint: Paint) -> None:
    paths = [paint(f"{colour}.png", colour) for colour in ("blue", "red", "green")]
    found = run_json(capsys, "rerank", "a red card", *paths)
    check_results(found, 3)
    assert {result["path"] for result in found["results"]} == set(paths)


@pytest.mark.parametrize("count", [0, 1])
def test_rerank_of_nothing_and_of_one(capsys: Capture, paint: Paint, count: int) -> None:
    found = run_json(capsys, "rerank", "a red card", *[paint()][:count])
    check_results(found, count)
    assert [result["confidence"] for result in found["results"]] == [0.5] * count  # nothing to compare it with


def test_rerank_a_listing_of_texts_and_pairs(capsys: Capture, paint: Paint, tmp_path: Path) -> None:
    listing = tmp_path / "items.csv"
    paint("blue.png", "blue")
    listing.write_text("id,text,image\na,a loaf of rye bread,\nb,a plain blue card,blue.png\nc,gone,no.png\n", "utf-8")
    found = run_json(capsys, "rerank", "a plain blue card", "--documents", str(listing))
    check_results(found, len(found["results"]))
    best = found["results"][0]
    assert (best["id"], best["text"], Path(best["path"]).name) == ("b", "a plain blue card", "blue.png")
    assert "a" in {result["id"] for result in found["results"]}


def test_rerank_keeps_a_picture_it_cannot_read(capsys: Capture, paint: Paint, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    found = run_json(capsys, "rerank", "a red card", str(broken), paint("red.png"))
    check_results(found, 2)
    assert found["results"][-1]["path"] == str(broken)
    assert any("broken.jpg" in repair for repair in found["repairs"])


def test_results_for_people(capsys: Capture, index: str) -> None:
    assert main(["search", index, "a plain green card", "-k", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.lstrip().startswith(("1 ", "Nothing"))
    assert "green.png" in captured.out
    assert "2 results" in captured.err


def test_info_says_what_is_inside(capsys: Capture, index: str) -> None:
    facts = run_json(capsys, "info", index)
    assert facts["documents"] == len(COLOURS)
    assert facts["embedder"] == "lite"


def test_teach_and_undo(capsys: Capture, folder: Path, tmp_path: Path) -> None:
    index = str(tmp_path / "taught.vr")
    assert main(["index", str(folder), "-o", index, "--no-ocr"]) == 0
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\nred.png,Zorblax\nblue.png,Quuxil\n", encoding="utf-8")
    capsys.readouterr()
    before = run_json(capsys, "info", index)
    assert main(["teach", index, str(labels)]) == 0
    capsys.readouterr()
    taught = run_json(capsys, "info", index)
    assert taught["fingerprint"] != before["fingerprint"]
    assert run_json(capsys, "search", index, "Zorblax", "-k", "1")["results"][0]["id"] == "red.png"
    assert main(["teach", index, "--undo"]) == 0
    capsys.readouterr()
    assert run_json(capsys, "info", index)["fingerprint"] == before["fingerprint"]


def test_indexing_says_what_it_skipped_and_goes_on(capsys: Capture, paint: Paint, tmp_path: Path) -> None:
    good = Path(paint("photos/good.png"))
    (good.parent / "fake.jpg").write_bytes(b"this is no picture")
    Image.new("RGB", (50, 50), "red").save(good.parent / "cut.jpg")
    whole = (good.parent / "cut.jpg").read_bytes()
    (good.parent / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (good.parent / "good.txt").write_bytes(b"caf\xe9 au lait")
    found = run_json(capsys, "index", str(good.parent), "-o", str(tmp_path / "x.vr"), "--no-ocr")
    assert found["added"] == 1
    assert {Path(path).name for path, _reason in found["skipped"]} == {"fake.jpg", "cut.jpg"}
    assert "good.txt" in str(found["warnings"])


def test_bad_input_is_one_line(capsys: Capture, index: str, tmp_path: Path, paint: Paint) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    not_image = tmp_path / "note.jpg"
    not_image.write_text("hello", encoding="utf-8")
    out = str(tmp_path / "o.vr")
    assert "nowhere" in failure(capsys, "index", str(tmp_path / "nowhere"), "-o", out)
    assert "empty" in failure(capsys, "index", str(empty), "-o", out)
    assert "nowhere.vr" in failure(capsys, "search", str(tmp_path / "nowhere.vr"), "x")
    assert "query is empty" in failure(capsys, "search", index, "  ")
    assert "query is empty" in failure(capsys, "search", index)
    assert "cannot read image" in failure(capsys, "search", index, "--image", str(not_image))
    assert "no such image" in failure(capsys, "search", index, "--image", str(tmp_path / "no.png"))
    assert "nowhere.jpg" in failure(capsys, "rerank", "a kite", paint(), str(tmp_path / "nowhere.jpg"))
    assert "unknown policy 'clever'" in failure(capsys, "search", index, "x", "--policy", "clever")
    assert "unknown embedder 'clipp'" in failure(capsys, "index", str(empty.parent), "-o", out, "--embedder", "clipp")
    assert "NAME=VALUE" in failure(capsys, "search", index, "x", "--where", "red")
    assert "labels" in failure(capsys, "teach", index)
    assert "nothing.csv" in failure(capsys, "teach", index, str(tmp_path / "nothing.csv"))
    assert "nothing.jsonl" in failure(capsys, "view", str(tmp_path / "nothing.jsonl"), "-o", out)
    assert failure(capsys, "index", str(Path(paint("p/a.png")).parent), "-o", str(not_image / "x.vr"))
    assert failure(capsys, "search", str(empty), "x")


@pytest.mark.parametrize("argv", [[], ["dance"], ["search"], ["search", "a", "b", "c"], ["index", "a"]])
def test_misuse_is_exit_status_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        main(["search", str(tmp_path / "nowhere.vr"), "x", "--debug"])


def test_a_caption_cannot_drive_the_terminal(capsys: Capture, paint: Paint, tmp_path: Path) -> None:
    picture = Path(paint("p/a.png"))
    picture.with_suffix(".txt").write_text("hi \x1b[2J\x07 there", encoding="utf-8")
    index = str(tmp_path / "p.vr")
    assert main(["index", str(picture.parent), "-o", index, "--no-ocr"]) == 0
    assert main(["search", index, "hi there"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_stopped_index_keeps_what_was_done_and_goes_on(tmp_path: Path) -> None:
    """A real process, a real signal: stop it while it works, then run it again to the end."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        Image.new("RGB", (64, 64), (number % 256, number // 2, 90)).save(folder / f"{number:04}.png")
    command = [sys.executable, "-m", "vretrver.cli", "index", str(folder), "-o", str(tmp_path / "m.vr"), "--no-ocr"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    if process.returncode == 1:  # on a fast machine it may have finished first
        assert "the same command goes on from there" in err
        assert "Traceback" not in err
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, env=environment)
    report = json.loads(done.stdout)
    assert report["added"] + report["unchanged"] == 400


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help differently elsewhere")
def test_the_command_reference_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    root = Path(__file__).parents[1]
    written = runpy.run_path(str(root / "runs" / "cli_reference.py"))["reference"]()
    assert (root / "docs" / "cli.md").read_text(encoding="utf-8") == written, "run: python runs/cli_reference.py"

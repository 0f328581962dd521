"""`vretrver serve` as a process of its own: where it listens, what it refuses, how it ends."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from vretrver.cli import main, serving
from vretrver.errors import InvalidInput
from vretrver.reranker import Reranker
from vretrver.usage import Prices


def options(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serving.add(parser.add_subparsers())
    return parser.parse_args(["serve", "photos.vr", *argv])


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (40, 30), colour).save(tmp_path / "photos" / f"{colour}.png")
    assert main(["index", str(tmp_path / "photos"), "-o", str(tmp_path / "photos.vr"), "--no-ocr"]) == 0
    return tmp_path / "photos.vr"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(index: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-m", "vretrver.cli", "serve", str(index), "--port", "0", "--policy", "none"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            found = client.post("/v1/search", json={"text": "red", "k": 1}).json()
            assert len(found["results"]) == 1
        process.send_signal(end)
        said = process.stderr.read()
        assert process.wait(15) in (0, -end)
        assert "Traceback" not in said and f"{url}/docs" in said


def test_what_it_refuses(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VRETRVER_TOKEN", raising=False)
    with pytest.raises(InvalidInput, match="VRETRVER_TOKEN"):
        serving.settings_of(options("--host", "0.0.0.0", "--policy", "none"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [
            sys.executable,
            "-m",
            "vretrver.cli",
            "serve",
            str(index),
            "--policy",
            "none",
            "--port",
            str(taken.getsockname()[1]),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "choose others with --host and --port" in done.stderr


def test_options_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRETRVER_TOKEN", "a-secret-of-decent-length")
    settings = serving.settings_of(
        options(
            *("--host", "0.0.0.0", "--allow-host", "photos.example", "--allow-origin", "https://app.example"),
            *("--fetch-from", "images.example", "--queue", "3", "--body-mb", "2", "--read-only", "--seconds", "9"),
            *("--planner", "merge", "--prices", "prompt=1,completion=2", "--second-look", "reverse"),
        )
    )
    assert settings.hosts == ("0.0.0.0", "photos.example") and settings.origins == ("https://app.example",)
    assert settings.token == "a-secret-of-decent-length" and settings.fetch_from == ("images.example",)
    assert (settings.queue, settings.body_bytes, settings.writable, settings.seconds) == (3, 2 << 20, False, 9)
    assert settings.budget.seconds == 9 and isinstance(settings.policy, Reranker)
    assert settings.policy.rules.prices == Prices(1, 2) and settings.policy.rules.second_look == "reverse"
    monkeypatch.delenv("VRETRVER_TOKEN")
    assert serving.settings_of(options("--policy", "none")).hosts == ("localhost", "127.0.0.1", "::1")

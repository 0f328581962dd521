"""`vretrver doctor` against a real socket: a healthy endpoint passes, a missing one fails with advice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vretrver.cli import main
from vretrver.testing import FakeEndpoint

Capture = pytest.CaptureFixture[str]


def test_a_healthy_endpoint(capsys: Capture) -> None:
    with FakeEndpoint() as endpoint:
        assert main(["doctor", "--policy", endpoint.policy, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["ok"]
        verdicts = {check["name"]: check["verdict"] for check in report["checks"]}
        assert {"reachable", "images", "protocol", "boxes"} <= verdicts.keys()
        assert main(["doctor", "--policy", endpoint.policy]) == 0
    assert "reachable" in capsys.readouterr().out


def test_nobody_there(capsys: Capture) -> None:
    assert main(["doctor", "--policy", "chat:http://127.0.0.1:9/v1#nobody"]) == 1
    assert "failed" in capsys.readouterr().out


def test_not_a_chat_policy(capsys: Capture) -> None:
    assert main(["doctor", "--policy", "evidence"]) == 1
    assert "chat:" in capsys.readouterr().err


def test_reranking_through_an_endpoint(capsys: Capture, tmp_path: Path) -> None:
    listing = tmp_path / "items.csv"
    listing.write_text("id,text\na,a boat\nb,a lake\nc,a red kite\n", encoding="utf-8")
    with FakeEndpoint() as endpoint:
        command = ["rerank", "red kite", "--documents", str(listing), "--policy", endpoint.policy, "--json"]
        assert main(command) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["results"][0]["id"] == "c"
        assert found["usage"]["policy_calls"] == endpoint.counters.calls > 0

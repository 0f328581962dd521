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


def test_the_last_line_says_what_it_cost(capsys: Capture, tmp_path: Path) -> None:
    listing = tmp_path / "items.csv"
    listing.write_text("id,text\na,a boat\nb,a lake\nc,a red kite\n", encoding="utf-8")
    with FakeEndpoint(look_share=0) as endpoint:
        command = ["rerank", "red kite", "--documents", str(listing), "--policy", endpoint.policy]
        command += ["--prices", "prompt=1000,completion=2000"]
        assert main(command) == 0
        read, written = endpoint.counters.prompt_tokens, endpoint.counters.completion_tokens
        money = (1000 * read + 2000 * written) / 1e6
        cost = f"3 results, 1 agent turn, 0 looks, {read:,} tokens read, {written} written, {money:.4g} in money, "
        assert cost in capsys.readouterr().err
        assert main([*command, "--budget", "money=0"]) == 0
        assert "The budget ended before" in capsys.readouterr().out
        assert endpoint.counters.calls == 1
        assert main([*command[:-2], "--budget", "money=0.1"]) == 1
        assert "the budget money=0.1 needs prices" in capsys.readouterr().err


def test_an_agent_that_failed_is_not_passed_over_in_silence(capsys: Capture, tmp_path: Path) -> None:
    listing = tmp_path / "items.csv"
    listing.write_text("id,text\na,a boat\nb,a lake\n", encoding="utf-8")
    with FakeEndpoint(key="secret") as endpoint:
        assert main(["rerank", "boat", "--documents", str(listing), "--policy", endpoint.policy, "--json"]) == 0
        told = capsys.readouterr()
    assert "the agent failed on 1 of 1 window, which keep the first order: PolicyError: chat:http" in told.err
    assert "HTTP 401" in told.err and len(json.loads(told.out)["results"]) == 2

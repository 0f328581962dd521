"""The page on questions must show commands that run, and name what metrics.json has of questions."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import kvqa_data
from vretrver.cli import main
from vretrver.testing import FakeEndpoint, Reading

PAGE = (Path(__file__).parents[1] / "docs" / "kvqa.md").read_text(encoding="utf-8")


def keys(told: dict[str, object]) -> list[str]:
    return [name for name in told if name not in ("n", "n_marked", "interval", "errors", "repairs")]


def test_the_commands_run_and_what_they_measure_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(asked: Reading) -> str | None:
        return "<answer>1300 [1]</answer>" if "Sources:" in asked.text else None

    kvqa_data.okvqa(tmp_path / "OKVQA")
    kvqa_data.infoseek(tmp_path / "InfoSeek")
    kvqa_data.evqa(tmp_path / "EVQA")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    with FakeEndpoint(reply=reply) as server:
        for line in block.splitlines():
            words = shlex.split(line.replace("chat:URL#MODEL", shlex.quote(server.policy)), comments=True)
            assert main(words[1:]) == 0, capsys.readouterr().err
    assert (tmp_path / "kvqa.html").is_file()
    metrics = json.loads((tmp_path / "runs/infoseek/metrics.json").read_text())
    assert metrics["answers"]["kinds"]["Numerical"]["accuracy"] == 1.0
    assert metrics["usage"]["policy_calls"]["total"] > 0
    assert [name for name in keys(metrics["answers"]) if f"`{name}`" not in PAGE] == []
    assert [name for name in ("pr@5", "pr@5 whole words", "ceiling", "pseudo") if f"`{name}`" not in PAGE] == []
    for file in ("vqa_results.json", "predictions.jsonl", "evqa_candidates.jsonl"):
        assert list(tmp_path.glob(f"runs/*/{file}"))
        assert file in PAGE

"""The small twin of the script behind docs/results.md: the same commands on a world of four topics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_run_of_the_script_ends_in_a_report(tmp_path: Path) -> None:
    pytest.importorskip("fonticon_mdi7")
    pytest.importorskip("rapidocr_onnxruntime")
    command = ["bash", str(ROOT / "runs/results.sh"), "none", str(tmp_path), "4"]
    environment = {**os.environ, "BIN": str(Path(sys.executable).parent)}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = ("world", "world-tools-none", "world-vector", "world-ocr")
    metrics = {name: json.loads((tmp_path / "runs" / name / "metrics.json").read_text()) for name in runs}
    assert [metrics[name]["n"] for name in runs] == [4, 4, 4, 1]
    assert metrics["world-tools-none"]["usage"]["tool_calls"]["total"] == 0
    assert metrics["world"]["config"]["data"] == metrics["world-vector"]["config"]["data"]
    assert "small-detail" in (tmp_path / "report.html").read_text(encoding="utf-8").lower()

"""An ablation's folder made on the spot: painted runs by column and row, and the logs of trainings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from run_folders import make_run

ROWS = {
    "base": ("base", "base model", "XXXXXXXRXX"),
    "rsft": ("SFT + RSFT", "SFT + RSFT", "WWXXRXXXXX"),
    "text-rl": ("text-only RL", "text-only RL (tools off)", "WXXXXRXLXX"),
    "full": ("SFT + RSFT + RL", "full: SFT + RSFT + RL", "WWWRWRXXWX"),
    "evidence": ("evidence policy", "", "XXXXXRXXXX"),
}
COLUMNS = {"unseen": ("unseen objects", "world"), "grocery": ("grocery photographs", "real")}


def make_ablation(folder: Path, rows: Mapping[str, str] | None = None, more: str = "") -> Path:
    """Write a folder with `ablation.toml`, a run for every row and column, and a log for the full agent's training.

    Args:
        rows: plans (`run_folders.make_run`) by row, instead of `ROWS`'. more: more lines of `ablation.toml`, first.
    """
    plans = {row: plan for row, (_label, _paper, plan) in ROWS.items()} if rows is None else rows
    for column in COLUMNS:
        for row, plan in plans.items():
            make_run(folder / "runs" / column / row, plan)
    text = more + "".join(
        f'[[rows]]\nid = "{row}"\nlabel = "{label}"\npaper = "{paper}"\ntraining = "{row}"\n'
        for row, (label, paper, _plan) in ROWS.items()
    )
    text += "".join(
        f'[[columns]]\nid = "{name}"\nlabel = "{label}"\nkind = "{kind}"\n' for name, (label, kind) in COLUMNS.items()
    )
    (folder / "ablation.toml").write_text(text)
    write_log(folder / "full", 60)
    return folder


def write_log(checkpoint: Path, steps: int, **changed: Any) -> None:
    """A log of stage III in which calls fall and reward rises."""
    place = checkpoint / "training"
    place.mkdir(parents=True, exist_ok=True)
    lines = [_line(step, step / steps) | changed for step in range(1, steps + 1)]
    (place / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _line(step: int, done: float) -> dict[str, Any]:
    wave = 0.02 * math.sin(step)
    return {
        "step": step, "reward": 0.4 + 0.4 * done + wave, "reward/rank": 0.3 + 0.3 * done, "reward/format": 0.2,
        "reward/tool": 0.1 * done, "tool_rate": 0.9 - 0.2 * done, "calls": 1.8 - 0.7 * done,
        "redundant_calls": 0.8 - 0.6 * done, "length": 240 - 90 * done, "entropy": 0.9 - 0.5 * done,
        "zero_variance": 0.2 + 0.3 * done, "format_valid": 0.9 + 0.1 * done, "hit@1": 0.4 + 0.3 * done,
    }  # fmt: skip

"""`vretrver train sft` and `train rsft` as a person meets them: what they print, and one line for what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lessons
from vretrver.cli import main
from vretrver.training.sharegpt import write_sharegpt

pytest.importorskip("trl", reason="the extra [train] is not installed")

Paint = Callable[..., str]
SETTINGS = """\
precision = "float32"
gradient_checkpointing = false
batch = 2
micro_batch = 2
max_steps = 1
log_every = 1
save_every = 0
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "sft.toml"
    path.write_text(SETTINGS + f'model = "{tmp_path}/base"\ndata = ["{tmp_path}/data"]\n')
    return str(path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed on stderr: one line."""
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_sft_prints_where_the_model_is_and_what_was_left_out(
    config: str, paint: Paint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lessons.model(tmp_path / "base")
    found = lessons.examples(paint, 3)
    write_sharegpt(tmp_path / "data" / "sft.jsonl", found, encoding="jpeg")
    broken = next((tmp_path / "data" / "images").rglob("*.jp*g"))
    broken.write_bytes(broken.read_bytes()[:-40])  # the header stays whole
    short = lessons.without_tools(found[0], "<answer>[1, 2, 3]</answer>")
    write_sharegpt(tmp_path / "more" / "sft.jsonl", [short], encoding="png")
    capsys.readouterr()
    arguments = ["train", "sft", config, "-o", str(tmp_path / "out")]
    assert main([*arguments, "--set", f'data=["{tmp_path}/data", "{tmp_path}/more"]']) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path}/out: ") and f"use it with --policy local:{tmp_path}/out" in printed.out
    assert "examples left out" in printed.out
    assert "training: 4 examples" in printed.err and "a picture cannot be read (the first: example" in printed.err
    assert (
        main([*arguments, "--set", f'data=["{tmp_path}/data", "{tmp_path}/more"]', "--json"]) == 0
    )  # finished already
    assert json.loads(capsys.readouterr().out)["stage"] == "sft"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("learning_rat=1", "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ('learning_rate="fast"', 'learning_rate is the text "fast"; it must be a number'),
        ("micro_batch=0", "micro_batch is 0; it must be 1 or more"),
        ('data=["nowhere"]', "no such data: nowhere"),
        ("samples.every=-1", "samples: every is -1"),
    ],
)
def test_settings_that_are_wrong(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, why: str
) -> None:
    assert main(["train", "sft", config, "-o", str(tmp_path / "out"), "--set", change]) == 1
    assert why in said(capsys)


def test_without_trl_the_command_that_installs_it(
    config: str, paint: Paint, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sharegpt(tmp_path / "data" / "sft.jsonl", lessons.examples(paint, 1), encoding="png")
    monkeypatch.setitem(sys.modules, "trl", None)  # as if it were not installed
    assert main(["train", "sft", config, "-o", str(tmp_path / "out")]) == 1
    assert "training needs an optional dependency: pip install 'vretrver[train]'" in said(capsys)


def test_rsft_takes_a_finished_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rsft.toml"
    path.write_text('[[tasks]]\ndataset = "jsonl"\nroot = "nowhere"\nsplit = "train"\n')
    with pytest.raises(SystemExit) as stopped:
        main(["train", "rsft", str(path), "-o", str(tmp_path / "out")])
    assert stopped.value.code == 2 and "--from" in capsys.readouterr().err
    assert main(["train", "rsft", str(path), "--from", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "is no finished checkpoint of `vretrver train`" in said(capsys)

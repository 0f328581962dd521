"""The recipes for eight GPUs, as far as they go here: their settings files, and the twin of two processes on CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lessons
from vretrver.training.checkpoint import Checkpoint
from vretrver.training.config import read_config
from vretrver.training.curves import read_log
from vretrver.training.data import load_examples
from vretrver.training.rsft import RsftConfig
from vretrver.training.sft import PLACE, SftConfig, train
from vretrver.training.sharegpt import write_sharegpt
from vretrver.training.synthesis import Synthesis

pytest.importorskip("trl", reason="the extra [train] is not installed")

RECIPES = Path(__file__).parents[1] / "runs" / "qwen2_5_vl_7b"
SMALL = {
    "precision": "float32",
    "gradient_checkpointing": False,
    "batch": 4,
    "max_steps": 3,
    "learning_rate": 5e-3,
    "workers": 0,
    "log_every": 1,
    "save_every": 2,
}


def test_the_recipes_hold_the_papers_settings() -> None:
    """Section 4.1: frozen eyes, 1e-5 cosine, warm-up 0.1, 2 epochs, batch 64, cut-off 32768; stage II the same."""
    sft, rsft = read_config(RECIPES / "sft.toml", SftConfig), read_config(RECIPES / "rsft.toml", RsftConfig)
    for one in (sft, rsft.train):
        assert not one.tune_vision and not one.tune_projector and one.lora_rank == 0
        assert (one.learning_rate, one.warmup, one.epochs, one.batch, one.max_tokens) == (1e-5, 0.1, 2.0, 64, 32768)
    assert sft.model == "Qwen/Qwen2.5-VL-7B-Instruct" and rsft.recipe.boxes == "qwen2.5-vl"
    assert [source.split for source in rsft.tasks] == ["train"] and rsft.sampling.rollouts == 8


@pytest.mark.parametrize("prefix", ["nano_", "nano_ci/"])
def test_the_nano_roads_settings_are_known(prefix: str) -> None:
    """Data, both stages and looks over the shoulder speak of one agent: its tools and coordinates; no test split."""
    place = f"{RECIPES.parent}/{prefix}"
    world, text = (read_config(f"{place}{name}.toml", Synthesis) for name in ("world", "text"))
    sft, rsft = read_config(f"{place}sft.toml", SftConfig), read_config(f"{place}rsft.toml", RsftConfig)
    recipes = [world.recipe, rsft.recipe, sft.samples.recipe]
    assert {(one.tools, one.boxes, one.max_tool_turns) for one in recipes} == {("compare_crops", "0-1000", 2)}
    assert text.recipe.tools == "none" and text.tasks == world.tasks
    splits = {source.split for source in (*world.tasks, *rsft.tasks, sft.samples.task)}
    assert splits == {"train", "val"}


@pytest.mark.parametrize("name", ["fsdp2.yaml", "zero3.yaml", "twin.yaml"])
def test_accelerate_takes_its_configurations(name: str) -> None:
    """Every key is known to accelerate, and the settings are those that the recipe means."""
    from accelerate.commands.config.config_args import load_config_from_file

    config: Any = load_config_from_file(str(RECIPES / name))
    if name == "fsdp2.yaml":
        assert config.fsdp_config["fsdp_version"] == 2 and config.num_processes == 8
        assert "Qwen2_5_VLDecoderLayer" in config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"]
    elif name == "zero3.yaml":
        assert config.deepspeed_config["zero_stage"] == 3
    else:
        assert config.use_cpu and config.num_processes == 2


def test_two_processes_learn_what_one_does(paint: Callable[..., str], tmp_path: Path) -> None:
    """The recipe's own settings file under `accelerate launch`, on a tiny model: the same curve, however many hands."""
    base = lessons.model(tmp_path / "base")
    long = lessons.examples(paint, 3)
    found = [*long, *(lessons.without_tools(one, "<answer>[1, 2, 3]</answer>") for one in long)]
    write_sharegpt(tmp_path / "data" / "sft.jsonl", found, encoding="png")
    overrides = [f"{key}={str(value).lower()}" for key, value in SMALL.items()]
    overrides += [f'model="{base}"', f'data=["{tmp_path}/data"]']
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    command += ["--config_file", str(RECIPES / "twin.yaml"), "--main_process_port", "0", "-m", "vretrver.cli"]
    command += ["train", "sft", str(RECIPES / "sft.toml"), "-o", str(tmp_path / "two")]
    for override in overrides:
        command += ["--set", override]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("use it with --policy local:") == 1  # one process speaks for both
    config = read_config(RECIPES / "sft.toml", SftConfig, overrides)
    train(config, load_examples(config.data), tmp_path / "one", progress=False)
    one, two = (Checkpoint.read(tmp_path / name) for name in ("one", "two"))
    assert (one.facts["processes"], two.facts["processes"]) == (1, 2)
    assert one.facts["rows"] == two.facts["rows"] == 6
    curves = [[line["loss"] for line in read_log(tmp_path / name / PLACE)] for name in ("one", "two")]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5) and len(curves[0]) == 3

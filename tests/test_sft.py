"""Supervised fine-tuning of tiny models: what is frozen, what comes out, what a kill costs. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lessons
from vretrver.errors import InvalidInput, MissingPath
from vretrver.messages import Message, TextPart
from vretrver.training.checkpoint import Checkpoint, protocol_digest, require_protocol
from vretrver.training.curves import read_log
from vretrver.training.examples import Example
from vretrver.training.sft import PLACE, STEPS, SftConfig, last_whole, train
from vretrver.training.weights import part_of

pytest.importorskip("trl", reason="the extra [train] is not installed")

Paint = Callable[..., str]
TINY = SftConfig(
    precision="float32",
    gradient_checkpointing=False,
    batch=2,
    micro_batch=2,
    max_steps=1,
    warmup=0.0,
    learning_rate=5e-3,
    log_every=1,
    save_every=0,
    decode=False,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lessons.model(tmp_path_factory.mktemp("base"))


def tensors(folder: Path | str) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(Path(folder, "model.safetensors"))


def moved(base: str, folder: Path) -> set[str]:
    """The parts of a model (`part_of`) in which a weight has changed."""
    before, after = tensors(base), tensors(folder)
    assert before.keys() == after.keys()
    return {part_of(name) for name, weight in after.items() if not weight.equal(before[name])}


# ---- what is trained, and what comes out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({}, {"language"}),
        ({"tune_vision": True}, {"language", "vision"}),
        ({"tune_projector": True}, {"language", "projector"}),
        ({"tune_vision": True, "tune_projector": True, "lora_rank": 2}, {"language", "vision", "projector"}),
        ({"precision": "bfloat16", "gradient_checkpointing": True}, {"language"}),
    ],
    ids=str,
)
def test_what_is_frozen_stays_to_the_bit(
    base: str, paint: Paint, tmp_path: Path, options: dict[str, Any], parts: set[str]
) -> None:
    record = train(replace(TINY, model=base, **options), lessons.examples(paint, 2), tmp_path / "out", progress=False)
    assert moved(base, tmp_path / "out") == parts
    assert record.facts["steps"] == 1 and record.parent == base


def test_another_family_trains_too(paint: Paint, tmp_path: Path) -> None:
    folder = lessons.model(tmp_path / "base", "qwen3_vl")
    config = replace(TINY, model=folder, tune_vision=True, tune_projector=True)
    train(config, lessons.examples(paint, 2), tmp_path / "out", progress=False)
    assert moved(folder, tmp_path / "out") == {"language", "vision", "projector"}


def test_a_finished_folder(base: str, paint: Paint, tmp_path: Path) -> None:
    found = lessons.examples(paint, 3)
    config = replace(TINY, model=base, max_steps=2, validate_every=1, workers=1)
    out = tmp_path / "out"
    record = train(config, found, out, validation=found[:1], progress=False)
    log = read_log(out / PLACE)
    assert [line["step"] for line in log if "loss" in line] == [1, 2]
    assert all(line["validation_loss"] > 1 for line in log if "loss" not in line) and len(log) == 4
    assert record == Checkpoint.read(out) == require_protocol(out, found[0].prompt_hash)
    assert record.protocol == protocol_digest() and record.versions["trl"]
    assert json.loads((out / PLACE / "config.json").read_text())["settings"]["learning_rate"] == 5e-3
    assert (out / PLACE / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((out / PLACE / "tensorboard").glob("events.*")) and not (out / PLACE / STEPS).exists()
    assert {path.name for path in out.glob("*.bin")} == set()  # no pickles in what people pass on
    # A finished folder is not trained again, and another training does not take it.
    weights = (out / "model.safetensors").stat().st_mtime_ns
    assert train(config, found, out, progress=False) == record
    assert (out / "model.safetensors").stat().st_mtime_ns == weights
    with pytest.raises(InvalidInput, match=r"made with other settings: learning_rate was 0.005; take the same"):
        train(replace(config, learning_rate=1e-3), found, out, progress=False)
    with pytest.raises(InvalidInput, match="made with other settings: data was"):
        train(config, found[:2], out, progress=False)


def test_the_loss_is_the_mean_over_trained_tokens_however_a_batch_is_held(
    base: str, paint: Paint, tmp_path: Path
) -> None:
    """Rows of very different lengths: one at a time over four, or four at once, is the same step."""
    long = lessons.examples(paint, 2)
    found = [*long, *(lessons.without_tools(one, "<answer>[1, 2, 3]</answer>") for one in long)]
    curves = []
    for held in (1, 4):
        config = replace(TINY, model=base, batch=4, micro_batch=held, max_steps=2)
        train(config, found, tmp_path / f"{held}", progress=False)
        curves.append([line["loss"] for line in read_log(tmp_path / f"{held}" / PLACE)])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_weights_are_stored_as_the_base_stores_them(base: str, paint: Paint, tmp_path: Path) -> None:
    """Trained in float32, written in the base's bfloat16."""
    import shutil

    import torch
    from transformers import AutoModelForImageTextToText

    half = shutil.copytree(base, tmp_path / "half")
    AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    train(replace(TINY, model=str(half)), lessons.examples(paint, 2), tmp_path / "out", progress=False)
    assert {weight.dtype for weight in tensors(tmp_path / "out").values()} == {torch.bfloat16}
    assert moved(str(half), tmp_path / "out") == {"language"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.visual.blocks.0.attn.qkv.weight", "vision"),
        ("model.visual.merger.mlp.0.weight", "projector"),
        ("model.visual.deepstack_merger_list.0.norm.bias", "projector"),
        ("model.vision_tower.stages.1.weight", "vision"),
        ("model.multi_modal_projector.linear_1.weight", "projector"),
        ("model.language_model.layers.0.mlp.gate_proj.weight", "language"),
        ("lm_head.weight", "language"),
        ("base_model.model.model.visual.blocks.0.attn.qkv.lora_A.default.weight", "vision"),
    ],
)
def test_parts_of_a_model_by_name(name: str, part: str) -> None:
    assert part_of(name) == part


def test_a_picture_that_goes_missing_on_the_way_is_named(base: str, paint: Paint, tmp_path: Path) -> None:
    """Not opened beforehand (`decode` off): the training ends with the picture's name, not with one of the disk's."""
    found = lessons.examples(paint, 2)
    Path(tmp_path / "red.png").unlink()
    with pytest.raises(MissingPath, match=r"red\.png"):
        train(replace(TINY, model=base), found, tmp_path / "out", progress=False)


# ---- a kill


def in_a_process(folder: Path, out: Path, base: str) -> subprocess.Popen[bytes]:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_sft; test_sft.trained_in({str(folder)!r}, {str(out)!r}, {base!r})\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)


def trained_in(folder: str, out: str, base: str) -> None:
    import torch
    from PIL import Image

    torch.set_num_threads(1)

    def paint(name: str = "plain.png", colour: str = "red", size: tuple[int, int] = (64, 48)) -> str:
        path = Path(folder, name)
        if not path.exists():
            Image.new("RGB", size, colour).save(path)
        return str(path)

    long_run(lessons.examples(paint, 5), out, base, callbacks=[pause()])


def long_run(found: Sequence[Example], out: str, base: str, callbacks: Sequence[Any] = ()) -> Checkpoint:
    config = replace(TINY, model=base, max_steps=6, batch=2, micro_batch=1, save_every=2, lora_rank=4, lora_dropout=0.3)
    return train(config, found, Path(out), callbacks=callbacks, progress=False)


def pause() -> Any:
    from transformers import TrainerCallback

    class Pause(TrainerCallback):  # type: ignore[misc]
        def on_log(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if state.global_step == 5:
                time.sleep(600)  # until it is killed

    return Pause()


def test_a_kill_costs_nothing_but_time(base: str, paint: Paint, tmp_path: Path) -> None:
    """Killed with SIGKILL after step 5, gone on from the checkpoint of step 4: the same curve to the last digit.

    Order of the data, learning rate, optimizer, and the dropout's random numbers all have to be where they were.
    """
    found = lessons.examples(paint, 5)
    whole = long_run(found, str(tmp_path / "whole"), base)
    out = tmp_path / "killed"
    process = in_a_process(tmp_path, out, base)
    log = out / PLACE / "train_log.jsonl"
    deadline = time.monotonic() + 300
    while not (log.is_file() and log.read_text().count("\n") >= 5):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "vretrver.json").exists()
    with pytest.raises(MissingPath, match="no finished checkpoint"):
        Checkpoint.read(out)
    assert last_whole(out) == str(out / PLACE / STEPS / "checkpoint-4")
    half = out / PLACE / STEPS / "checkpoint-6"  # as if the kill had come while it was written
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_st')
    assert last_whole(out) == str(out / PLACE / STEPS / "checkpoint-4")
    record = long_run(found, str(out), base)
    assert record == whole
    curves = [
        [(line["step"], line["loss"], line["learning_rate"], line["tokens"]) for line in read_log(folder / PLACE)]
        for folder in (tmp_path / "whole", out)
    ]
    assert curves[0] == curves[1] and [step for step, *_figures in curves[0]] == list(range(1, 7))
    ours, theirs = tensors(tmp_path / "whole"), tensors(out)
    assert all(ours[name].equal(theirs[name]) for name in ours)


# ---- bad input


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"model": ""}, "no model is named"),
        ({"model": "/nowhere"}, "no vision-language model '/nowhere'"),
        ({"batch": 3}, "batch is 3, and 1 processes hold 2 examples each at once; the batch must be a multiple of 2"),
        (
            {"max_tokens": 100},
            r"nothing to train on: 2 examples, 0 rows, 0 tokens; left out: 2 longer than the context",
        ),
    ],
)
def test_settings_that_cannot_be(base: str, paint: Paint, tmp_path: Path, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        train(replace(TINY, **{"model": base} | options), lessons.examples(paint, 2), tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be 0 or more"),
        ({"micro_batch": 0}, "micro_batch is 0; it must be 1 or more"),
        ({"warmup": 1.0}, "warmup is 1.0; it is a share"),
        ({"precision": "int8"}, "unknown precision 'int8'; choose bfloat16 or float32"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        replace(TINY, **options)


def test_no_examples(base: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the data hold no example"):
        train(replace(TINY, model=base), [], tmp_path / "out", progress=False)


def test_memory_that_runs_out_says_which_setting_to_change(base: str, paint: Paint, tmp_path: Path) -> None:
    """For real: the process may not take more memory than it has and a little, and the batch needs more."""
    import resource

    found = lessons.examples(paint, 2)
    before = resource.getrlimit(resource.RLIMIT_AS)
    config = replace(TINY, model=base, batch=64, micro_batch=64)

    def tight() -> Any:
        from transformers import TrainerCallback

        class Tight(TrainerCallback):  # type: ignore[misc]
            def on_train_begin(self, *_given: Any, **_more: Any) -> None:
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, before[1]))

        return Tight()

    try:
        with pytest.raises(InvalidInput) as caught:
            train(config, found * 32, tmp_path / "out", callbacks=[tight()], progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    said = str(caught.value)
    assert "memory ran out with 64 examples of up to" in said and "in this order, try micro_batch = 32" in said
    assert said.index("micro_batch") < said.index("gradient_checkpointing") < said.index("lora_rank")


def test_rows_without_pictures_are_not_mixed_in_where_the_model_is_cut(
    base: str, paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown, *_rest) = lessons.examples(paint, 1)
    words = Example((shown.messages[0], Message("user", (TextPart("hi"),)), Message("assistant", (TextPart("ho"),))))
    train(replace(TINY, model=base), [shown, words], tmp_path / "whole", progress=False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")  # as `accelerate launch` sets it
    with pytest.raises(
        InvalidInput, match="1 of 2 rows have pictures; FSDP and ZeRO-3 need pictures in all or in none"
    ):
        train(replace(TINY, model=base), [shown, words], tmp_path / "cut", progress=False)

"""Stage III whole, on tiny models: what comes out, what a kill costs, that a reward is learnt. No downloads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lessons
from vretrver.cli import main
from vretrver.errors import InvalidInput, MissingPath
from vretrver.messages import Conversation, ToolCall
from vretrver.policies import load_policy
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer, render_tool_call
from vretrver.reranker import Reranker
from vretrver.trace import StopReason
from vretrver.training.checkpoint import Checkpoint, require_protocol
from vretrver.training.config import read_config
from vretrver.training.curves import read_log
from vretrver.training.eapo import EapoConfig, eapo
from vretrver.training.examples import example_of
from vretrver.training.grpo.settings import Difficulty, Optimising, Sampling
from vretrver.training.rewards import Judged, Score
from vretrver.training.sft import PLACE, STEPS, SftConfig, last_whole, train
from vretrver.training.sources import Source
from vretrver.training.trajectories import Recipe
from vretrver.viewer import read_traces

pytest.importorskip("trl", reason="the extra [train] is not installed")

RUNS = Path(__file__).parents[1] / "runs"
TWIN = RUNS / "qwen2_5_vl_7b" / "twin.yaml"
RECIPE = Recipe(tools="select", boxes="qwen2.5-vl", window_pixels=56 * 56)
PLAIN = replace(RECIPE, tools="none", max_tool_turns=0)
FEW = SftConfig(
    precision="float32",
    gradient_checkpointing=False,
    batch=4,
    micro_batch=4,
    max_steps=30,
    learning_rate=1e-2,
    save_every=0,
)
TINY = Optimising(
    precision="float32", gradient_checkpointing=False, batch=4, micro_batch=2, max_steps=2, learning_rate=1e-3
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task in plain files: a picture and two texts, the picture asked for by name."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("task")
    Image.new("RGB", (56, 56), "red").save(folder / "red.png")
    records = [{"id": "red", "image": "red.png"}, {"id": "words", "text": "a note"}, {"id": "more", "text": "more"}]
    gallery = [record["id"] for record in records]
    queries = [{"id": f"q-{name}", "text": name, "relevant": [name], "candidates": gallery} for name in gallery[:1]]
    files: dict[str, Sequence[object]] = {"documents": records}
    files |= {f"queries.{split}": queries for split in ("train", "val", "test")}
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def source(root: Path, split: str = "train") -> Source:
    return Source("jsonl", str(root), split=split)


def answered(conversation: Conversation, first: int) -> str:
    """A candidate by its number from 0, then the others."""
    count = len(conversation.window.candidates)
    return render_answer([first, *(at for at in range(count) if at != first)], "So.")


def looked(conversation: Conversation) -> str:
    """A look, then an answer."""
    if any(message.role == "assistant" for message in conversation.messages):
        return answered(conversation, 0)
    return render_tool_call(ToolCall("select_images", {"target_images": [1]}), "Look.")


@pytest.fixture(scope="module")
def taught(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that keeps the form, with tools and without, and ranks one candidate as often first as another."""
    folder = tmp_path_factory.mktemp("taught")
    task = source(root).load(folder)
    found = []
    for topic in task.topics:
        scripts: list[tuple[Recipe, Any]] = [(RECIPE, looked)]
        for recipe, script in [*scripts, *((PLAIN, partial(answered, first=at)) for at in range(3))]:
            reranker = Reranker(
                ScriptedPolicy(script), toolbox=recipe.toolbox, max_tool_turns=recipe.max_tool_turns, wire=lessons.WIRE
            )
            (trace,) = reranker.rerank(topic.query, list(task.pool)).traces
            wire: dict[str, Any] = {"boxes": lessons.WIRE.boxes, "window_pixels": lessons.WIRE.window_pixels}
            found.append(example_of(trace, recipe.toolbox, max_tool_turns=recipe.max_tool_turns, **wire))
    train(replace(FEW, model=lessons.model(folder / "base", layers=1)), found, folder / "sft", progress=False)
    return folder / "sft"


@dataclass
class FirstShown:
    """1 where the candidate that is shown first is ranked first, in an answer; easily earned."""

    name: str = "first shown"

    def __call__(self, group: Sequence[Judged]) -> list[Score]:
        return [
            Score.of({"first": float(one.trace.stop is StopReason.ANSWERED and not one.trace.order[0])})
            for one in group
        ]


def config(root: Path, recipe: Recipe = PLAIN, **options: Any) -> EapoConfig:
    sampling = Sampling(rollouts=4, max_new_tokens=30, batch=64)
    return EapoConfig((source(root),), **{"recipe": recipe, "sampling": sampling, "train": TINY, **options})


def curve(folder: Path) -> list[dict[str, float]]:
    """The figures of every step, but for how long they took."""
    lines = read_log(folder / PLACE)
    return [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]


def test_a_reward_that_is_easily_earned_is_learnt(root: Path, taught: Path, tmp_path: Path) -> None:
    """Text-only, from a checkpoint that knows both ways: from a third of the rollouts to two thirds and more."""
    learning = replace(TINY, batch=16, micro_batch=16, max_steps=10, learning_rate=2e-3)
    settings = config(root, train=learning, sampling=replace(config(root).sampling, rollouts=8, shuffle=True))
    record = eapo(settings, taught, tmp_path / "out", reward=FirstShown(), progress=False)
    log = curve(tmp_path / "out")
    earned = [line["reward"] for line in log]
    assert earned[0] < 0.4 and sum(earned[-4:]) / 4 > 0.65, earned
    assert record.facts["reward"] == "first shown" and record.facts["rollouts"] == 10 * 16
    assert log[-1]["entropy"] < log[0]["entropy"] and {line["calls"] for line in log} == {0.0}
    habits = load_policy(f"local:{tmp_path / 'out'}").habits  # type: ignore[attr-defined]
    assert habits.tools == () and habits.max_tool_turns == 0


def test_a_finished_folder(root: Path, taught: Path, tmp_path: Path) -> None:
    """With tools and pictures, held-out queries looked at, through the command."""
    out = tmp_path / "out"
    settings = f"""
reward = "paper"
[[tasks]]
dataset = "jsonl"
root = "{root}"
split = "train"
[recipe]
tools = "select"
boxes = "qwen2.5-vl"
window_pixels = {56 * 56}
[sampling]
rollouts = 4
max_new_tokens = 60
[difficulty]
resample = 1
[train]
precision = "float32"
gradient_checkpointing = true
iterations = 2
batch = 4
micro_batch = 2
max_steps = 2
beta = 0.01
learning_rate = 1e-3
tune_projector = true
lora_rank = 2
[train.samples]
every = 2
shown = 1
max_new_tokens = 8
[train.samples.task]
dataset = "jsonl"
root = "{root}"
split = "val"
[train.samples.recipe]
tools = "select"
boxes = "qwen2.5-vl"
window_pixels = {56 * 56}
"""
    (tmp_path / "eapo.toml").write_text(settings)
    command = ["train", "eapo", str(tmp_path / "eapo.toml"), "--from", str(taught), "-o", str(out)]
    assert main(command) == 0
    record = Checkpoint.read(out)
    assert record.stage == "eapo" and record.parent == str(taught) and record.facts["steps"] == 2
    assert record.facts["rollouts"] == 4 and record.habits is not None and record.habits["tools"] == ["select_images"]
    assert require_protocol(out, next(iter(record.prompt_hashes))) == record
    log = [line for line in read_log(out / PLACE) if "loss" in line]
    due = {"reward", "reward/format", "reward/rank", "reward/tool", "reward/calls", "reward_std", "zero_variance"}
    due |= {"tool_rate", "calls", "redundant_calls", "length", "format_valid", "hit@1", "loss", "grad_norm"}
    due |= {"clip_share", "kept_groups", "seconds", "rollout_seconds", "kl"}
    assert [line["step"] for line in log] == [1, 2] and due <= log[0].keys()
    assert "reward" not in log[1] and log[1]["kl"] >= 0  # its rollouts are those of the first
    assert any("validation_hit@1" in line for line in read_log(out / PLACE))
    assert (out / PLACE / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((out / PLACE / "tensorboard").glob("events.*")) and not (out / PLACE / STEPS).exists()
    assert list((out / PLACE / "samples").glob("step-*.html"))
    (kept,) = (out / "rollouts").glob("*.jsonl")  # two steps on one draw
    rankings = read_traces(kept)
    records = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(rankings) in (4, 8) and {one["topic"] for one in records} == {"q-red"}
    assert all(one["reward"] == pytest.approx(sum(v or 0 for v in one["terms"].values())) for one in records)
    assert records[0].keys() >= {"rollout", "step", "draw", "right", "trained"}
    assert main(["view", str(kept), "-o", str(tmp_path / "page.html")]) == 0
    policy = load_policy(f"local:{out},max_new_tokens=20")
    assert policy.habits.tools == ("select_images",)  # type: ignore[attr-defined]
    # Again: nothing is trained anew; another setting is refused, one that changes nothing is not.
    before = (out / "model.safetensors").stat().st_mtime_ns
    assert main([*command, "--set", "sampling.batch=3"]) == 0
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    assert main([*command, "--set", "train.learning_rate=0.5"]) == 1


# ---- a kill


def killed_in(root: str, taught: str, out: str) -> None:
    import torch

    torch.set_num_threads(1)
    long_run(Path(root), Path(taught), Path(out), [pause()])


def long_run(root: Path, taught: Path, out: Path, callbacks: Sequence[Any] = ()) -> Checkpoint:
    settings = config(
        root,
        train=replace(TINY, max_steps=4, save_every=2, batch=8, micro_batch=4, lora_rank=2),
        sampling=replace(config(root).sampling, shuffle=True),
        difficulty=Difficulty(resample=1),
    )
    return eapo(settings, taught, out, reward=FirstShown(), callbacks=callbacks, progress=False)


def pause() -> Any:
    from transformers import TrainerCallback

    class Pause(TrainerCallback):  # type: ignore[misc]
        def on_log(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if state.global_step == 3:
                time.sleep(600)  # until it is killed

    return Pause()


def test_a_kill_costs_nothing_but_time(root: Path, taught: Path, tmp_path: Path) -> None:
    """Killed with SIGKILL after step 3, gone on from the checkpoint of step 2: the same curve to the last digit."""
    whole = long_run(root, taught, tmp_path / "whole")
    out = tmp_path / "killed"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_eapo; test_eapo.killed_in({str(root)!r}, {str(taught)!r}, {str(out)!r})\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
    log = out / PLACE / "train_log.jsonl"
    deadline = time.monotonic() + 300
    while not (log.is_file() and log.read_text().count("\n") >= 3):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with pytest.raises(MissingPath, match="no finished checkpoint"):
        Checkpoint.read(out)
    assert last_whole(out) == str(out / PLACE / STEPS / "checkpoint-2")
    assert long_run(root, taught, out) == whole
    curves = [curve(tmp_path / "whole"), curve(out)]
    assert curves[0] == curves[1] and [line["step"] for line in curves[0]] == [1, 2, 3, 4]
    assert any(line["kept_groups"] for line in curves[0])  # or nothing was learnt, and the curves say nothing
    kept = [sorted((folder / "rollouts").iterdir()) for folder in (tmp_path / "whole", out)]
    for one, other in zip(*kept, strict=True):
        assert one.name == other.name
        told = [[json.loads(line) for line in path.read_text().splitlines()] for path in (one, other)]
        assert [line["reward"] for line in told[0]] == [line["reward"] for line in told[1]]
        assert [line["results"] for line in told[0]] == [line["results"] for line in told[1]]


def test_two_processes_draw_and_learn_what_one_does(root: Path, taught: Path, tmp_path: Path) -> None:
    settings = f"""
weights = {{ tool = 0.1 }}
[[tasks]]
dataset = "jsonl"
root = "{root}"
split = "train"
[recipe]
tools = "none"
max_tool_turns = 0
boxes = "qwen2.5-vl"
window_pixels = {56 * 56}
[sampling]
rollouts = 2
max_new_tokens = 30
shuffle = true
[train]
precision = "float32"
gradient_checkpointing = false
batch = 4
micro_batch = 2
max_steps = 2
learning_rate = 1e-3
"""
    (tmp_path / "eapo.toml").write_text(settings)
    command = ["train", "eapo", str(tmp_path / "eapo.toml"), "--from", str(taught), "-o"]
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", str(TWIN)]
    launch += ["--main_process_port", "0", "-m", "vretrver.cli", *command, str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, check=False, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("use it with --policy local:") == 1
    assert main([*command, str(tmp_path / "one")]) == 0
    one, two = (curve(tmp_path / name) for name in ("one", "two"))
    assert Checkpoint.read(tmp_path / "two").facts["processes"] == 2
    assert len(one) == len(two) == 2
    for ours, theirs in zip(one, two, strict=True):
        # TRL logs the entropy as a mean of micro-batches' means, whatever tokens they hold.
        assert ours.pop("entropy") == pytest.approx(theirs.pop("entropy"), rel=0.1)
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    assert len(list((tmp_path / "two" / "rollouts").glob("*.jsonl"))) == 4


# ---- bad input


def test_what_stage_three_refuses(root: Path, taught: Path, tmp_path: Path) -> None:
    def refused(settings: EapoConfig, parent: Path = taught) -> None:
        eapo(settings, parent, tmp_path / "out", progress=False)

    with pytest.raises(MissingPath, match=r"no finished checkpoint of `vretrver train`"):
        refused(config(root), taught.parent / "base")
    with pytest.raises(InvalidInput, match="is its test split; nothing is trained or chosen on one"):
        refused(replace(config(root), tasks=(source(root, "test"),)))
    other = shutil.copytree(taught, tmp_path / "other")
    record = json.loads((other / "vretrver.json").read_text())
    (other / "vretrver.json").write_text(json.dumps(record | {"protocol": "another"}))
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(InvalidInput, match="learnt protocol another, and this vretrver"):
        refused(config(root), other)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(InvalidInput, match=r"learnt the system prompt .* give the tools, max_tool_turns and boxes"):
        refused(config(root, replace(RECIPE, tools="select,zoom")))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("batch is 6; with 1 processes that hold 2 rollouts each at once, in groups of 4", {"batch": 6}),
        ("every prompt has [0-9]+ tokens or more, and an episode may have 50: set max_tokens", {"max_tokens": 50}),
    ]
    for why, options in cases:
        shutil.rmtree(tmp_path / "out")
        with pytest.raises(InvalidInput, match=why):
            refused(config(root, train=replace(TINY, **options)))
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(InvalidInput, match="no task is named"):
        refused(replace(config(root), tasks=()))
    with pytest.raises(InvalidInput, match="unknown reward 'papier'"):
        config(root, reward="papier")
    with pytest.raises(InvalidInput, match="unknown key 'tol'"):
        config(root, weights={"tol": 1.0})


class Greedy(FirstShown):
    """A reward for which there is not enough memory."""

    def __call__(self, group: Sequence[Judged]) -> list[Score]:
        raise MemoryError


def test_memory_that_runs_out_says_which_setting_to_change(root: Path, taught: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        eapo(config(root), taught, tmp_path / "out", reward=Greedy(), progress=False)
    said = str(caught.value)
    assert "memory ran out with 2 rollouts of up to" in said and "in this order, try train.micro_batch = 1" in said
    assert said.index("micro_batch") < said.index("gradient_checkpointing") < said.index("lora_rank")
    assert "\n" not in said


@pytest.mark.parametrize("prefix", ["nano_", "nano_ci/"])
def test_the_nano_roads_settings_are_known(prefix: str) -> None:
    found = read_config(RUNS / f"{prefix}eapo.toml", EapoConfig)
    assert {source.split for source in found.tasks} == {"train"}
    assert (found.recipe.tools, found.recipe.boxes, found.recipe.max_tool_turns) == ("compare_crops", "0-1000", 2)
    without = read_config(RUNS / f"{prefix}eapo.toml", EapoConfig, ['recipe.tools="none"', "recipe.max_tool_turns=0"])
    assert without.recipe.toolbox.tools == ()

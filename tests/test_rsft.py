"""Both stages whole: a model learns by heart, looked over its shoulder; it is sampled, and trained on what was fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lessons
from vretrver.errors import InvalidInput, MissingPath
from vretrver.messages import Conversation
from vretrver.policies import load_policy
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.reranker import Reranker
from vretrver.training.checkpoint import Checkpoint
from vretrver.training.curves import read_log
from vretrver.training.rejection import Yield
from vretrver.training.rsft import ROLLOUTS, RsftConfig, Sampling, rsft
from vretrver.training.samples import PAGES, SampleConfig, figures
from vretrver.training.sft import PLACE, SftConfig, train
from vretrver.training.sources import Source
from vretrver.training.trajectories import Recipe, trajectories
from vretrver.types import Query

pytest.importorskip("trl", reason="the extra [train] is not installed")

TINY = SftConfig(
    precision="float32",
    gradient_checkpointing=False,
    batch=2,
    micro_batch=2,
    max_steps=80,
    learning_rate=1e-2,
    log_every=20,
    save_every=0,
)
RECIPE = Recipe(tools="select", boxes="qwen2.5-vl", window_pixels=56 * 56)


class Teacher:
    """Says what `lessons.script` says."""

    name = "script"

    def policy(self, _task: Any, seed: int = 0) -> ScriptedPolicy:
        return ScriptedPolicy(lessons.script)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task in plain files: three pictures and a text, and two of them asked for by name."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("task")
    records: list[dict[str, str]] = [{"id": "words", "text": "a note"}]
    for name in ("red", "green", "blue"):
        Image.new("RGB", (56, 56), name).save(folder / f"{name}.png")
        records.append({"id": name, "image": f"{name}.png"})
    gallery = [record["id"] for record in records]
    wanted = ("red", "blue")
    queries = [{"id": f"q-{name}", "text": name, "relevant": [name], "candidates": gallery} for name in wanted]
    files: dict[str, Sequence[object]] = {"documents": records, "queries.train": queries, "queries.val": queries}
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def source(root: Path, split: str = "train") -> Source:
    return Source("jsonl", str(root), split=split)


def config(root: Path, **options: Any) -> RsftConfig:
    sampling = Sampling(rollouts=3, cap=2, temperature=0.7, max_new_tokens=60)
    train_ = replace(TINY, max_steps=2, learning_rate=1e-4, batch=2, micro_batch=2)
    return RsftConfig((source(root),), **{"recipe": RECIPE, "sampling": sampling, "train": train_, **options})


@pytest.fixture(scope="module")
def taught(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that knows two answers by heart; looked over while it learnt."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("taught")
    task = source(root).load(folder)
    examples = list(trajectories(task, Teacher(), RECIPE))
    assert len(examples) == 2
    samples = SampleConfig(every=50, task=source(root, "val"), recipe=RECIPE, shown=1, max_new_tokens=60)
    settings = replace(TINY, model=lessons.model(folder / "base"), samples=samples)
    train(settings, examples, folder / "sft", progress=False)
    return folder / "sft"


def test_the_checkpoint_says_by_heart_what_it_was_taught(taught: Path, root: Path, tmp_path: Path) -> None:
    """Through `local:FOLDER` and the product's reranker: what is trained is what is served."""
    log = [line for line in read_log(taught / PLACE) if "loss" in line]
    assert log[-1]["loss"] < 0.1 < 1 < log[0]["loss"] and log[-1]["token_accuracy"] > 0.98
    policy = load_policy(f"local:{taught}")
    task = source(root).load(tmp_path)
    wire = RECIPE.wire(task, policy)
    gallery = list(task.pool)
    for topic in task.topics:
        ranking = Reranker(policy, toolbox=lessons.toolbox(), wire=wire).rerank(topic.query, gallery)
        scripted = Reranker(ScriptedPolicy(lessons.script), toolbox=lessons.toolbox(), wire=wire)
        assert ranking.traces[0].turns[0].text == scripted.rerank(topic.query, gallery).traces[0].turns[0].text
        assert ranking.ids[0] in topic.relevant and ranking.usage.tool_calls == 1


def test_looks_over_the_shoulder_are_pages_and_figures(taught: Path) -> None:
    """Before the first step it knows nothing; after the last it is right, keeps the format and looks."""
    looked = {line["step"]: line for line in read_log(taught / PLACE) if "hit@1" in line}
    assert list(looked) == [0, 50, 80]
    assert looked[0]["format_valid"] == looked[0]["tool_rate"] == 0
    assert looked[80]["hit@1"] == looked[80]["format_valid"] == looked[80]["tool_rate"] == 1
    pages = sorted((taught / PLACE / PAGES).iterdir())
    assert [page.name for page in pages] == ["step-000000.html", "step-000050.html", "step-000080.html"]
    assert "step 80" in pages[-1].read_text() and "may be it" in pages[-1].read_text()


def test_looking_changes_nothing_of_the_training(taught: Path, root: Path, tmp_path: Path) -> None:
    task = source(root).load(tmp_path)
    examples = list(trajectories(task, Teacher(), RECIPE))
    curves = []
    for every in (0, 1):
        samples = SampleConfig(every=every, task=source(root, "val"), recipe=RECIPE, shown=0, max_new_tokens=4)
        settings = replace(
            TINY, model=str(taught), samples=samples, max_steps=3, log_every=1, lora_rank=2, lora_dropout=0.4
        )
        train(settings, examples, tmp_path / str(every), progress=False)
        curves.append([line["loss"] for line in read_log(tmp_path / str(every) / PLACE) if "loss" in line])
    assert curves[0] == curves[1] and len(curves[0]) == 3


def test_rollouts_are_sampled_kept_and_trained_on(taught: Path, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = rsft(config(root), taught, out, progress=False)
    assert record.stage == "rsft" and record.parent == str(taught)
    yields = {name: Yield(**one) for name, one in json.loads((out / ROLLOUTS / "yields.json").read_text()).items()}
    (found,) = yields.values()
    assert (found.queries, found.rollouts) == (2, 6) and 2 <= found.kept <= 4 and found.kept == record.facts["examples"]
    assert len(list((out / ROLLOUTS / "0").glob("*.jsonl"))) == 3  # one trace file for each rollout
    assert Checkpoint.read(out).prompt_hashes.keys() == Checkpoint.read(taught).prompt_hashes.keys()
    # Again: nothing is sampled and nothing is trained anew; another setting is refused.
    before = (out / "model.safetensors").stat().st_mtime_ns
    assert rsft(config(root), taught, out, progress=False) == record
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InvalidInput, match="made with other settings: learning_rate was"):
        rsft(config(root, train=TINY), taught, out, progress=False)
    (out / "vretrver.json").unlink()  # cut off after its rollouts
    with pytest.raises(InvalidInput, match="made with other settings: sampling was"):
        rsft(config(root, sampling=Sampling(temperature=0.9)), taught, out, progress=False)


def test_what_stage_two_refuses(taught: Path, root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"no finished checkpoint of `vretrver train`"):
        rsft(config(root), taught.parent / "base", tmp_path / "a", progress=False)
    with pytest.raises(InvalidInput, match=r"learnt the system prompt .* give the tools, max_tool_turns and boxes"):
        rsft(config(root, recipe=replace(RECIPE, tools="select,zoom")), taught, tmp_path / "b", progress=False)
    for name in ("queries.jsonl", "queries.test.jsonl"):
        (root / name).write_text((root / "queries.val.jsonl").read_text())
    with pytest.raises(InvalidInput, match="is its test split; nothing is trained or chosen on one"):
        rsft(replace(config(root), tasks=(source(root, "test"),)), taught, tmp_path / "c", progress=False)
    strict = replace(config(root).rules, looks=2)  # it looks once
    with pytest.raises(InvalidInput, match=r"no rollout was fit to be learned from; .*yields\.json counts what"):
        rsft(config(root, rules=strict), taught, tmp_path / "d", progress=False)
    assert json.loads((tmp_path / "d" / ROLLOUTS / "yields.json").read_text())


@pytest.mark.parametrize(
    ("options", "why"),
    [({"temperature": 0.0}, "temperature is 0.0; it must be above 0"), ({"cap": 0}, "cap is 0; it must be 1 or more")],
)
def test_sampling_out_of_range(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        Sampling(**options)


def test_figures_by_hand(paint: Callable[..., str]) -> None:
    """Of four: one right and looked, one right without a look, one wrong, one without an answer."""
    answers: list[Callable[[Conversation], str]] = [
        lessons.script,
        lambda _asked: "<think>x</think><answer>[1, 2, 3]</answer>",
        lambda _asked: "<think>x</think><answer>[2, 1, 3]</answer>",
        lambda _asked: "no idea",
    ]
    rankings = [
        Reranker(ScriptedPolicy(answer), toolbox=lessons.toolbox()).rerank(Query("red"), lessons.documents(paint))
        for answer in answers
    ]
    # Without an answer the incoming order stands, and "red" is its first.
    assert figures(rankings, [{"red"}] * 4) == {"hit@1": 0.75, "format_valid": 0.75, "tool_rate": 0.25}

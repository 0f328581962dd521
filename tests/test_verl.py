"""The rollouts that verl would train, fed by hand; and verl's own loop around them where verl is installed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lessons
from vretrver.errors import InvalidInput, RecordError
from vretrver.messages import ToolCall
from vretrver.policies.local.loading import load_processor
from vretrver.protocol import render_answer, render_tool_call, render_window
from vretrver.tools import Gallery
from vretrver.trace import StopReason
from vretrver.training.config import from_mapping
from vretrver.training.examples import example_of
from vretrver.training.parquet import Row, write_rows
from vretrver.training.rewards import Score, load_reward
from vretrver.training.rows import Collator
from vretrver.training.verl.groups import Groups, group_size
from vretrver.training.verl.playing import Play, Stage
from vretrver.training.verl.settings import Asking
from vretrver.types import Candidate, Query, Window

ROOT = Path(__file__).parents[1]
Paint = Callable[..., str]
LOOK = render_tool_call(ToolCall("select_images", {"target_images": [1, 2]}), "(1) may be it.")
END = "<|im_end|>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lessons.model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def record(paint: Paint, tmp_path: Path) -> dict[str, Any]:
    """A row as the parquet file holds it: red, words, green; red is right."""
    import pyarrow.parquet as pq

    documents = lessons.documents(paint)
    window = Window(Query("red"), tuple(Candidate(one, 1 / at, at) for at, one in enumerate(documents, 1)))
    opening = render_window(window, Gallery({}), lessons.toolbox(), 2, lessons.WIRE)
    write_rows(tmp_path / "rl.parquet", [Row.of("q1", window, [0], opening)], tmp_path)
    (row,) = pq.read_table(tmp_path / "rl.parquet").to_pylist()
    return {name: row[name] for name in ("data_source", "ability", "reward_model", "extra_info")}


@pytest.fixture
def stage(model: str, tmp_path: Path) -> Stage:
    from transformers import AutoConfig

    processor = load_processor(model, AutoConfig.from_pretrained(model))
    return Stage(asking(tmp_path), processor, "tiny", 600)


def asking(root: Path, **more: Any) -> Asking:
    pixels = lessons.WIRE.window_pixels
    return Asking(str(root), "select_images", boxes=lessons.WIRE.boxes, window_pixels=pixels, **more)


def tokens(stage: Stage, text: str, end: str = END) -> list[int]:
    return list(stage.maker.writer.tokenizer(text + end, add_special_tokens=False).input_ids)


def played(stage: Stage, record: dict[str, Any], *texts: str) -> Play:
    play = stage.begin(record)
    for text in texts:
        play.feed(tokens(stage, text, "" if "<tool_call>" in text else END))
    return play


def test_a_rollout_has_the_tokens_that_stage_one_trains(stage: Stage, record: dict[str, Any]) -> None:
    play = played(stage, record, LOOK, render_answer([0, 2, 1], "(1) is red."))
    assert play.done and play.trace.stop is StopReason.ANSWERED and play.judged.relevant == {1}
    habits = stage.asking.habits
    example = example_of(play.trace, habits.toolbox, boxes=habits.wire.boxes, window_pixels=habits.wire.window_pixels)
    (row,) = stage.maker.rows(example)
    ids = Collator([row], stage.maker).encode(row)["input_ids"].tolist()
    assert play.tape.ids == ids
    said = [tokens(stage, LOOK, ""), tokens(stage, render_answer([0, 2, 1], "(1) is red."))]
    drawn = [number for number, mine in zip(ids[play.tape.opening :], play.tape.trained, strict=True) if mine]
    assert drawn == said[0] + said[1]
    assert stage.maker.picture in ids[play.tape.opening :] and stage.maker.picture not in drawn
    assert len(play.pictures()) == len(play.tape.views) == 4
    assert load_reward("paper")([play.judged])[0].total == pytest.approx(1.2)


def test_a_call_that_is_refused_is_heard(stage: Stage, record: dict[str, Any]) -> None:
    wrong = render_tool_call(ToolCall("select_images", {"target_images": [9]}), "I look.")
    play = played(stage, record, wrong)
    assert not play.done and play.trace.tool_calls == 1
    heard = stage.maker.writer.tokenizer.decode(play.tape.ids[play.tape.opening :])
    assert "Your action is not valid" in heard and sum(play.tape.trained) == len(tokens(stage, wrong, ""))


def test_what_is_shown_beyond_the_longest_response_ends_the_rollout(stage: Stage, record: dict[str, Any]) -> None:
    stage.most_tokens = len(tokens(stage, LOOK, "")) + 5
    play = played(stage, record, LOOK)
    assert play.done and play.trace.stop is StopReason.POLICY_ERROR and "longer than" in (play.trace.error or "")
    assert play.tape.ids[play.tape.opening :] == tokens(stage, LOOK, "") and all(play.tape.trained)
    assert len(play.tape.trained) == len(play.tape.logprobs) and len(play.tape.views) == 2
    assert load_reward("ours")([play.judged])[0].total < 0


def test_a_turn_may_take_what_room_there_is(stage: Stage, record: dict[str, Any]) -> None:
    play = stage.begin(record)
    assert play.options["max_tokens"] == 600 and len(play.options["stop_token_ids"]) == 3
    play.feed(tokens(stage, LOOK, ""))
    assert play.options["max_tokens"] == 600 - (len(play.tape.ids) - play.tape.opening)
    assert stage.maker.picture in play.options["logit_bias"]


def test_a_damaged_candidate_is_shown_without_its_picture(stage: Stage, record: dict[str, Any], tmp_path: Path) -> None:
    good = (tmp_path / "green.png").read_bytes()
    (tmp_path / "green.png").write_bytes(good[: len(good) // 2])
    play = stage.begin(record)
    assert len(play.tape.views) == 1 and "which cannot be read" in play.trace.repairs[0]


def test_what_is_no_row_is_refused(stage: Stage, record: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="extra_info"):
        stage.begin({"extra_info": None})
    outside = record["extra_info"] | {"candidate_images": ["../up.png", None, "green.png"]}
    with pytest.raises(RecordError):
        stage.begin(record | {"extra_info": outside})
    empty = record["extra_info"] | {"candidate_images": [], "candidate_texts": [], "candidate_ids": []}
    with pytest.raises(RecordError, match="right position"):
        stage.begin(record | {"extra_info": empty})
    with pytest.raises(InvalidInput, match="did you mean 'reward'"):
        from_mapping(Asking, {"root": ".", "rewards": "ours"}, "asking")
    with pytest.raises(InvalidInput, match="unknown reward"):
        asking(tmp_path, reward="mine")


# -- groups


class _ByPlace:
    name = "by-place"

    def __call__(self, group: Any) -> list[Score]:
        return [Score(float(len(group)), {"calls": float(one.trace.tool_calls)}) for one in group]


def test_rollouts_of_a_group_wait_for_the_last_one(stage: Stage, record: dict[str, Any]) -> None:
    looks, rests = played(stage, record, LOOK).judged, played(stage, record).judged

    async def meet() -> None:
        groups = Groups(_ByPlace())
        one = asyncio.ensure_future(groups.score("a", 3, looks))
        other = asyncio.ensure_future(groups.score("b", 1, rests))
        await asyncio.sleep(0)
        assert (await other).total == 1 and not one.done()
        two = asyncio.ensure_future(groups.score("a", 3, rests))
        await asyncio.sleep(0)
        groups.leave("a", 3)
        assert [(await each).terms["calls"] for each in (one, two)] == [1, 0] and (await two).total == 2
        groups.leave("c", 1)  # nobody is left

    asyncio.run(meet())


def test_a_reward_that_fails_is_heard_by_all(stage: Stage, record: dict[str, Any]) -> None:
    judged = played(stage, record).judged

    def broken(group: Any) -> list[Score]:
        raise InvalidInput("no")

    async def meet() -> list[Any]:
        groups = Groups(broken)  # type: ignore[arg-type]
        return await asyncio.gather(*(groups.score("a", 2, judged) for _ in range(2)), return_exceptions=True)

    assert [str(one) for one in asyncio.run(meet())] == ["no", "no"]


def test_the_size_of_a_group() -> None:
    warm, cold = {"temperature": 1.0, "top_p": 1.0, "top_k": -1}, {"temperature": 0, "top_p": 1.0, "top_k": -1}
    rollout = SimpleNamespace(n=8, **warm, val_kwargs=SimpleNamespace(n=1, **cold))
    assert group_size({**warm, "logprobs": True}, rollout) == 8 and group_size(cold, rollout) == 1
    rollout.val_kwargs = SimpleNamespace(n=1, **warm)
    with pytest.raises(InvalidInput, match="sample differently"):
        group_size(warm, rollout)
    rollout.val_kwargs.n = 8
    assert group_size(warm, rollout) == 8


# -- verl itself


class _Server:
    """Stands where verl's servers do: looks, then ranks; every other rollout ranks at once."""

    def __init__(self, stage: Stage, token_output: Any) -> None:
        self.stage, self.token_output = stage, token_output
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def generate(self, request_id: str, **asked: Any) -> Any:
        first = request_id not in [name for name, _ in self.asked]
        turn = len({name for name, _ in self.asked})
        self.asked.append((request_id, asked))
        text = LOOK if first and turn % 2 else render_answer([0, 2, 1], "(1) is red.")
        ids = tokens(self.stage, text, "" if text == LOOK else END)
        return self.token_output(token_ids=ids, log_probs=[-0.5] * len(ids), extra_fields={"global_steps": 1})


def test_verl_runs_the_loop(stage: Stage, model: str, record: dict[str, Any], tmp_path: Path) -> None:
    loops = pytest.importorskip("verl.experimental.agent_loop.agent_loop", reason="verl is not installed")
    import torch

    hydra, omegaconf = pytest.importorskip("hydra"), pytest.importorskip("omegaconf")
    dataset = pytest.importorskip("verl.utils.dataset.rl_dataset").RLHFDataset
    output_kind = pytest.importorskip("verl.workers.rollout.replica").TokenOutput
    (given,) = omegaconf.OmegaConf.load(ROOT / "runs" / "verl" / "agent_loop.yaml")
    given.asking = {"root": str(tmp_path), "tools": "select_images", "boxes": "qwen2.5-vl", "reward": "released"}
    given.asking |= {"window_pixels": 56 * 56, "max_new_tokens": 64, "traces": str(tmp_path / "traces")}
    rollout: dict[str, Any] = {
        "prompt_length": 1000,
        "response_length": 600,
        "n": 4,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": -1,
    }
    rollout |= {"val_kwargs": {"n": 1, "temperature": 0, "top_p": 1.0, "top_k": -1}}
    config = omegaconf.OmegaConf.create(
        {"actor_rollout_ref": {"rollout": rollout, "model": {"path": model}}, "data": {}}
    )
    server = _Server(stage, output_kind)

    async def group() -> list[Any]:
        made = [
            hydra.utils.instantiate(
                config=given,
                trainer_config=loops.DictConfigWrap(config=config),
                server_manager=server,
                tokenizer=stage.maker.writer.tokenizer,
                processor=stage.maker.writer.processor,
                hf_model_type="qwen2_5_vl",
                dataset_cls=dataset,
                data_config=loops.DictConfigWrap(config=config.data),
                tools=loops.ToolListWrap([]),
            )
            for _ in range(4)
        ]
        sampling = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}
        row = {**record, "raw_prompt": [], "index": 0, "uid": "u", "global_steps": 1, "tools_kwargs": {}}
        return await asyncio.gather(*(one.run(dict(sampling), session_id=at, **row) for at, one in enumerate(made)))

    data = omegaconf.OmegaConf.create({"filter_overlong_prompts": False})
    tokenizer, processor = stage.maker.writer.tokenizer, stage.maker.writer.processor
    rows = dataset([str(tmp_path / "rl.parquet")], tokenizer, data, processor=processor)
    read = rows[0]
    assert len(rows) == 1 and read["extra_info"] == record["extra_info"]
    outputs = asyncio.run(group())
    # Two of four look: released pays .6 x (.6 - .5) = .06 for it; all are right: 1, and 1.06.
    assert sorted(round(output.reward_score, 6) for output in outputs) == [1, 1, 1.06, 1.06]
    for output in outputs:
        made = output.as_dict()
        assert made["responses"].shape == made["response_mask"].shape == made["rollout_log_probs"].shape
        assert float(made["rm_scores"].sum()) == pytest.approx(output.reward_score)
        looked = output.extra_fields["reward_extra_info"]["calls"]
        assert looked in (0, 1) and output.num_turns == 2 + 2 * looked
        assert len(output.multi_modal_data["images"]) == 2 + 2 * looked
        drawn = made["responses"][made["response_mask"].bool()].tolist()
        assert stage.maker.picture not in drawn
        worker = SimpleNamespace(processor=processor, tokenizer=tokenizer, _get_mm_processor_kwargs=lambda audios: {})
        ids = torch.tensor([output.prompt_ids + output.response_ids])
        tensors = loops.AgentLoopWorker._compute_multi_modal_inputs(worker, output, ids)
        assert tensors["image_grid_thw"].prod(dim=1).sum() == 4 * (ids == stage.maker.picture).sum()
        assert (made["rollout_log_probs"] == -0.5).sum() == made["response_mask"].sum()
    asked = [one for _, one in server.asked]
    assert len(asked) == 6 and all(one["sampling_params"]["max_tokens"] == 64 for one in asked)
    (kept,) = (tmp_path / "traces").glob("*.jsonl")
    assert [json.loads(line)["reward"] for line in kept.read_text().splitlines()]


class _Queue:
    """Stands where TransferQueue does, which needs Ray."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.rewards: dict[str, float] = {}

    async def async_kv_put(self, key: str, partition_id: str, tag: dict[str, str]) -> None:
        self.status[key] = tag["status"]

    async def async_kv_batch_put(self, keys: list[str], fields: Any, tags: Any, partition_id: str) -> None:
        self.rewards |= {key: round(float(one.sum()), 6) for key, one in zip(keys, fields["rm_scores"], strict=True)}


def test_verls_own_worker_scores_whole_groups(
    stage: Stage, model: str, record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_module = pytest.importorskip("verl.trainer.ppo.v1.agent_loop_tq", reason="verl is not installed")
    loops = pytest.importorskip("verl.experimental.agent_loop.agent_loop")
    data = pytest.importorskip("tensordict")
    conf = pytest.importorskip("omegaconf").OmegaConf
    import torch

    (given,) = conf.load(ROOT / "runs" / "verl" / "agent_loop.yaml")
    given.asking = {"root": str(tmp_path), "tools": "select_images", "boxes": "qwen2.5-vl", "reward": "released"}
    given.asking |= {"window_pixels": 56 * 56}
    monkeypatch.setitem(loops._agent_loop_registry, given.name, given)
    monkeypatch.setattr(worker_module, "tq", queue := _Queue())
    sampling = {"temperature": 1.0, "top_p": 1.0, "top_k": -1}
    rollout: dict[str, Any] = {"prompt_length": 1000, "response_length": 600, "n": 4, **sampling}
    rollout |= {"calculate_log_probs": True}
    rollout |= {"agent": {"default_agent_loop": given.name}, "val_kwargs": {"n": 1, **sampling, "temperature": 0}}
    config = conf.create({"actor_rollout_ref": {"rollout": rollout, "model": {"path": model}}, "data": {}})
    kind = worker_module.AgentLoopWorkerTQ.__ray_metadata__.modified_class
    worker = kind.__new__(kind)  # its __init__ begins with Ray
    processor = stage.maker.writer.processor
    worker.__dict__ |= {
        "config": config,
        "rollout_config": config.actor_rollout_ref.rollout,
        "llm_client": _Server(stage, pytest.importorskip("verl.workers.rollout.replica").TokenOutput),
        "processor": processor,
        "tokenizer": processor.tokenizer,
        "hf_model_type": "qwen2_5_vl",
        "dataset_cls": pytest.importorskip("verl.utils.dataset.rl_dataset").RLHFDataset,
        "background_tasks": set(),
        **dict.fromkeys(("teacher_client", "reward_loop_worker_handles")),
        **{"mm_processor_kwargs": {}, "distillation_enabled": False, "tools": []},
    }
    rows = [record | {"uid": name, "raw_prompt": [], "index": 0} for name in ("a", "b")]
    batch = data.TensorDict({"dummy_tensor": torch.zeros(2, 1)}, batch_size=2)
    for key in rows[0]:
        batch[key] = data.NonTensorStack(*(data.NonTensorData(row[key]) for row in rows))
    batch["index"], batch["global_steps"] = torch.zeros(2, dtype=torch.long), data.NonTensorData(1)

    async def generate() -> None:
        await worker.generate_sequences(batch)
        while worker.background_tasks:
            await asyncio.gather(*worker.background_tasks)

    asyncio.run(generate())
    assert queue.status == {"a": "finished", "b": "finished"}
    for name in ("a", "b"):  # two of four look, all are right: see above
        assert sorted(queue.rewards[f"{name}_{number}_0"] for number in range(4)) == [1, 1, 1.06, 1.06]


def test_verl_knows_every_key_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("verl", reason="verl is not installed")
    hydra = pytest.importorskip("hydra")
    monkeypatch.setenv("VRETRVER_ROWS", "rows.parquet")
    with hydra.initialize_config_dir(str(ROOT / "runs" / "verl"), version_base=None):
        config = hydra.compose("eapo")
    ours = pytest.importorskip("omegaconf").OmegaConf.load(ROOT / "runs" / "verl" / "eapo.yaml")
    with hydra.initialize_config_module("verl.trainer.config", version_base=None):
        stock = hydra.compose("ppo_trainer")
    keys = [key for key in _leaves(ours) if key.split(".")[0] not in ("hydra", "defaults")]
    missing = pytest.importorskip("omegaconf").OmegaConf.missing_keys(stock)
    for key in keys:
        parent, _, name = key.rpartition(".")
        found = pytest.importorskip("omegaconf").OmegaConf.select(stock, parent)
        assert name in found or key in missing, key
    assert config.data.val_files == "rows.parquet" and config.actor_rollout_ref.rollout.prompt_length == 12288
    assert config.actor_rollout_ref.actor.optim.lr == 1e-6 and config.actor_rollout_ref.actor.rollout_n == 8


def _leaves(config: Any, above: str = "") -> list[str]:
    found = []
    for key in config:
        held, name = config._get_node(key), f"{above}{key}"
        inner = hasattr(held, "keys")
        found += _leaves(held, f"{name}.") if inner else [name]
    return found

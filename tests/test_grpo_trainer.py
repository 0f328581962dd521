"""What TRL is handed: log-probabilities in any batch, what is masked; greedy rollouts are what `local:` says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import lessons
from test_grpo_tapes import ANSWER, BAD, LOOK, Script, exercise, maker
from vretrver.errors import InvalidInput
from vretrver.policies.local import LocalPolicy
from vretrver.policies.local.loading import Loaded, load
from vretrver.reranker import Reranker
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Player, Rollout
from vretrver.training.grpo.settings import Optimising, Sampling
from vretrver.training.grpo.tapes import Recorder
from vretrver.training.grpo.trainer import arguments_of, make_trainer, require_trl
from vretrver.training.grpo.writers import Transformers, Vllm, collapsed, vllm_options
from vretrver.training.rewards import load_reward
from vretrver.training.trainer import quiet_libraries

pytest.importorskip("trl", reason="the extra [train] is not installed")
# One library about another's old names; `quiet_libraries` hides it where the product runs.
pytestmark = pytest.mark.filterwarnings("ignore:.*will be removed in v6:FutureWarning")

Paint = Callable[..., str]
TRAIN = Optimising(precision="float32", gradient_checkpointing=False, batch=4, micro_batch=4, max_steps=1)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    import torch

    torch.set_num_threads(1)
    return load(lessons.model(tmp_path / "base"), device="cpu")


def rollouts(loaded: Loaded, paint: Paint, scripts: Sequence[Sequence[str]]) -> list[Rollout]:
    making = maker(loaded)
    found: list[Rollout] = []
    for texts in scripts:
        player = Player(
            Recorder(making, "t"), Pixels(making, "t"), Script(making, texts), load_reward("paper"), max_tokens=4000
        )
        (group,) = player.groups([exercise(paint)], 1, 0, 3)
        found += group.rollouts
    return found


def trainer_of(loaded: Loaded, drawn: Sequence[Rollout], learnt: Sequence[bool], folder: Path, **options: Any) -> Any:
    sampling = Sampling(rollouts=len(drawn) // 2)
    settings = replace(TRAIN, **options)
    pixels = Pixels(maker(loaded), "t")
    with quiet_libraries():
        return make_trainer(
            arguments_of(settings, sampling, 1, folder),
            settings,
            loaded,
            pixels=pixels,
            draw=lambda _step, _count: (drawn, learnt, {}),
            callbacks=[],
        )


def test_log_probabilities_are_those_of_each_rollout_alone(loaded: Loaded, paint: Paint, tmp_path: Path) -> None:
    """Of different lengths and with different pictures, padded on both sides; and masks hold what was drawn."""
    import torch

    drawn = rollouts(loaded, paint, [[ANSWER], [LOOK, ANSWER], [LOOK, BAD, ANSWER], [BAD, ANSWER]])
    trainer = trainer_of(loaded, drawn, [True, True, True, False], tmp_path / "out")
    batch = trainer._generate_and_score_completions([{"prompt": ""} for _one in drawn])
    assert batch["num_images"] == [2, 4, 4, 2] and len(batch["image_grid_thw"]) == 12
    assert batch["advantages"].view(2, 2).sum(dim=1).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    mask = batch["tool_mask"] * batch["completion_mask"]
    assert mask.sum(dim=1).tolist() == [*(one.tape.drawn for one in drawn[:3]), 0]  # the last group is masked out
    assert int(batch["num_items_in_batch"]) == sum(one.tape.drawn for one in drawn[:3])
    keep = batch["completion_ids"].shape[1]
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    attention = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    seen = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")
    with torch.no_grad():
        together = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, attention, keep, **{name: batch[name] for name in seen}
        )[0]
        model = loaded.model.eval()
        for at, one in enumerate(drawn):
            tape = one.tape
            inputs = Pixels(maker(loaded), "t").inputs(torch.tensor([tape.ids]), [tape.views])
            inputs.pop("num_images")
            logits = model(input_ids=torch.tensor([tape.ids]), **inputs).logits[0, :-1].float()
            alone = logits.log_softmax(-1).gather(1, torch.tensor(tape.ids[1:])[:, None])[:, 0]
            trained = torch.tensor(tape.trained)
            ours = together[at][: len(tape.trained)][trained]
            assert torch.allclose(ours, alone[tape.opening - 1 :][trained], atol=2e-5)


@pytest.mark.parametrize("options", [{"iterations": 2}, {"beta": 0.1, "lora_rank": 2}], ids=str)
def test_what_trl_scores_beforehand_sees_the_pictures(
    loaded: Loaded, paint: Paint, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Before any step the old and the reference model are the model itself: ratios are 1 and nothing has diverged."""
    import torch

    drawn = rollouts(loaded, paint, [[ANSWER], [LOOK, ANSWER], [LOOK, BAD, ANSWER], [BAD, ANSWER]])
    trainer = trainer_of(loaded, drawn, [True] * 4, tmp_path / "out", save_every=0, **options)
    trainer.model.train()
    batch = trainer._prepare_inputs([{"prompt": ""} for _one in drawn])
    scored = batch["old_per_token_logps" if "iterations" in options else "ref_per_token_logps"]
    keep = batch["completion_ids"].shape[1]
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    attention = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    seen = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")
    with torch.no_grad():
        now = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, attention, keep, **{name: batch[name] for name in seen}
        )[0]
    mask = (batch["tool_mask"] * batch["completion_mask"]).bool()
    assert torch.allclose(now[mask], scored[mask], atol=2e-5) and mask.any()


def test_micro_batches_without_pictures_are_trained_beside_others(loaded: Loaded, paint: Paint, tmp_path: Path) -> None:
    """One rollout at a time, two of them of texts alone; scored beforehand and in the loss."""
    drawn = rollouts(loaded, paint, [[ANSWER], [LOOK, ANSWER]])
    plain = exercise(paint)
    texts = tuple(replace(one, document=replace(one.document, image=None, text="a note")) for one in plain.candidates)
    making = maker(loaded)
    for text in (ANSWER, BAD.split("<tool_call>", maxsplit=1)[0]):
        player = Player(
            Recorder(making, "t"), Pixels(making, "t"), Script(making, [text]), load_reward("paper"), max_tokens=4000
        )
        drawn += player.groups([replace(plain, candidates=texts)], 1, 0, 3)[0].rollouts
    trainer = trainer_of(loaded, drawn, [True] * 4, tmp_path / "out", micro_batch=1, iterations=2, save_every=0)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 4
    shown = []
    for step in range(4):
        trainer._step = step
        batch = trainer._prepare_inputs([{"prompt": ""} for _one in drawn])
        shown += batch["num_images"]
        loss = trainer.compute_loss(trainer.model, batch)
        assert math.isfinite(float(loss.detach()))
    assert sorted(shown) == [0, 0, 2, 4]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_rollout_without_chance_is_what_local_says(paint: Paint, tmp_path: Path, family: Any) -> None:
    """The same turns, to the letter, as the product's reranker with `local:` in its greedy way.

    Pictures go through the eye once in both; in Qwen3-VL every time.
    """
    loaded = load(lessons.model(tmp_path / "base", family), device="cpu")
    making = maker(loaded)
    pixels = Pixels(making, "t")
    sampling = Sampling(temperature=1e-4, max_new_tokens=12, batch=3)
    writer = Transformers(lambda: loaded.model, making, sampling, "t", pixels=pixels, autocast=nullcontext)
    player = Player(Recorder(making, "t"), pixels, writer, load_reward("paper"), max_tokens=4000)
    asked = [exercise(paint, name) for name in ("red", "green")]
    groups = player.groups(asked, 2, 0, 3)
    policy = LocalPolicy(loaded, wire=lessons.WIRE, max_new_tokens=12)
    served = Reranker(policy, toolbox=lessons.toolbox(), wire=lessons.WIRE)
    for one, group in zip(asked, groups, strict=True):
        (trace,) = served.rerank(one.topic.query, list(one.candidates)).traces
        for rollout in group.rollouts:
            assert [turn.text for turn in rollout.trace.turns] == [turn.text for turn in trace.turns]
            assert rollout.trace.order == trace.order and rollout.trace.usage.tokens == trace.usage.tokens
            assert making.picture not in rollout.tape.ids[rollout.tape.opening :]


def test_draws_do_not_depend_on_who_is_beside_them(loaded: Loaded, paint: Paint) -> None:
    making = maker(loaded)
    pixels = Pixels(making, "t")
    found = []
    for batch in (1, 4):
        sampling = Sampling(temperature=1.0, max_new_tokens=10, batch=batch)
        writer = Transformers(lambda: loaded.model, making, sampling, "t", pixels=pixels, autocast=nullcontext)
        player = Player(Recorder(making, "t"), pixels, writer, load_reward("paper"), max_tokens=4000, seed=5)
        (group,) = player.groups([exercise(paint)], 4, 0, 1)
        found.append([one.tape.ids for one in group.rollouts])
    assert found[0] == found[1] and len({tuple(ids) for ids in found[0]}) == 4


def test_vllm_is_told_where_turns_end_and_what_is_never_drawn(loaded: Loaded) -> None:
    making = maker(loaded)
    told = vllm_options(making, Sampling(max_new_tokens=7))
    tokens = making.writer.tokenizer
    assert told["max_tokens"] == 7 and told["stop_token_ids"][0] == tokens.convert_tokens_to_ids("</tool_call>")
    assert tokens.eos_token_id in told["stop_token_ids"] and tokens.eos_token_id not in told["logit_bias"]
    assert told["logit_bias"][making.picture] == -100.0


@dataclass
class Served:
    """Stands for TRL's `VLLMGeneration`: writes one text, and keeps what it was handed."""

    ids: list[int]
    prompts: list[list[int]] = field(default_factory=list)
    images: Any = None

    def generate(self, prompts: list[list[int]], images: Any, num_generations: int) -> tuple[Any, ...]:
        assert num_generations == 1
        self.prompts, self.images = prompts, images
        said = [[None if at == 1 else -0.5] for at in range(len(self.ids))]
        return prompts, [self.ids] * len(prompts), [said] * len(prompts), None


@pytest.mark.parametrize("backend", ["vllm-server", "vllm-colocate"])
def test_vllm_is_handed_the_tape(loaded: Loaded, paint: Paint, backend: Any) -> None:
    """A server as it stands; a colocated one with each picture as one token, for it lengthens them itself."""
    making = maker(loaded)
    tokenizer = making.writer.tokenizer
    served = Served([*tokenizer(ANSWER).input_ids, tokenizer.eos_token_id])
    writer = Vllm(lambda: loaded.model, making, Sampling(backend=backend), "t", lambda: served)
    recorder = Recorder(making, "t")
    player = Player(recorder, Pixels(making, "t"), writer, load_reward("paper"), max_tokens=4000)
    one = exercise(paint)
    (group,) = player.groups([one], 2, 0, 3)
    opening = recorder.opened(one.begun(None).seats[0].episode.conversation.messages)
    due = opening.ids if backend == "vllm-server" else list(collapsed(opening, making))
    assert served.prompts == [due] * 2 and [len(row) for row in served.images] == [2, 2]
    tape = group.rollouts[0].tape
    assert group.right == 1.0 and tape.drawn == len(served.ids) and tape.ids[tape.opening :] == served.ids
    assert tape.logprobs[0] == -0.5 and math.isnan(tape.logprobs[1])  # TRL takes NaN for what was not scored
    assert writer([], []) == []


def test_processes_hold_whole_groups_and_whole_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_trl()
    with pytest.raises(InvalidInput, match="in groups of 3, it must be a multiple of 4 and of 3"):
        arguments_of(TRAIN, Sampling(rollouts=3), 1, tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")  # as `accelerate launch` sets it
    with pytest.raises(InvalidInput, match=r'set sampling\.backend = "vllm-server"'):
        arguments_of(TRAIN, Sampling(rollouts=4), 1, tmp_path)

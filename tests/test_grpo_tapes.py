"""Rollouts as tokens: what is trained is what is served and what stage I trains, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lessons
from vretrver.budget import Budget
from vretrver.datasets import Topic
from vretrver.errors import InvalidInput
from vretrver.policies.local.generation import Written
from vretrver.policies.local.loading import Loaded, load
from vretrver.policies.local.prompts import Prompt, PromptWriter
from vretrver.reranking import Rules
from vretrver.trace import StopReason
from vretrver.training.examples import example_of
from vretrver.training.grpo.exercises import Exercise
from vretrver.training.grpo.figures import of_step, redundant_calls
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Group, Player, Rollout
from vretrver.training.grpo.tapes import Recorder, Tape
from vretrver.training.grpo.writers import Turn, collapsed
from vretrver.training.rewards import load_reward
from vretrver.training.rows import IGNORED, Collator, RowMaker
from vretrver.types import Candidate, Query
from vretrver.windows import load_planner

Paint = Callable[..., str]
CALL = '<think>(1) may be it.</think>\n<tool_call>{"name": "select_images", "arguments": {"target_images": [1, 2]}}'
LOOK = CALL + "</tool_call>"
ANSWER = "<think>(1) is red.</think>\n<answer>[1, 3, 2]</answer>"
BAD = '<think>x</think>\n<tool_call>{"name": "select_images", "arguments": {"target_images": [7]}}</tool_call>'


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    import torch

    torch.set_num_threads(1)
    return load(lessons.model(tmp_path_factory.mktemp("base")), device="cpu")


@dataclass
class Script:
    """A writer that writes given texts, turn by turn, in its tokenizer's own tokens; keeps what each turn had read."""

    maker: RowMaker
    texts: Sequence[str]
    ended: bool = True
    read: list[tuple[list[int], Prompt]] = field(default_factory=list)
    turns: int = 0

    def renew(self) -> None:
        """It has no weights."""

    def __call__(self, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Turn]:
        assert len(seeds) == len(tapes)
        if not tapes:
            return []
        text = self.texts[self.turns]
        self.turns += 1
        self.read += [(list(tape.ids), Prompt(tape.text, tuple(tape.views))) for tape in tapes]
        ids = self.maker.writer.tokenizer(text, add_special_tokens=False).input_ids
        ends = self.ended and not text.endswith("</tool_call>")
        ids = [*ids, self.maker.writer.tokenizer.eos_token_id] if ends else ids
        return [Turn(Written(tuple(ids), text, ended=ends)) for _tape in tapes]


def maker(loaded: Loaded) -> RowMaker:
    return RowMaker(PromptWriter(loaded.processor, loaded.name), loaded.name)


def exercise(paint: Paint, name: str = "red") -> Exercise:
    rules = Rules(load_planner("onepass:20"), lessons.toolbox(), 2, lessons.WIRE, "script", Budget())
    found = tuple(Candidate(one, 1.0 / rank, rank) for rank, one in enumerate(lessons.documents(paint), start=1))
    return Exercise(f"0/{name}", Topic(name, Query(name), {name: 1}), found, rules)


def played(loaded: Loaded, paint: Paint, texts: Sequence[str], size: int = 1, **options: Any) -> tuple[Group, Script]:
    making = maker(loaded)
    script = Script(making, texts, **options)
    player = Player(Recorder(making, "tiny"), Pixels(making, "tiny"), script, load_reward("paper"), max_tokens=4000)
    return player.groups([exercise(paint)], size, step=0, turns=3)[0], script


@pytest.mark.parametrize("texts", [[ANSWER], [LOOK, ANSWER], [LOOK, BAD, ANSWER]], ids=["answer", "look", "bad call"])
def test_a_tape_is_what_serving_sends_and_what_stage_one_trains(
    loaded: Loaded, paint: Paint, texts: Sequence[str]
) -> None:
    """To the token: prompts as `local:` sends them, the whole as a row of stage I, trained the turns and no more."""
    import torch

    group, script = played(loaded, paint, texts)
    (rollout,) = group.rollouts
    tape, making = rollout.tape, script.maker
    for ids, prompt in script.read:
        assert making.writer.inputs([prompt])["input_ids"][0].tolist() == ids
    toolbox = lessons.toolbox()
    example = example_of(rollout.trace, toolbox, boxes=lessons.WIRE.boxes, window_pixels=lessons.WIRE.window_pixels)
    messages = example.messages[:-1]
    assert [prompt for _ids, prompt in script.read][-1] == making.writer.prompt(messages)  # what `local:` would send
    (row,) = making.rows(example)
    encoded = Collator([row], making).encode(row)
    assert encoded["input_ids"].tolist() == tape.ids
    trained = [False] * tape.opening + tape.trained
    labels = (encoded["labels"] != IGNORED).tolist()
    apart = [at for at, pair in enumerate(zip(trained, labels, strict=True)) if pair[0] != pair[1]]
    # Stage I teaches the end of a turn after a call too; nobody draws it, serving stops at the call.
    end = making.writer.tokenizer.eos_token_id
    assert [tape.ids[at] for at in apart] == [end] * (len(texts) - 1) and not any(trained[at] for at in apart)
    assert not any(trained[at] for at, number in enumerate(tape.ids) if number == making.picture)
    drawn = making.writer.tokenizer.decode([n for n, yes in zip(tape.ids, trained, strict=True) if yes])
    assert drawn == "".join(texts) + "<|im_end|>"
    pixels = Pixels(making, "tiny").inputs(torch.tensor([tape.ids]), [tape.views])
    assert all(torch.equal(pixels[name], encoded[name]) for name in ("pixel_values", "image_grid_thw"))
    assert torch.equal(pixels["mm_token_type_ids"][0], encoded["mm_token_type_ids"])
    assert pixels["num_images"] == [row.pictures] and rollout.right and rollout.score.terms["format"] == 0.2


def test_what_the_episode_mends_is_read_on_but_not_trained(loaded: Loaded, paint: Paint) -> None:
    """A call left open is closed by the episode: the conversation goes on from the closed one, as at serving."""
    group, script = played(loaded, paint, [CALL, ANSWER])
    (rollout,) = group.rollouts
    for ids, prompt in script.read:
        assert script.maker.writer.inputs([prompt])["input_ids"][0].tolist() == ids
    said = rollout.trace.turns[0].text
    assert said == LOOK and "closed a tool call that was left open" in rollout.trace.repairs
    tape = rollout.tape
    drawn = [n for n, yes in zip(tape.ids[tape.opening :], tape.trained, strict=True) if yes]
    assert script.maker.writer.tokenizer.decode(drawn) == CALL + ANSWER + "<|im_end|>"


def test_a_turn_ended_by_another_token_goes_on_as_the_template_writes(loaded: Loaded, paint: Paint) -> None:
    making = maker(loaded)
    tokenizer = making.writer.tokenizer

    class Padded(Script):
        def __call__(self, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Turn]:
            return [
                Turn(Written((*turn.written.ids[:-1], tokenizer.pad_token_id), turn.written.text, ended=True))
                for turn in super().__call__(tapes, seeds)
            ]

    script = Padded(making, [BAD.removesuffix("</tool_call>"), ANSWER])
    player = Player(Recorder(making, "tiny"), Pixels(making, "tiny"), script, load_reward("paper"), max_tokens=4000)
    player.groups([exercise(paint)], 1, step=0, turns=3)
    for ids, prompt in script.read:
        assert making.writer.inputs([prompt])["input_ids"][0].tolist() == ids


def test_an_episode_that_grows_too_long_ends_without_an_answer(loaded: Loaded, paint: Paint) -> None:
    making = maker(loaded)
    script = Script(making, [LOOK, ANSWER])
    recorder = Recorder(making, "tiny")
    opening = len(recorder.opened(exercise(paint).begun(None).seats[0].episode.conversation.messages).ids)
    player = Player(recorder, Pixels(making, "tiny"), script, load_reward("paper"), max_tokens=opening + 20)
    (group,) = player.groups([exercise(paint)], 2, step=0, turns=3)
    assert [one.trace.stop for one in group.rollouts] == [StopReason.POLICY_ERROR] * 2 and group.flat
    assert group.rollouts[0].score.total == 0 and not group.rollouts[0].right
    assert "max_tokens is reached" in str(group.rollouts[0].trace.error)


def test_a_damaged_picture_of_a_candidate_is_left_out_as_at_serving(loaded: Loaded, paint: Paint) -> None:
    one = exercise(paint)
    path = Path(str(one.candidates[2].document.image.path))  # type: ignore[union-attr]
    path.write_bytes(path.read_bytes()[:-60])
    making = maker(loaded)
    script = Script(making, [ANSWER])
    player = Player(Recorder(making, "tiny"), Pixels(making, "tiny"), script, load_reward("paper"), max_tokens=4000)
    (group,) = player.groups([one], 1, step=0, turns=3)
    assert "is shown without its image" in group.rollouts[0].trace.repairs[0]
    assert len(group.rollouts[0].tape.views) == 1


def test_pictures_that_do_not_fit_their_tokens_are_refused(loaded: Loaded, paint: Paint) -> None:
    """TRL would drop the pictures of a whole batch without a word."""
    import torch

    group, script = played(loaded, paint, [LOOK, ANSWER])
    tape = group.rollouts[0].tape
    pixels = Pixels(script.maker, "tiny")
    with pytest.raises(InvalidInput, match="16 picture tokens where its 3 pictures take 12"):
        pixels.inputs(torch.tensor([tape.ids]), [tape.views[:-1]])
    assert list(collapsed(tape, script.maker)).count(script.maker.picture) == len(tape.views) == 4
    text = script.maker.writer.tokenizer(tape.text).input_ids  # its own words are the rest of the tape
    assert list(collapsed(tape, script.maker))[: len(text)] == text


def test_a_group_sees_one_order_and_another_step_another(loaded: Loaded, paint: Paint) -> None:
    making = maker(loaded)
    orders: list[tuple[str, ...]] = []
    for step in range(6):
        script = Script(making, [ANSWER])
        player = Player(
            Recorder(making, "t"), Pixels(making, "t"), script, load_reward("paper"), max_tokens=4000, shuffle=True
        )
        (group,) = player.groups([exercise(paint)], 3, step=step, turns=1)
        shown = {one.trace.candidates for one in group.rollouts}
        assert len(shown) == 1
        orders += shown
        again = exercise(paint).begun(Random(f"0:{step}:0:0:0/red")).seats[0].episode
        assert again.trace.candidates in shown
    assert len(set(orders)) > 2


def test_figures_by_hand(loaded: Loaded, paint: Paint) -> None:
    looked, _script = played(loaded, paint, [LOOK, LOOK, ANSWER])
    plain, _script = played(loaded, paint, [ANSWER])
    rollouts = (*looked.rollouts, *plain.rollouts)
    assert isinstance(rollouts[0], Rollout)
    group = Group(looked.exercise, rollouts)
    assert not group.flat and group.right == 1.0
    figures = of_step([group, plain], [group])
    # 0.2 + 0.8 each; with a tool 0.2 more, 0.1 less for the second call. Shown again at the same size: redundant.
    assert figures["reward"] == pytest.approx([1.1, 1.0, 1.0]) and figures["reward_std"] == pytest.approx([0.05, 0.0])
    assert figures["calls"] == [2.0, 0.0, 0.0] and figures["tool_rate"] == [1.0, 0.0, 0.0]
    assert figures["redundant_calls"] == [float(redundant_calls(rollouts[0].trace)), 0.0, 0.0] and figures["kept"] == [
        1
    ]
    assert figures["redundant_calls"][0] >= 1.0 and figures["zero_variance"] == [0.0, 1.0]
    words = len(_script.maker.writer.tokenizer(ANSWER).input_ids) + 1
    assert figures["length"][1:] == [words, words] and figures["format_valid"] == [1.0, 1.0, 1.0]

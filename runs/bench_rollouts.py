"""How fast rollouts are drawn and steps made, where the time goes, and what batching and a shared prefix are worth.

    python runs/bench_rollouts.py CKPT [CKPT ...] [--queries 4] [--size 8] [--rounds 3] [--steps 2]

CKPT is a checkpoint of stage I or II. The same groups are played in every way, interleaved over rounds, so that what
else the machine does strikes all ways alike; every way draws the same rollouts (checked: the share whose texts are the
same is printed, batches change the last digits). Seconds are the process's CPU seconds on one thread.

    one by one       one conversation in one generation, as a plain loop would
    group at once    as many together as a group has
    across groups    all of a step together
    pictures once    and each picture goes through the vision tower once: what `vretrver train eapo` does
    shared prefix    a query's prompt is read once for its group (first turn only; not in the product)
    vLLM             where it is importable
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from vretrver.policies.habits import habits_in
from vretrver.policies.local.loading import load
from vretrver.policies.local.prompts import PromptWriter
from vretrver.training.curves import read_log
from vretrver.training.eapo import EapoConfig, eapo
from vretrver.training.grpo.exercises import Course, load_course
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.rollouts import Group, Player
from vretrver.training.grpo.settings import Optimising, Sampling
from vretrver.training.grpo.tapes import Recorder, Tape
from vretrver.training.grpo.writers import Transformers, Turn, generating
from vretrver.training.rewards import load_reward
from vretrver.training.rows import RowMaker
from vretrver.training.sources import Source
from vretrver.training.trajectories import Recipe

TOKENS = 300


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--size", type=int, default=8, help="rollouts of a query")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="steps of training that are timed; 0 none")
    parser.add_argument("--distractors", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where scenes are drawn; a temporary folder by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as spare:
        for checkpoint in options.checkpoints:
            Bench(checkpoint, options.work or Path(spare), options).run()


class Bench:
    """One checkpoint's measurement."""

    def __init__(self, checkpoint: Path, work: Path, options: argparse.Namespace) -> None:
        habits = habits_in(checkpoint)
        assert habits is not None, f"{checkpoint} is no checkpoint of vretrver train"
        self.checkpoint, self.work, self.options = checkpoint, work, options
        self.task = Source(
            "world", split="val", size=options.queries, seed=11, distractors=options.distractors, groups=("i->i/*",)
        )
        tools = ",".join(habits.tools) or "none"
        self.recipe = Recipe(tools=tools, max_tool_turns=habits.max_tool_turns, boxes=habits.boxes)
        self.course: Course = load_course((self.task,), self.recipe, habits.wire, f"local:{checkpoint}", work)
        self.turns = habits.max_tool_turns + 1
        self.loaded = load(str(checkpoint), dtype="float32", device="cpu")
        self.maker = RowMaker(PromptWriter(self.loaded.processor, self.loaded.name), self.loaded.name)
        self.pixels = Pixels(self.maker, self.loaded.name)
        self.tapes: list[Tape] = []

    def run(self) -> None:
        """Print everything of this checkpoint."""
        count = sum(weight.numel() for weight in self.loaded.model.parameters())
        rollouts = self.options.queries * self.options.size
        asked = f"{self.options.queries} queries x {self.options.size}"
        print(f"### {self.checkpoint.name}: {count / 1e6:.1f}M weights, {asked}")
        spent, texts = self._ways()
        print("| way | rollouts/s | x plain | writing | episodes, tools, pictures | same texts |")
        print("|---|---:|---:|---:|---:|---:|")
        plain = min(sum(one) for one in spent["one by one"])
        for way, rounds in spent.items():
            best = min(rounds, key=sum)
            same = sum(a == b for a, b in zip(texts["one by one"], texts[way], strict=True)) / rollouts
            shares = [part / sum(best) for part in best]
            print(
                f"| {way} | {rollouts / sum(best):.2f} | {plain / sum(best):.2f} | {shares[0]:.0%} | {shares[1]:.0%} | "
                f"{same:.0%} |"
            )
        vllm = "not measured: needs a GPU and a served model" if importlib.util.find_spec("vllm") else "not run"
        print(f"| vLLM | {vllm} | | | | |")
        self._lengths()
        if self.options.steps:
            self._steps()

    def _ways(self) -> tuple[dict[str, list[tuple[float, float]]], dict[str, list[str]]]:
        """CPU seconds (writing, the rest) of each round by way, and what was said."""
        whole = self.options.queries * self.options.size
        ways: dict[str, Callable[[], Player]] = {
            "one by one": lambda: self._player(1),
            "group at once": lambda: self._player(self.options.size),
            "across groups": lambda: self._player(whole),
            "pictures once": lambda: self._player(whole, Transformers),
            "shared prefix": lambda: self._player(whole, SharedPrefix),
        }
        spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
        texts: dict[str, list[str]] = {}
        self._play(self._player(whole))  # pictures are decoded once, whoever comes first
        for _round in range(self.options.rounds):
            for way, made in ways.items():
                groups, seconds = self._play(made())
                spent[way].append(seconds)
                rollouts = [rollout for group in groups for rollout in group.rollouts]
                texts[way] = [" ".join(turn.text for turn in rollout.trace.turns) for rollout in rollouts]
                self.tapes = [rollout.tape for rollout in rollouts]
        return spent, texts

    def _play(self, player: Player) -> tuple[list[Group], tuple[float, float]]:
        """All groups; CPU seconds of writing and of the rest."""
        timed: list[float] = []
        player._writer = _Timed(player._writer, timed)
        started = time.process_time()
        groups = player.groups(self.course.exercises, self.options.size, 0, self.turns)
        whole = time.process_time() - started
        return groups, (sum(timed), whole - sum(timed))

    def _player(self, batch: int, kind: type[Transformers] | None = None) -> Player:
        sampling = Sampling(rollouts=self.options.size, max_new_tokens=TOKENS, batch=batch)
        kind = kind or Plain
        writer = kind(
            lambda: self.loaded.model, self.maker, sampling, self.loaded.name, pixels=self.pixels, autocast=nullcontext
        )
        recorder = Recorder(self.maker, self.loaded.name)
        return Player(recorder, self.pixels, writer, load_reward("paper"), max_tokens=4096)

    def _lengths(self) -> None:
        """What an episode is made of: what a shared prefix saves is the opening of all but one rollout of a group."""
        whole, opening, drawn = (
            sum(of) / len(self.tapes)
            for of in zip(*((len(tape.ids), tape.opening, tape.drawn) for tape in self.tapes), strict=True)
        )
        print(f"\nan episode has {whole:.0f} tokens: {opening:.0f} of its opening, {drawn:.0f} drawn, the rest shown")

    def _steps(self) -> None:
        """Steps a minute of the whole stage, and which share is drawing."""
        batch = self.options.queries * self.options.size
        config = EapoConfig(
            (self.task,), self.recipe, cache=str(self.work), sampling=Sampling(
                rollouts=self.options.size, max_new_tokens=TOKENS, batch=batch, keep_every=0),
            train=Optimising(precision="float32", gradient_checkpointing=False, batch=batch, micro_batch=8,
                max_tokens=4096, max_steps=self.options.steps + 1, save_every=0),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as place:
            started = time.process_time()
            eapo(config, self.checkpoint, Path(place), progress=False)
            spent = time.process_time() - started
            log = [one for one in read_log(Path(place) / "training") if "reward" in one][1:]  # the first warms up
        seconds = sum(one["seconds"] for one in log) / len(log)
        drawing = sum(one.get("rollout_seconds", 0.0) for one in log) / len(log)
        print(
            f"a step of {batch} rollouts takes {seconds:.1f} s on the wall ({60 / seconds:.1f} steps/min), of it "
            f"drawing {drawing / seconds:.0%}; {spent:.0f} CPU s for {self.options.steps + 1} steps, start included"
        )


class _Timed:
    """A writer whose CPU seconds are noted."""

    def __init__(self, writer: Any, seconds: list[float]) -> None:
        self._writer, self._seconds = writer, seconds

    def renew(self) -> None:
        self._writer.renew()

    def __call__(self, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Turn]:
        started = time.process_time()
        written: list[Turn] = self._writer(tapes, seeds)
        self._seconds.append(time.process_time() - started)
        return written


class Plain(Transformers):
    """Hands the model every picture of every conversation in every turn, as a plain loop around `generate` does."""

    def _inputs(self, tapes: Sequence[Tape]) -> Any:
        import torch
        from transformers import BatchFeature

        longest = max(len(tape.ids) for tape in tapes)
        pad = self._maker.writer.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(tape.ids)) + tape.ids for tape in tapes])
        mask = torch.tensor([[0] * (longest - len(tape.ids)) + [1] * len(tape.ids) for tape in tapes])
        more = self._pixels.inputs(ids, [tape.views for tape in tapes])
        more.pop("num_images", None)
        return BatchFeature({"input_ids": ids, "attention_mask": mask, **more})


class SharedPrefix(Plain):
    """Reads a prompt that several tapes share once. For models whose cache holds all that a prefix says.

    Qwen's positions of pictures are kept beside the cache, so this is not for them; tapes that differ are drawn as by
    `Plain`.
    """

    def __call__(self, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Turn]:
        alike: dict[object, list[int]] = defaultdict(list)
        for at, tape in enumerate(tapes):  # prompts of two queries may differ in their pictures alone
            alike[tuple(tape.ids), tuple(tape.views)].append(at)
        if len(alike) == len(tapes):
            return super().__call__(tapes, seeds)
        found: dict[int, Turn] = {}
        with generating(self._model(), self._maker, self._sampling, self._name) as generator:
            for places in alike.values():
                inputs = self._read([tapes[at] for at in places])
                written = generator.write(inputs, [seeds[at] for at in places])
                found |= {at: Turn(one) for at, one in zip(places, written, strict=True)}
        return [found[at] for at in range(len(tapes))]

    def _read(self, tapes: Sequence[Tape]) -> Any:
        """The inputs of equal tapes, all but the last token read already."""
        import torch

        whole = self._inputs(tapes)
        one = self._inputs(tapes[:1])
        ids, mask = one.pop("input_ids"), one.pop("attention_mask")
        with torch.inference_mode():
            cache = self._model()(
                input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=True, **one
            ).past_key_values
        cache.batch_repeat_interleave(len(tapes))
        for key in [key for key in whole if key not in ("input_ids", "attention_mask")]:
            whole.pop(key)  # the pictures are in the cache
        whole["past_key_values"] = cache
        return whole


if __name__ == "__main__":
    main()

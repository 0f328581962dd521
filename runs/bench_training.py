"""How fast a model trains and answers on one core, and what bounds it: CPU seconds by part.

python runs/bench_training.py MODEL DATA [--steps 8] [--batch 4] [--new-tokens 48]

Times are the process's CPU seconds on one thread, so other work on the machine hardly shows. Training: AdamW, float32,
eyes frozen; `data` is reading pictures and writing prompts, `step` is forward, backward and optimizer. Answers: the
first turn of each example's opening, sampled, at several batch sizes.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vretrver.messages import Conversation
from vretrver.policies.local import LocalPolicy
from vretrver.training.data import load_examples
from vretrver.training.examples import Example
from vretrver.training.sft import SftConfig, train
from vretrver.types import Query, Window


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=48)
    options = parser.parse_args()
    torch.set_num_threads(1)
    examples = load_examples([options.data])
    training(options.model, examples, options.steps, options.batch)
    policy = LocalPolicy.load(options.model, temperature=1.0, max_new_tokens=options.new_tokens)
    openings = [Conversation(Window(Query("x"), ()), example.messages[:2]) for example in examples]
    openings = (openings * 16)[:16]
    for batch in (1, 4, 16):
        answering(policy, openings, batch)
    print(profile(lambda: policy.complete(openings)))


def training(model: str, examples: list[Example], steps: int, batch: int) -> None:
    """Tokens of training a CPU second, by part."""
    watch = _watch()
    with tempfile.TemporaryDirectory() as place:
        config = SftConfig(
            model=model, precision="float32", gradient_checkpointing=False, batch=batch, micro_batch=batch,
            max_steps=steps, log_every=1, save_every=0,
        )  # fmt: skip
        record = train(config, examples, Path(place), callbacks=[watch], progress=False)
    step, whole = sum(watch.spent[1:]), watch.ended - watch.first
    length, rows = record.facts["tokens"] / record.facts["rows"], batch * (steps - 1)
    print(
        f"training: {length * rows / whole:.0f} tokens/s, {rows / whole:.2f} rows/s of {length:.0f} tokens; "
        f"step {step / whole:.0%}, data {1 - step / whole:.0%}"
    )


def _watch() -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        """CPU seconds of each step; the first warms up."""

        def __init__(self) -> None:
            self.spent: list[float] = []
            self.first = self.ended = self._since = 0.0

        def on_step_begin(self, *_given: Any, **_more: Any) -> None:
            self._since = time.process_time()

        def on_step_end(self, *_given: Any, **_more: Any) -> None:
            self.ended = time.process_time()
            self.spent.append(self.ended - self._since)
            self.first = self.first or self.ended

    return Watch()


def answering(policy: LocalPolicy, openings: list[Conversation], batch: int) -> None:
    """Answers a CPU second at a batch size."""
    policy.batch = batch
    policy.complete(openings[:1])
    started = time.process_time()
    answers = policy.complete(openings)
    spent = time.process_time() - started
    tokens = [one.tokens for one in answers if one.tokens is not None]
    read, written = sum(one.prompt for one in tokens), sum(one.completion for one in tokens)
    print(
        f"answers, {batch} at once: {len(openings) / spent:.2f}/s, {read / spent:.0f} tokens read and "
        f"{written / spent:.0f} written a second"
    )


def profile(work: Callable[[], object]) -> str:
    """Where the time goes, by the functions that take most of it themselves."""
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(work)
    out = io.StringIO()
    pstats.Stats(profiler, stream=out).strip_dirs().sort_stats("tottime").print_stats(12)
    return "\n".join(out.getvalue().splitlines()[6:])


if __name__ == "__main__":
    main()

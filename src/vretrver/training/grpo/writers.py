"""Who draws the tokens of rollouts: transformers in this process, or vLLM through TRL's own client.

Both continue tapes to the token: nothing is cut into tokens anew between turns. No control token can be drawn (a drawn
picture token would ask for a picture), a turn ends where serving ends it, and each row has a stream of chance of its
own, so what a rollout says does not depend on which others were in its batch.

**vLLM was not run for this code** (it needs a GPU here): `Vllm` is kept small for that reason. Colocated, TRL 1.16
hands vLLM prompts whose pictures are at full length, and vLLM lengthens them once more (TRL issue 6294); so each run of
picture tokens is handed over as one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from vretrver.errors import InvalidInput
from vretrver.policies.local.generation import STOP, Generator, Written, inside, is_out_of_memory
from vretrver.policies.local.sights import Sights
from vretrver.training.grpo.pixels import Pixels
from vretrver.training.grpo.settings import Sampling
from vretrver.training.grpo.tapes import Tape
from vretrver.training.rows import RowMaker

SEEN = 2**30  # bytes of what the model's eye made of pictures


@dataclass(frozen=True, slots=True)
class Turn:
    """What was drawn; the log-probability of each token where it is known."""

    written: Written
    logprobs: tuple[float, ...] = ()


class Writer(Protocol):
    """Continues tapes."""

    def renew(self) -> None:
        """The model's weights may have changed."""
        ...

    def __call__(self, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Turn]:
        """The next turn of each tape. Processes that train together call it equally often, with no tape too."""
        ...


class Transformers:
    """Draws with the model itself.

    Args:
        model: gives the model to draw with, whole in this process.
        autocast: a context of the training's precision.
    """

    def __init__(
        self,
        model: Callable[[], Any],
        maker: RowMaker,
        sampling: Sampling,
        name: str,
        *,
        pixels: Pixels,
        autocast: Callable[[], Any],
    ) -> None:
        self._model, self._maker, self._pixels, self._autocast = model, maker, pixels, autocast
        self._sampling, self._name, self._batch = sampling, name, sampling.batch
        self._sights = Sights(pixels.of, SEEN)

    def renew(self) -> None:
        self._sights.forget()

    def __call__(self, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Turn]:
        order = sorted(range(len(tapes)), key=lambda at: len(tapes[at].ids), reverse=True)
        found: dict[int, Turn] = {}
        with generating(self._model(), self._maker, self._sampling, self._name) as generator, self._autocast():
            while order:
                now = order[: self._batch]
                written = self._written(generator, [tapes[at] for at in now], [seeds[at] for at in now])
                if written is None:
                    generator.free()
                    self._batch = (len(now) + 1) // 2
                    continue
                found |= {at: Turn(one) for at, one in zip(now, written, strict=True)}
                order = order[len(now) :]
        return [found[at] for at in range(len(tapes))]

    def _written(self, generator: Generator, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Written] | None:
        """What each writes; None where memory ran out and half of them may fit."""
        try:
            return generator.write(self._inputs(tapes), seeds)
        except (RuntimeError, MemoryError) as fault:
            if len(tapes) == 1 or not is_out_of_memory(fault):
                raise
            return None

    def _inputs(self, tapes: Sequence[Tape]) -> Any:
        import torch
        from transformers import BatchFeature

        longest = max(len(tape.ids) for tape in tapes)
        pad = self._maker.writer.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(tape.ids)) + tape.ids for tape in tapes])
        mask = torch.tensor([[0] * (longest - len(tape.ids)) + [1] * len(tape.ids) for tape in tapes])
        seen = self._sights.of(inside(self._model()), [view for tape in tapes for view in tape.views])
        more = self._pixels.inputs(ids, [tape.views for tape in tapes], but="" if seen is None else "pixel_values")
        more.pop("num_images", None)
        if seen is not None:
            more |= seen.inputs
        return BatchFeature({"input_ids": ids, "attention_mask": mask, **more})


class Vllm:
    """Draws with the vLLM that TRL keeps in step with the training.

    Args:
        generation: gives TRL's `VLLMGeneration`; every process must hand it equally many prompts.
    """

    def __init__(
        self,
        model: Callable[[], Any],
        maker: RowMaker,
        sampling: Sampling,
        name: str,
        generation: Callable[[], Any],
    ) -> None:
        self._model, self._maker, self._sampling, self._name = model, maker, sampling, name
        self._generation = generation

    def renew(self) -> None:
        """TRL hands vLLM the weights before each draw."""

    def __call__(self, tapes: Sequence[Tape], seeds: Sequence[int]) -> list[Turn]:
        from accelerate.utils import gather_object

        count = max(gather_object([len(tapes)]))
        if not count:
            return []
        filler = Tape([self._maker.writer.tokenizer.eos_token_id], 1, [], "")
        asked = [*tapes, *[filler] * (count - len(tapes))]
        pictures = [[self._maker.writer.pictures.picture(view) for view in tape.views] or None for tape in asked]
        _prompts, drawn, logprobs, _ids = self._generation().generate(
            prompts=[self._handed(tape) for tape in asked],
            images=pictures if any(pictures) else None,
            num_generations=1,
        )
        with generating(self._model(), self._maker, self._sampling, self._name) as generator:
            return [
                Turn(written, tuple(_number(one[0]) for one in said[: len(written.ids)]))
                for _tape, written, said in zip(
                    tapes, (generator.written(ids) for ids in drawn), logprobs, strict=False
                )
            ]

    def _handed(self, tape: Tape) -> list[int]:
        """The tokens as vLLM takes them: a server is handed pictures at full length, a colocated one lengthens them."""
        if self._sampling.backend == "vllm-server":
            return list(tape.ids)
        return list(collapsed(tape, self._maker))


def collapsed(tape: Tape, maker: RowMaker) -> Iterator[int]:
    """The tape's tokens, each picture as one."""
    at, views = 0, iter(tape.views)
    while at < len(tape.ids):
        yield tape.ids[at]
        at += maker.tokens_of(next(views)) if tape.ids[at] == maker.picture else 1


def vllm_options(maker: RowMaker, sampling: Sampling) -> dict[str, Any]:
    """What vLLM must be told so that its turns end where serving's end, and no control token is drawn."""
    tokenizer = maker.writer.tokenizer
    closing = tokenizer(STOP, add_special_tokens=False).input_ids
    if len(closing) != 1:
        raise InvalidInput(f"vLLM draws only for models to whom {STOP} is one token, as in the Qwen families")
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    never = set(maker.writer.control.values()) - ends
    return {
        "max_tokens": sampling.max_new_tokens,
        "stop_token_ids": [int(closing[0]), *sorted(ends)],
        "logit_bias": dict.fromkeys(sorted(never), -100.0),
    }


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """Within it the model is evaluated and may be told how to generate; afterwards it is as it was."""
    inner = inside(model)
    training, generation = model.training, inner.generation_config
    model.eval()
    try:
        yield
    finally:
        inner.generation_config = generation
        model.train(training)


@contextmanager
def generating(model: Any, maker: RowMaker, sampling: Sampling, name: str) -> Iterator[Generator]:
    """A generator of a model that is being trained."""
    with at_rest(model):
        yield Generator(
            model,
            maker.writer,
            name=name,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            seed=0,
        )


def seed_of(*parts: object) -> int:
    """A stream of chance of its own for whatever the parts name."""
    return random.Random(":".join(map(str, parts))).getrandbits(56)  # noqa: S311  # no secret


def _number(logprob: float | None) -> float:
    """vLLM leaves out what it could not score; TRL takes NaN for that."""
    return float("nan") if logprob is None else float(logprob)

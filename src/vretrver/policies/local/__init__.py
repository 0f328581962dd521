"""A vision-language model of this machine as a policy, through transformers. Extra `[local]`.

Any model that `AutoModelForImageTextToText` loads and whose chat template takes pictures: the released V-Retrver
checkpoints, Qwen2-VL, Qwen2.5-VL, Qwen3-VL, a LoRA adapter on one of them. All conversations of a step are continued
together, in batches with padding on the left.

It leaves out downloads, remote code, quantised loading and models cut over several devices (pass such a model to
`LocalPolicy` yourself). Between turns it keeps pictures and what the model's eye made of them (`sights`), no keys and
values: a conversation's tokens are read from its beginning each time. A server does that better (`chat:`).
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vretrver.boxes import BoxFamily, box_family, is_released
from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import Completion, Conversation
from vretrver.policies.habits import Habits, habits_in
from vretrver.policies.local.generation import Generator, is_out_of_memory
from vretrver.policies.local.loading import Loaded, load
from vretrver.policies.local.prompts import Prompt, PromptWriter
from vretrver.policies.options import split_options
from vretrver.protocol import Wire

__all__ = ["LocalPolicy"]

PACKAGED = Path(__file__).parent / "nano"
"""The nano agent's weights and model card; `local:nano`."""
BATCH = 8
MAX_NEW_TOKENS = 2048

OPTIONS: Mapping[str, type] = {
    "adapter": str, "dtype": str, "device": str, "boxes": str, "batch": int, "max_new_tokens": int,
    "temperature": float, "seed": int,
}  # fmt: skip

# The families whose convention is published; what is not named here is taken for thousandths, as most models are.
_BOXES: dict[str, BoxFamily] = {"qwen2_5_vl": "qwen2.5-vl"}


class LocalPolicy:
    """Continues conversations with a loaded model. `load` is the usual way to one.

    Greedy by default. With a temperature each conversation draws from a generator of its own, seeded by `seed` and by
    what the conversation holds, so a text does not depend on which others were in its batch. Batches do change the last
    digits of logits: in float32 greedy texts agreed here; in bfloat16 a near tie may fall the other way.

    One caller at a time: others wait. The model's weights are not to change while a policy lives, for it keeps what
    they made of pictures; one that is being trained gets a new policy each time.

    Args:
        loaded: model, processor and their name; the model's `generation_config` is replaced by ours, so that no
            repetition penalty or sampling of its publisher has a say.
        wire: the model's dialect of the protocol; when None its habits', else by its family (`default_boxes`).
        habits: what it was trained with, so that it is served as it was trained.
        batch: conversations at once; halved, and kept so, when memory runs out.
        max_new_tokens: of one generation.
        temperature: 0 takes the most likely token.
        seed: of the draws; another seed gives other texts.

    Raises:
        InvalidInput: a number is out of range, or the model has no chat template that takes pictures.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        wire: Wire | None = None,
        batch: int = BATCH,
        max_new_tokens: int = MAX_NEW_TOKENS,
        temperature: float = 0.0,
        seed: int = 0,
        habits: Habits | None = None,
    ) -> None:
        _at_least("batch", batch, 1)
        _at_least("max_new_tokens", max_new_tokens, 1)
        _at_least("temperature", temperature, 0)
        self.name = f"local:{loaded.name}"
        self.habits = habits
        usual = Wire(boxes=default_boxes(loaded.name, loaded.model_type)) if habits is None else habits.wire
        self.wire = wire or usual
        self.batch = self.at_once = batch
        self._loaded = loaded
        self._options = f"{max_new_tokens} {temperature} {seed}"
        self._writer = PromptWriter(loaded.processor, self.name)
        self._generator = Generator(
            loaded.model,
            self._writer,
            name=self.name,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        name: str,
        *,
        adapter: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        boxes: str | None = None,
        batch: int = BATCH,
        max_new_tokens: int = MAX_NEW_TOKENS,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> LocalPolicy:
        """A policy from files of this machine.

        Args:
            name: a folder, the name of a model that is in the Hugging Face cache, or `nano`: the packaged agent, which
                knows the small-detail world and nothing else (docs/nano.md). A LoRA adapter's folder stands for the
                adapter on the model that it names. A folder that `vretrver train` made is served with its `habits`.
                Options may stand behind it: `MODEL,batch=2,dtype=float32`.
            adapter: a LoRA adapter's folder, merged into the weights.
            dtype: `float32`, `bfloat16` or `float16`; `auto` is bfloat16 on a GPU and float32 elsewhere.
            device: as torch names it; a GPU where there is one when None.
            boxes: the family of coordinates in which the model writes boxes (`boxes.BoxFamily`), where the default is
                wrong.

        Raises:
            MissingExtra: torch or transformers is not installed, or peft where there is an adapter.
            InvalidInput: the model cannot be loaded. And as the class.
            RecordError: a trained folder's record does not parse.
        """
        if not os.path.exists(name):  # noqa: PTH110  # a Path refuses some texts
            name, named = split_options(name, OPTIONS)
            if named:
                given: dict[str, Any] = {"adapter": adapter, "dtype": dtype, "device": device, "boxes": boxes}
                given |= {"batch": batch, "max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
                return cls.load(name, **{**given, **named})
        place = str(PACKAGED) if name == PACKAGED.name and not os.path.exists(name) else name  # noqa: PTH110
        habits = habits_in(Path(place))
        usual = Wire() if habits is None else habits.wire
        wire = None if boxes is None else replace(usual, boxes=box_family(boxes))
        loaded = load(place, adapter=adapter, dtype=dtype, device=device)
        return cls(
            loaded if place == name else replace(loaded, name=name),
            wire=wire,
            batch=batch,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            habits=habits,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files and the options; for a model from the cache, over its name and revision."""
        return self._loaded.digest(f"{self._options} {self.wire}")

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """One text per conversation, in order, cut after its own `</tool_call>`. `tokens` are those read and written.

        Raises:
            MissingPath, ImageError: a picture cannot be decoded.
            PolicyError: a conversation is longer than the model reads, or one alone does not fit into memory.
        """
        with self._lock:
            found: list[Completion | None] = [None] * len(conversations)
            for places in self._waves(conversations):
                self._fill(found, [(at, self._writer.prompt(conversations[at].messages)) for at in places])
            return [completion for completion in found if completion is not None]

    def _waves(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """Positions of the conversations that go together: none mixes prompts with pictures and prompts without.

        Longest first: padding is least between neighbours, and a batch that does not fit fails at once.
        """
        sizes = [_extent(conversation) for conversation in conversations]
        order = sorted(range(len(conversations)), key=lambda at: sizes[at], reverse=True)
        kinds = ([at for at in order if sizes[at][0]], [at for at in order if not sizes[at][0]])
        return [kind[at : at + self.batch] for kind in kinds for at in range(0, len(kind), self.batch)]

    def _fill(self, found: list[Completion | None], prompts: list[tuple[int, Prompt]]) -> None:
        """Generate for some prompts, in smaller batches where memory runs out."""
        while prompts:
            now = prompts[: self.batch]
            try:
                completions = self._generator.generate([prompt for _at, prompt in now])
            except (RuntimeError, MemoryError) as fault:
                if not is_out_of_memory(fault):
                    raise
                if len(now) == 1:
                    raise PolicyError(f"{self.name}: one conversation alone does not fit into memory") from fault
                completions = []
            if completions:
                for (at, _prompt), completion in zip(now, completions, strict=True):
                    found[at] = completion
                prompts = prompts[len(now) :]
            else:  # outside the except clause, whose traceback would hold on to what is to be freed
                self._generator.free()
                self.batch = (len(now) + 1) // 2


def default_boxes(name: str, model_type: str) -> BoxFamily:
    """The family of coordinates that a model writes.

    The released checkpoints are Qwen2.5-VL by their configuration, so they are told by their name.
    """
    if is_released(name):
        return "released"
    return _BOXES.get(model_type, "0-1000")


def _extent(conversation: Conversation) -> tuple[bool, int]:
    """Whether there are pictures, and roughly how many tokens it all makes."""
    views = [part.view for message in conversation.messages for part in message.views]
    letters = sum(len(message.text) for message in conversation.messages)
    return bool(views), sum(view.width * view.height for view in views) // 784 + letters // 4


def _at_least(what: str, value: float, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        raise InvalidInput(f"{what} is {value}; it must be {least} or more")

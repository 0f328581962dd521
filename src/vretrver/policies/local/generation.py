"""Prompts in, texts out: one `generate` call for a batch, each row stopped and cut by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.errors import PolicyError
from vretrver.messages import Completion
from vretrver.policies.local.prompts import Prompt, PromptWriter
from vretrver.policies.local.sights import Sights
from vretrver.usage import Tokens

STOP = "</tool_call>"
TAIL = 16  # tokens looked back for the stop text: more than its characters, however it is cut into tokens


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote in one turn.

    Args:
        ids: the tokens as they were drawn, the one that ended the turn too where one did; nothing after.
        text: what they say, cut after its own `</tool_call>`.
        exact: whether `ids` say `text` and no more; a token may reach beyond the end of a call.
        ended: whether the last of `ids` ended the turn.
    """

    ids: tuple[int, ...]
    text: str
    exact: bool = True
    ended: bool = False


class Generator:
    """Generates with one model.

    Args:
        model: its `generation_config` is replaced. Its weights stay: what it makes of pictures is kept.
        writer: makes the inputs.
    """

    def __init__(
        self, model: Any, writer: PromptWriter, *, name: str, max_new_tokens: int, temperature: float, seed: int
    ) -> None:
        from transformers import GenerationConfig

        self._model, self._writer, self._tokenizer, self._name = model, writer, writer.tokenizer, name
        self._max_new_tokens, self._temperature, self._seed = max_new_tokens, temperature, seed
        self._ends = _end_tokens(model, self._tokenizer)
        self._limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._sights = Sights(writer.pixels)
        # The defaults of a fresh configuration, nothing of the publisher's. An adapter around a model hides the model.
        inside(model).generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=sorted(self._ends),
            pad_token_id=self._tokenizer.pad_token_id,
            suppress_tokens=self._never(),
        )

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """One completion per prompt, in order; errors as `LocalPolicy.complete`, and what torch raises."""
        inputs = self._inputs(prompts)
        written = self.write(inputs, [_seed(self._seed, prompt) for prompt in prompts])
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        pictures = self._writer.picture_tokens(inputs["input_ids"])
        return [
            Completion(one.text, tokens=Tokens(length, len(one.ids), cached=0, image=shown))
            for one, length, shown in zip(written, lengths, pictures, strict=True)
        ]

    def write(self, inputs: Any, seeds: Sequence[int]) -> list[Written]:
        """One turn for each row of tensors that are padded on the left; errors as `generate`.

        Args:
            inputs: a `BatchFeature` of the model's inputs.
            seeds: of each row's draws; not used when greedy.
        """
        import torch

        read = inputs["input_ids"].shape[1]
        room = self._room(read)
        with torch.inference_mode():
            out = self._model.generate(
                **inputs.to(self._model.device, dtype=self._model.dtype),
                max_new_tokens=room,
                stopping_criteria=_criteria(_CallIsClosed(self._tokenizer, read)),
                logits_processor=_processors(_Draw(seeds, self._temperature) if self._temperature else None),
            )
        return [self.written(row[read:].tolist()) for row in out.cpu()]

    def free(self) -> None:
        """Give memory back after a batch that did not fit."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def written(self, ids: Sequence[int]) -> Written:
        """As `written_of`, with this model's ends."""
        return written_of(ids, self._tokenizer, self._ends)

    def _inputs(self, prompts: Sequence[Prompt]) -> Any:
        """A batch's tensors, with what the model has made of its pictures where it takes that instead of pixels."""
        views = [view for prompt in prompts for view in prompt.views]
        seen = self._sights.of(inside(self._model), views) if views and self._writer.repeats else None
        return self._writer.inputs(prompts, seen)

    def _room(self, read: int) -> int:
        if self._limit is None:
            return self._max_new_tokens
        if read >= self._limit:
            raise PolicyError(
                f"{self._name} reads at most {self._limit} tokens and the conversation has {read}; rank fewer "
                "candidates at a time or show them smaller"
            )
        return min(self._max_new_tokens, int(self._limit) - read)

    def _never(self) -> list[int]:
        """Tokens that must not be written: a picture's placeholder in a text would ask for a picture in the next turn.

        Also the numbers between the tokenizer's last and the embedding's, which mean nothing.
        """
        outputs = int(self._model.config.get_text_config().vocab_size)
        return sorted((set(self._writer.control.values()) | set(range(len(self._tokenizer), outputs))) - self._ends)


def written_of(ids: Sequence[int], tokenizer: Any, ends: Collection[int]) -> Written:
    """What tokens say, up to the end of the turn or of its call; what follows is padding.

    Args:
        ends: the tokens that end a turn.
    """
    at = next((at for at, number in enumerate(ids) if number in ends), len(ids))
    text = tokenizer.decode(ids[:at], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    said, closed, after = text.partition(STOP)
    ended = at < len(ids) and not closed
    return Written(tuple(ids[: at + ended]), said + closed, not after, ended)


def inside(model: Any) -> Any:
    """The model inside an adapter; the model itself where there is none."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class _CallIsClosed:
    """Per row, whether its newest text closes a tool call."""

    def __init__(self, tokenizer: Any, read: int) -> None:
        self._tokenizer, self._read = tokenizer, read

    def __call__(self, input_ids: Any, _scores: Any, **_options: Any) -> Any:
        import torch

        newest = input_ids[:, max(self._read, input_ids.shape[1] - TAIL) :].tolist()
        closed = [STOP in self._tokenizer.decode(ids, skip_special_tokens=False) for ids in newest]
        return torch.tensor(closed, device=input_ids.device, dtype=torch.bool)


def _seed(seed: int, prompt: Prompt) -> int:
    """Of one conversation's own stream of chance."""
    views = [(view.image.label, view.width, view.height, view.box) for view in prompt.views]
    digest = hashlib.sha256(f"{seed}\n{prompt.text}\n{views}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:7], "big")


class _Draw:
    """Draws by the Gumbel-max trick: the best of logits / temperature plus Gumbel noise is a draw of the softmax.

    So each row has its own noise while the search stays greedy (Maddison et al. 2014, A* sampling, section 2).
    """

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self._seeds, self._temperature = seeds, temperature
        self._streams: list[Any] = []

    def __call__(self, _input_ids: Any, scores: Any) -> Any:
        import torch

        if not self._streams:
            self._streams = [torch.Generator(scores.device).manual_seed(seed) for seed in self._seeds]
        noisy = scores.float() / self._temperature
        for at, stream in enumerate(self._streams):
            noisy[at] -= torch.empty_like(noisy[at]).exponential_(generator=stream).log_()
        return noisy


def is_out_of_memory(fault: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or beside one."""
    import torch

    if isinstance(fault, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(fault).lower()
    return isinstance(fault, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a turn: what the model's own configuration and its tokenizer say."""
    said = getattr(model.generation_config, "eos_token_id", None)
    ends = set(said) if isinstance(said, list | tuple) else {said}
    return {int(number) for number in ends | {tokenizer.eos_token_id, tokenizer.pad_token_id} if number is not None}


def _criteria(criterion: Any) -> Any:
    from transformers import StoppingCriteriaList

    return StoppingCriteriaList([criterion])


def _processors(processor: Any) -> Any:
    from transformers import LogitsProcessorList

    return LogitsProcessorList([] if processor is None else [processor])

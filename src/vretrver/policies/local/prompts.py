"""Messages to what a model of transformers reads: its own chat template's text, and the pictures at their size.

The tools stand in the system message, as the released protocol has it; nothing is passed as `tools=`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import ImagePart, Message, TextPart, View
from vretrver.policies.local.pictures import Pictures
from vretrver.policies.local.sights import Seen

# Some tokenizers count these among their special tokens; they are the protocol's, and stay as they are.
PROTOCOL = frozenset(
    f"<{slash}{tag}>" for slash in ("", "/") for tag in ("think", "answer", "tool_call", "tool_response", "tools")
)

PICTURE = frozenset({"pixel_values", "image_grid_thw"})
"""A picture's tensors where it is a grid of patches (the Qwen-VL families) or one row of pixels (LLaVA)."""
KINDS = frozenset({"mm_token_type_ids", "token_type_ids"})
"""Of each token: 1 where it stands for a picture."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One conversation as text, and its views in the order in which their placeholders stand in it."""

    text: str
    views: tuple[View, ...]


class PromptWriter:
    """Writes prompts with a processor's own template, and makes model inputs of them.

    Raises:
        InvalidInput: there is no chat template, or it does not take a user's pictures between words.
    """

    def __init__(self, processor: Any, name: str) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.pictures = Pictures()
        self._name = name
        self.control = control_tokens(processor)
        token = getattr(processor, "image_token", None)
        self._placeholder = self.control.get(token) if isinstance(token, str) else None
        self._blank = f"a{token}b"
        longest = sorted(self.control, key=lambda token: (-len(token), token))
        self._escape = re.compile("|".join(map(re.escape, longest)) or r"(?!)")
        self._unit = picture_unit(processor.image_processor)
        self._as_it_is = {"do_resize": False} if self._unit else {}
        self._system = self._takes_a_system_message()

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """The conversation up to where the assistant's next turn begins."""
        views = tuple(self._fitted(part.view) for message in messages for part in message.views)
        return Prompt(self._text(messages if self._system else _folded(messages)), views)

    def inputs(self, prompts: Sequence[Prompt], seen: Seen | None = None) -> Any:
        """Tensors for a batch of prompts that all have pictures, or all have none.

        Args:
            seen: what goes in instead of all their pictures, which are then not opened; only where `repeats`.

        Raises:
            MissingPath, ImageError: a picture cannot be decoded.
            PolicyError: the processor cannot read a prompt.
        """
        if seen is not None:
            return self._around(prompts, seen)
        pictures = [[self.pictures.picture(view) for view in prompt.views] for prompt in prompts]
        texts = [prompt.text for prompt in prompts]
        shown = {"images": pictures, **self._as_it_is} if any(pictures) else {}
        with self._faults():
            return self.processor(text=texts, **self._tokenizing(texts), **shown)

    def pixels(self, view: View) -> dict[str, Any]:
        """The tensors of one picture of a prompt, those of `PICTURE` that the model takes; errors as `inputs`."""
        picture = self.pictures.picture(view)
        with self._faults():
            made = self.processor.image_processor(images=[picture], return_tensors="pt", **self._as_it_is)
        return {name: made[name] for name in PICTURE if name in made}

    @cached_property
    def made(self) -> frozenset[str]:
        """Names of what the processor makes of a prompt with a picture, beside tokens and their mask."""
        return frozenset(self._of_a_blank()) - {"input_ids", "attention_mask"}

    @cached_property
    def repeats(self) -> bool:
        """Whether a picture is so many repeats of one token to the processor, so that these are known without it."""
        import torch

        try:
            theirs = self._of_a_blank()
            count = int((theirs["input_ids"] == self._placeholder).sum())
            ours = self._around([Prompt(self._blank, ())], Seen((count,), {}))
            same = all(torch.equal(ours[name], theirs[name]) for name in ours)
        except Exception:  # a processor is a program of its publisher's: it raises what it likes
            return False
        return same and set(theirs) - PICTURE == set(ours)

    def picture_tokens(self, ids: Any) -> list[int | None]:
        """How many of each row's token numbers stand for pictures; None where the model does not say which do."""
        number = self._placeholder
        return [None if number is None else int((row == number).sum()) for row in ids]

    def escaped(self, text: str) -> str:
        """A text in which nothing stands for a control token: their first character gives way to a look-alike."""
        return self._escape.sub(_look_alike, text)

    def _of_a_blank(self) -> Any:
        """What the processor makes of a blank picture between two letters."""
        side = 4 * (self._unit or 14)
        blank = np.zeros((side, side, 3), np.uint8)
        return self.processor(text=[self._blank], images=[[blank]], return_tensors="pt")

    def _tokenizing(self, texts: Sequence[str]) -> dict[str, Any]:
        """How a batch of texts is cut into tokens."""
        options: dict[str, Any] = {"padding": True, "return_tensors": "pt"}
        bos = self.tokenizer.bos_token
        return options | ({"add_special_tokens": False} if bos and texts[0].startswith(bos) else {})  # it is written

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, IndexError) as fault:
            reason = " ".join(str(fault).split())[:300]
            raise PolicyError(f"{self._name}: its processor cannot read the conversation ({reason})") from fault

    def _around(self, prompts: Sequence[Prompt], seen: Seen) -> Any:
        """What the processor makes of the prompts, with what was seen in the place of pixels."""
        from transformers import BatchFeature

        counts, token = iter(seen.tokens), self.processor.image_token
        place = re.compile(re.escape(token))
        texts = [place.sub(lambda _place: token * next(counts), prompt.text) for prompt in prompts]
        made = dict(self.tokenizer(texts, **self._tokenizing(texts)))
        shown = (made["input_ids"] == self._placeholder).long()
        return BatchFeature({**dict.fromkeys(self.made & KINDS, shown), **made, **seen.inputs})

    def _text(self, messages: Sequence[Message]) -> str:
        said = [{"role": message.role, "content": self._content(message)} for message in messages]
        return str(self.processor.apply_chat_template(said, tokenize=False, add_generation_prompt=True))

    def _content(self, message: Message) -> list[dict[str, str]]:
        return [
            {"type": "text", "text": self.escaped(part.text)} if isinstance(part, TextPart) else {"type": "image"}
            for part in message.parts
        ]

    def _fitted(self, view: View) -> View:
        """The view at a size that the model's patches fill. Wire sizes are multiples of 28, Qwen3-VL's unit is 32."""
        if not self._unit:
            return view
        width, height = (max(1, round(side / self._unit)) * self._unit for side in (view.width, view.height))
        return replace(view, width=width, height=height)

    def _takes_a_system_message(self) -> bool:
        """Whether the template takes a system message; some refuse one, and it goes before the first user's then."""
        trial = _trial(self._unit or 28)
        for system, messages in ((True, trial), (False, _folded(trial))):
            try:
                text = self._text(messages)
            except Exception as fault:  # a template is a program of its publisher's: it raises what it likes
                problem = " ".join(str(fault).split())[:200]
                continue
            token = getattr(self.processor, "image_token", None)
            if all(word in text for word in ("alpha", "bravo", "charlie", "delta", "echo")) and (
                not isinstance(token, str) or text.count(token) == 2
            ):
                return system
            problem = "it drops words or pictures"
        raise InvalidInput(f"{self._name} has no chat template that takes pictures between words ({problem})")


def control_tokens(processor: Any) -> dict[str, int]:
    """Every special token of a model but the protocol's own tags: their text and number.

    Written in a text they would end a turn or stand for a picture.
    """
    tokenizer = processor.tokenizer
    added = tokenizer.added_tokens_decoder.items()
    found = {str(token): number for number, token in added if getattr(token, "special", False)}
    found |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    for attribute in ("image_token", "video_token", "boi_token", "eoi_token"):
        token = getattr(processor, attribute, None)
        number = tokenizer.convert_tokens_to_ids(token) if isinstance(token, str) else None
        if isinstance(token, str) and isinstance(number, int):
            found[token] = number
    return {token: number for token, number in found.items() if token not in PROTOCOL and len(token) > 1}


def picture_unit(image_processor: Any) -> int | None:
    """The side in pixels of what becomes one token, where a model takes pictures of any size; None elsewhere.

    Where it is known a picture goes in at the size at which the window shows it, and is not resized again.
    """
    patch, merge = getattr(image_processor, "patch_size", None), getattr(image_processor, "merge_size", None)
    gridded = "image_grid_thw" in getattr(image_processor, "model_input_names", ())
    return patch * merge if gridded and isinstance(patch, int) and isinstance(merge, int) else None


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The system message's words at the head of the first user message."""
    system, user, *rest = messages
    return [Message("user", (*system.parts, TextPart("\n\n"), *user.parts)), *rest]


def _trial(side: int) -> list[Message]:
    from vretrver.types import ImageRef

    shown = ImagePart(View(ImageRef(data=b""), side, side), 1)
    return [
        Message("system", (TextPart("alpha"),)),
        Message("user", (TextPart("bravo"), shown, TextPart("charlie"))),
        Message("assistant", (TextPart("delta"),)),
        Message("user", (TextPart("echo"), shown)),
    ]


def _look_alike(token: re.Match[str]) -> str:
    text = token.group()
    return "\u2039" + text[1:] if text.startswith("<") else f"{text[0]} {text[1:]}"

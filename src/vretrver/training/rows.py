"""Examples to rows of tokens: what the model reads at serving time, and which of it is trained.

Prompts are written by `policies.local.prompts`, the code that serves the model, so a row up to a turn is to the token
what the model will meet there, and control tokens in texts are defused in the same way. Trained are the assistant's
turns with the token that ends a turn, nothing else: no word of a user, no tool's answer, no picture.

A row is never cut: an example longer than the context is left out and counted. It leaves out packing, which TRL refuses
for pictures, and models whose pictures become other tokens than repeats of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.images import open_image
from vretrver.messages import Message, TextPart, View
from vretrver.policies.local.prompts import PromptWriter, picture_unit
from vretrver.training.examples import Example
from vretrver.types import ImageRef

IGNORED = -100  # torch's label of a position that is not trained
TOO_LONG = "longer than the context"
UNREADABLE = "a picture cannot be read"
_PADDED: dict[str, Any] = {
    "input_ids": None,
    "attention_mask": 0,
    "mm_token_type_ids": 0,
    "token_type_ids": 0,
    "labels": IGNORED,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence to train on: a conversation up to the end of one of the assistant's turns.

    Args:
        messages: the conversation, the last turn an assistant's.
        spans: which tokens are trained, as half-open ranges of positions at which every picture counts as one token.
        short: how many tokens there are, counted in the same way.
        tokens: how many there are with pictures at full length.
    """

    messages: tuple[Message, ...]
    spans: tuple[tuple[int, int], ...]
    short: int
    tokens: int

    @property
    def pictures(self) -> int:
        return sum(len(message.views) for message in self.messages)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a data set, and what was left out of it.

    Args:
        rows: in the examples' order.
        examples: how many there were.
        left_out: examples left out, by reason.
        first: the first case of each reason, in words.
    """

    rows: tuple[Row, ...]
    examples: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(row.tokens for row in self.rows)

    @property
    def summary(self) -> str:
        """One line: how much there is, and what was left out."""
        said = f"{self.examples} examples, {len(self.rows)} rows, {self.tokens} tokens"
        said += f", the longest {max(row.tokens for row in self.rows)}" if self.rows else ""
        gone = [f"{count} {why} ({self.first[why]})" for why, count in self.left_out.items()]
        return said + (f"; left out: {'; '.join(gone)}" if gone else "")


class RowMaker:
    """Makes rows with one model's processor.

    Args:
        writer: the model's prompts.
        name: the model's, for messages.

    Raises:
        InvalidInput: the model's template ends the assistant's turns with no token of its own.
    """

    def __init__(self, writer: PromptWriter, name: str) -> None:
        self.writer = writer
        self.end = _end_of_turn(writer, name)
        self.picture = int(writer.tokenizer.convert_tokens_to_ids(writer.processor.image_token))
        self.unit = picture_unit(writer.processor.image_processor)
        self._counted: dict[tuple[int, int], int] = {}

    def rows(self, example: Example) -> list[Row]:
        """One row where every turn's prompt continues the one before, as the Qwen templates write it.

        Templates that rewrite earlier turns (some drop what was thought) get a row for each such turn: each is what the
        model would read and write there.
        """
        messages = example.messages
        turns = [at for at, message in enumerate(messages) if message.role == "assistant"]
        found: list[tuple[int, list[int], list[tuple[int, int]]]] = []
        for at in reversed(turns):
            head = self._ids(self.writer.prompt(messages[:at]).text)
            whole = head + self.said(messages[at])
            if found and found[-1][1][: len(whole)] == whole:
                found[-1][2].append((len(head), len(whole)))
            else:
                found.append((at, whole, [(len(head), len(whole))]))
        return [self._row(messages[: at + 1], len(ids), spans) for at, ids, spans in reversed(found)]

    def read(self, text: str, views: Sequence[View]) -> list[int]:
        """The tokens of a part of a prompt, pictures at full length.

        Raises:
            InvalidInput: the text has another number of pictures.
        """
        bos = self.writer.tokenizer.bos_token
        plain = {"add_special_tokens": False} if bos and text.startswith(bos) else {}
        ids: list[int] = []
        waiting = iter(views)
        for number in self.writer.tokenizer(text, **plain).input_ids:
            view = next(waiting, None) if number == self.picture else None
            ids += [int(number)] * (1 if view is None else self.tokens_of(view))
        if ids.count(self.picture) != sum(self.tokens_of(view) for view in views):
            raise InvalidInput(f"a text that came with {len(views)} pictures has places for more or fewer")
        return ids

    def said(self, message: Message) -> list[int]:
        """The tokens that the model is to write for an assistant's message, the end of its turn included."""
        text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
        ids = self.writer.tokenizer(self.writer.escaped(text) + self.end, add_special_tokens=False).input_ids
        return [int(number) for number in ids]

    def _ids(self, text: str) -> list[int]:
        bos = self.writer.tokenizer.bos_token
        written = bool(bos) and text.startswith(bos)
        ids = self.writer.tokenizer(text, **({"add_special_tokens": False} if written else {})).input_ids
        return [int(number) for number in ids]

    def _row(self, messages: tuple[Message, ...], short: int, spans: list[tuple[int, int]]) -> Row:
        views = self.writer.prompt(messages[:-1]).views
        more = sum(self.tokens_of(view) - 1 for view in views)
        return Row(messages, tuple(sorted(spans)), short, short + more)

    def tokens_of(self, view: View) -> int:
        """How many tokens a picture of a prompt takes: by its area where the model takes any size, else by trial."""
        if self.unit:
            return view.width * view.height // self.unit**2
        size = (view.width, view.height)
        if size not in self._counted:
            blank = np.zeros((view.height, view.width, 3), np.uint8)
            tried = self.writer.processor(text=[self.writer.processor.image_token], images=[[blank]])
            self._counted[size] = sum(int(token) == self.picture for token in tried["input_ids"][0])
        return self._counted[size]


def make_rows(
    examples: Iterable[Example],
    maker: RowMaker,
    max_tokens: int,
    *,
    decode: bool = True,
    each: Callable[[], object] = lambda: None,
) -> Rows:
    """The rows of all examples that can be trained whole.

    Args:
        max_tokens: the longest row, pictures at full length; an example with a longer one is left out.
        decode: open every picture now; those that fail cost their examples and are counted. Without it a damaged
            picture ends the training when it is reached.
        each: called after each example, for progress.

    Raises:
        InvalidInput: nothing is left to train on; says why.
    """
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}
    opened: dict[ImageRef, str | None] = {}
    count = 0
    for example in examples:
        count += 1
        made = maker.rows(example)
        longest = max(row.tokens for row in made)
        why, case = None, ""
        if longest > max_tokens:
            why, case = TOO_LONG, f"{longest} tokens, at most {max_tokens}"
        elif decode and (damage := _damage(example, opened)):
            why, case = UNREADABLE, damage
        if why is None:
            rows += made
        else:
            left_out[why] += 1
            first.setdefault(why, f"the first: example {count}, {case}")
        each()
    result = Rows(tuple(rows), count, dict(left_out), first)
    if not rows:
        raise InvalidInput(f"there is nothing to train on: {result.summary if count else 'the data hold no example'}")
    return result


class Collator:
    """Rows to a batch of tensors, padded on the right; made for a torch DataLoader.

    Args:
        rows: what a feature's `row` counts in.
        maker: the model's.
    """

    def __init__(self, rows: Sequence[Row], maker: RowMaker) -> None:
        self.rows, self._maker = rows, maker

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """`input_ids`, `attention_mask`, `labels` [B, T] and what the model takes for its pictures.

        Raises:
            MissingPath, ImageError: a picture cannot be decoded.
        """
        import torch

        encoded = [self.encode(self.rows[int(feature["row"])]) for feature in features]
        batch: dict[str, Any] = {}
        for key in dict.fromkeys(key for one in encoded for key in one):
            values = [one[key] for one in encoded if key in one]
            if key in _PADDED:
                filler = _PADDED[key]
                filler = self._maker.writer.tokenizer.pad_token_id if filler is None else filler
                batch[key] = torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=filler)
            else:
                batch[key] = torch.cat(values)
        return batch

    def encode(self, row: Row) -> dict[str, Any]:
        """One row's tensors: one-dimensional tokens, and pictures as the processor gives them.

        Raises:
            InvalidInput: the processor gave a picture another number of tokens than its size says.
        """
        import torch

        writer = self._maker.writer
        prompt = writer.prompt(row.messages[:-1])
        inputs = dict(writer.inputs([prompt]))
        said = torch.tensor(self._maker.said(row.messages[-1]))
        ids = torch.cat([inputs.pop("input_ids")[0], said])
        first = self._firsts(ids, [self._maker.tokens_of(view) for view in prompt.views])
        place = torch.cumsum(first, 0) - 1  # where each picture counts as one token
        if len(ids) != row.tokens or int(place[-1]) + 1 != row.short:
            raise InvalidInput(
                f"a row came out with {len(ids)} tokens where {row.tokens} were expected: the processor treats "
                "pictures in a way that training does not know"
            )
        labels = torch.full_like(ids, IGNORED)
        for start, end in row.spans:
            trained = (place >= start) & (place < end)
            labels[trained] = ids[trained]
        encoded = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
        inputs.pop("attention_mask")
        for key, value in inputs.items():
            told = key in _PADDED  # something of each token; said tokens are plain text
            encoded[key] = torch.cat([value[0], torch.zeros(len(said), dtype=value.dtype)]) if told else value
        return encoded

    def _firsts(self, ids: Any, counts: Sequence[int]) -> Any:
        """Which tokens are no repeats: all but the second and later ones of each picture."""
        import torch

        of_pictures = (ids == self._maker.picture).nonzero().flatten()
        firsts = torch.ones_like(ids, dtype=torch.bool)
        firsts[of_pictures] = False
        starts = torch.tensor([0, *counts], dtype=torch.long).cumsum(0)[: len(counts)]
        firsts[of_pictures[starts[starts < len(of_pictures)]]] = True
        return firsts


def _damage(example: Example, opened: dict[ImageRef, str | None]) -> str | None:
    """What is wrong with the first of an example's pictures that cannot be decoded; each picture is opened once."""
    for part in example.pictures:
        ref = part.view.image
        if ref not in opened:
            try:
                open_image(ref, near=32)
                opened[ref] = None
            except (ImageError, MissingPath) as fault:
                opened[ref] = " ".join(str(fault).split())[:200]
        if opened[ref] is not None:
            return opened[ref]
    return None


def _end_of_turn(writer: PromptWriter, name: str) -> str:
    """The token that the template writes after what the assistant says."""
    said = "delta"
    messages = [Message("system", (TextPart("alpha"),)), Message("user", (TextPart("bravo"),))]
    after = writer.prompt([*messages, Message("assistant", (TextPart(said),))]).text.rpartition(said)[2]
    ends = {token for token in writer.control if after.startswith(token)}
    if not ends:
        raise InvalidInput(
            f"{name} cannot be trained: its chat template ends the assistant's turns with no token, so the model would "
            "never learn to stop"
        )
    return max(ends, key=len)

"""The language side taught: first to compare crops, then whole episodes. Loss on what the agent writes alone.

Pictures enter as maps of the tower's frozen layers, computed once (`maps`); its own stages and the projector are taught
with the text model unless `still` says otherwise. Maps are moved by whole cells at random, as boxes are displaced.
It leaves out TRL and what `training.sft` does with it: that trains any model on any trajectories; this is the schooling
of one small model on a generated world, at many thousand questions for each that is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vretrver.training.nano.questions import Question
from vretrver.training.nano.tower import own_stages

IGNORED = -100
VERDICT = 3.0  # weight of a verdict's loss: one token of twenty, and the only one that is hard


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions side by side, padded on the right.

    Args:
        ids, attention, labels: (B, L). maps: (P, 48, rows, columns) of all pictures in order.
        verdicts: (B, L), which labels are yes or no.
    """

    ids: Tensor
    attention: Tensor
    labels: Tensor
    verdicts: Tensor
    maps: Tensor


class Words:
    """The tokens that say yes and no. Args: `tokenizer`: the model's."""

    def __init__(self, tokenizer: Any) -> None:
        self.yes = tuple(int(tokenizer.convert_tokens_to_ids(text)) for text in ("yes", ": yes. "))
        self.no = tuple(int(tokenizer.convert_tokens_to_ids(text)) for text in ("no", ": no. "))
        self.image = int(tokenizer.convert_tokens_to_ids("<image>"))
        self.pad = int(tokenizer.pad_token_id)


def batch_of(
    questions: Sequence[Question],
    stores: Mapping[str, NDArray[np.float16]],
    words: Words,
    *,
    device: torch.device | str = "cpu",
    dice: np.random.Generator | None = None,
) -> Batch:
    """Questions as tensors.

    Args:
        stores: maps (N, rows, columns, 48) by kind of picture. dice: moves close-ups' maps; None leaves them.
    """
    length = max(len(one.ids) for one in questions)
    ids = torch.full((len(questions), length), words.pad)
    attention = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for at, one in enumerate(questions):
        row = torch.tensor(one.ids)
        ids[at, : len(row)], attention[at, : len(row)] = row, 1
        labels[at, : len(row)] = torch.where(torch.tensor(one.trained), row, IGNORED)
    verdicts = torch.isin(labels, torch.tensor(words.yes + words.no))
    shown = []
    for kind, row_number in (picture for one in questions for picture in one.pictures):
        maps = torch.as_tensor(stores[kind][row_number]).permute(2, 0, 1).float()
        shown.append(moved(maps, dice) if dice is not None and kind == "close-up" else maps)
    tensors = (ids, attention, labels, verdicts, torch.stack(shown))
    return Batch(*(tensor.to(device) for tensor in tensors))


def moved(maps: Tensor, dice: np.random.Generator, across: int = 2, down: int = 1) -> Tensor:
    """Maps (C, rows, columns) displaced by whole cells, their edges repeated."""
    rows, columns = maps.shape[1:]
    wide = functional.pad(maps[None], (across, across, down, down), mode="replicate")[0]
    left, top = int(dice.integers(0, 2 * across + 1)), int(dice.integers(0, 2 * down + 1))
    return wide[:, top : top + rows, left : left + columns]


def logits_of(model: Any, batch: Batch, words: Words) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (T, vocabulary) where something is to be written, what it is (T,), and which of it is a verdict (T,)."""
    inner = model.model
    features = own_stages(inner.vision_tower, batch.maps).flatten(2).transpose(1, 2)
    embedded = model.get_input_embeddings()(batch.ids)
    pictures = inner.multi_modal_projector(features).to(embedded.dtype)
    embedded = embedded.masked_scatter((batch.ids == words.image)[..., None], pictures)
    hidden = inner.language_model(inputs_embeds=embedded, attention_mask=batch.attention).last_hidden_state
    written = batch.labels[:, 1:] != IGNORED
    logits = model.lm_head(hidden[:, :-1][written]).float()
    return logits, batch.labels[:, 1:][written], batch.verdicts[:, 1:][written]


def loss_of(logits: Tensor, wanted: Tensor, verdicts: Tensor) -> Tensor:
    """Cross entropy in which a verdict counts `VERDICT` times."""
    each = functional.cross_entropy(logits, wanted, reduction="none")
    weight = torch.where(verdicts, VERDICT, 1.0)
    return (each * weight).sum() / weight.sum()


@torch.no_grad()
def exam(
    model: Any,
    questions: Sequence[Question],
    stores: Mapping[str, NDArray[np.float16]],
    words: Words,
    *,
    device: torch.device | str = "cpu",
    batch: int = 16,
) -> list[dict[str, Any]]:
    """What the model thinks of each question while it has said no to everything so far.

    Verdicts given right would tell: one yes alone is to come, so after it there is none, and before it each no makes
    the next yes likelier, whatever is seen. So every verdict is read as no, and the chances of a first yes compared.

    Returns:
        Per question `group` ("i->i/which"), `hit`: whether the first yes is likeliest at the right candidate,
        `chances`: of a first yes at each, `others`: the share of right tokens besides verdicts.
    """
    model.eval()
    found = []
    for start in range(0, len(questions), batch):
        part = questions[start : start + batch]
        made = batch_of(part, stores, words, device=device)
        for yes, no in zip(words.yes, words.no, strict=False):
            made.ids[made.ids == yes] = no
        logits, wanted, verdicts = logits_of(model, made, words)
        owner = (made.labels[:, 1:] != IGNORED).nonzero()[:, 0]
        right = logits.argmax(-1) == wanted
        chances = logits.softmax(-1)
        yes_now, no_now = (chances[:, list(said)].sum(-1) for said in (words.yes, words.no))
        hazard = yes_now / (yes_now + no_now).clamp(min=1e-9)
        for at, one in enumerate(part):
            mine = owner == at
            first = first_yes(hazard[mine & verdicts])
            found.append(
                {
                    "group": f"{one.group.modality}/{one.group.kind}",
                    "hit": int(first.argmax()) == one.group.answer,
                    "chances": [round(float(chance), 4) for chance in first],
                    "others": float(right[mine & ~verdicts].float().mean()),
                }
            )
    return found


def first_yes(hazard: Tensor) -> Tensor:
    """Chances (K,) that the first yes is said at each of K candidates, from the chance of a yes after noes alone."""
    before = torch.cat([torch.ones(1, device=hazard.device), (1 - hazard).cumprod(0)[:-1]])
    return before * hazard

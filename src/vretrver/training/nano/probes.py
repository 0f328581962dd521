"""What is asked of the text model's middle layers while it learns: each step of comparing and pointing, by itself.

Comparing crops takes several steps that pay only together: to know of which picture a token is, to gather its mark at
one token, to find the query's mark alike, to look it up for a verdict. Left to the verdict's loss alone a small model
learns none of them in thousands of questions. Asked layer by layer (deep supervision: Lee et al., "Deeply-Supervised
Nets", AISTATS 2015) it learns all in minutes. The probes are thrown away afterwards.

    after layer 1   a picture's token: its picture's number, its cell; a written token: the number it speaks of
    after layer 2   a crop's last token, and the end of a text that says what is wanted: which mark or print, by
                    contrast, and which characters; the tag's cell: its box
    after layer 3   a crop's last token: is it as the query's? its number again
    in layer 4      head 1 of a verdict looks at its crop's last token, head 2 of a box at the tag's cell

It needs four layers, the last with two heads of 64 or more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vretrver.training.nano.close_ups import CHARACTERS
from vretrver.training.nano.eye import alike
from vretrver.training.nano.forward import HEAD, angles, normed, rotated
from vretrver.training.nano.language import Batch
from vretrver.training.nano.settings import TOKENS

NUMBERS, LETTERS, BLANK = 6, 6, len(CHARACTERS)
CROP, TAG = 1, 2  # what a written token is about: a crop, or where a tag is


class Probes(nn.Module):
    """Linear heads. Args: `width`: the text model's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.number, self.number_late = nn.Linear(width, NUMBERS), nn.Linear(width, NUMBERS)
        self.cell, self.box, self.same = nn.Linear(width, TOKENS), nn.Linear(width, 4), nn.Linear(width, 1)
        self.key = nn.Linear(width, 64, bias=False)
        self.text, self.text_late = nn.Linear(width, LETTERS * (BLANK + 1)), nn.Linear(width, LETTERS * (BLANK + 1))

    def losses(self, states: list[Tensor], text: Any, batch: Batch) -> dict[str, Tensor]:
        """Weighted losses by question; what a batch does not hold is left out."""
        early, middle, late = (_plain(states[at]) for at in (1, 2, 3))
        shown = batch.pictures
        first, second, third = (
            state[batch.image].view(len(shown.numbers), TOKENS, -1) for state in (early, middle, late)
        )
        cells = torch.arange(TOKENS, device=first.device).repeat(len(first))
        found = {
            "number": 0.1 * _entropy(self.number(first).flatten(0, 1), shown.numbers.repeat_interleave(TOKENS)),
            "cell": 0.1 * _entropy(self.cell(first).flatten(0, 1), cells),
            "late": 0.1 * _entropy(self.number_late(third[:, -1]), shown.numbers),
        }
        spoken = batch.spoken >= 0
        if spoken.any():
            wanted = batch.spoken[spoken]
            found["spoken"] = 0.1 * _entropy(self.number(early[spoken]), wanted)
            found["spoken"] += 0.1 * _entropy(self.number_late(late[spoken]), wanted)
        found |= self._far(second, third, shown) | self._near(second, third, shown)
        found |= self._named(middle, late, second, batch)
        return found | _looking(states[3], text.layers[3], batch)

    def _named(self, middle: Tensor, late: Tensor, second: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What shows the same is brought together, as seen and as named; and what a named print says."""
        near, texts = batch.pictures.near, batch.ends >= 0
        if not near.any():
            return {}
        rows = texts.nonzero()[:, 0]
        ends, last = (state[rows, batch.ends[texts]] for state in (middle, late))
        found, spelled = {}, batch.spelled[texts]
        printed = spelled[:, 0] >= 0
        if printed.any():
            wanted = spelled[printed].flatten()
            for name, state, head in (("said", ends, self.text), ("said late", last, self.text_late)):
                found[name] = 0.2 * _entropy(head(state[printed]).view(-1, BLANK + 1), wanted)
        keys = functional.normalize(self.key(torch.cat([second[near][:, -1], ends])), dim=-1)
        return found | {"key": 0.2 * alike(keys, torch.cat([batch.pictures.labels[near], batch.asked[texts]]))}

    def _far(self, second: Tensor, third: Tensor, shown: Any) -> dict[str, Tensor]:
        far = ~shown.near
        if not far.any():
            return {}
        said = self.box(second[far, shown.cells[far]])
        return {
            "box": 5 * functional.smooth_l1_loss(said, shown.boxes[far], beta=0.02),
            "tagged": 0.1 * _entropy(self.number_late(third[far, shown.cells[far]]), shown.numbers[far]),
        }

    def _near(self, second: Tensor, third: Tensor, shown: Any) -> dict[str, Tensor]:
        if not shown.near.any():
            return {}
        found = {}
        printed = shown.letters[:, 0] >= 0
        if printed.any():
            wanted = shown.letters[printed].flatten()
            for name, state, head in (("text", second, self.text), ("text late", third, self.text_late)):
                found[name] = 0.4 * _entropy(head(state[printed][:, -1]).view(-1, BLANK + 1), wanted)
        asked = shown.same >= 0
        if asked.any():
            said = self.same(third[asked][:, -1])[:, 0]
            found["same"] = 0.5 * functional.binary_cross_entropy_with_logits(said, shown.same[asked].float())
        return found


def _looking(state: Tensor, layer: Any, batch: Batch) -> dict[str, Tensor]:
    """How much of their attention the last layer's first two heads give to what they are to look at."""
    hidden = normed(state, layer.input_layernorm.weight)
    cos, sin, mask = angles(hidden.shape[1], hidden.dtype, hidden.device)
    found = {}
    for head, about in ((0, CROP), (1, TAG)):
        rows, at = (batch.about == about).nonzero(as_tuple=True)
        if not len(rows):
            continue
        part = slice(head * HEAD, (head + 1) * HEAD)
        asked = rotated(hidden[rows, at] @ layer.self_attn.q_proj.weight[part].T, (cos[at], sin[at]))
        kept = rotated(hidden @ layer.self_attn.k_proj.weight[part].T, (cos, sin))
        scores = torch.einsum("nd,nld->nl", asked, kept[rows]).float() * HEAD**-0.5 + mask[at]
        found["crop" if about == CROP else "tag"] = 0.1 * _entropy(scores, batch.goals[rows, at])
    return found


def _plain(state: Tensor) -> Tensor:
    return functional.layer_norm(state.float(), state.shape[-1:])


def _entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return functional.cross_entropy(logits, wanted)

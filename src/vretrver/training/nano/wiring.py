"""Initial weights of the text model that can compare and point: circuits laid by hand, which training uses or undoes.

Left to chance a small model says no to everything for as long as one core can wait (docs/nano.md): no single step of
comparing pays before the others are there. So the steps are laid beforehand, in a part of the residual stream that
other weights do not write to at first:

    layer 0  every token reads the nearest digit before it: the number of the picture or candidate that is spoken of;
             and whether a box began two, four or six tokens ago: which of its numbers comes next
    layer 1  a picture's tokens look for marks like theirs in picture 0, and note how much they found;
             every token reads the tag's box off the picture that is spoken of, as the eye's pointer puts it
    layer 2  a verdict reads what the marks of its candidate's picture found;
             the number of the box that comes next is taken

The keys by which tokens are alike are the eye's own, so a mark never seen before is compared as well as any. It knows
pictures as queries alone; everything else that is asked (words, prints, places) has to be learnt by the rest.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vretrver.training.nano.episodes import BEGINS_BOX, BEGINS_QUERY, box_numbers

KEYS = 36  # numbers that tell tokens apart, the eye's first principal ones
DIGITS = 7  # numbers of pictures, from 0
HEAD = 64  # width of a head
LIKE, NOTHING = 40.0, 12.0  # logits of being alike, of nothing to be found
_MARK, _START = 40, 41  # a mark is here; a turn begins
_FLAG, _DIGIT, _BALLAST, _THERE = 44, 45, 46, 47  # a picture's token; a digit; everywhere the same; the tag is here
_NAME, _LABEL, _MATCH, _FOUND = 50, 60, 70, 71
_CORNERS, _POINT, _NEXT, _NUMBER, _ONE = 80, 84, 88, 92, 93
_LAID = range(96)  # of the residual stream
_NORM = 0.28  # about the root mean square of a token with its ballast, at width 256
_THETA = 1e9
# Corners stand as (share - 0.5) / 2, the tag as 1 / 4: small, as on a close-up they may be anything.
_SPREAD, _SHOWN = 0.5, 0.25
_SHARP = 6400.0  # how much nearer numbers are likelier


def frequencies() -> Tensor:
    """Of the pairs (i, i + 32) of a head, in radians a token."""
    return torch.exp(-math.log(_THETA) * torch.arange(HEAD // 2) / (HEAD // 2))


@torch.no_grad()
def lay(model: Any, tokenizer: Any, heads: Any, cells: tuple[Tensor, Tensor], seen: Tensor) -> None:
    """Lay the circuits.

    Args:
        model: a new one, of at least three layers and four heads of width 64.
        heads: the eye's `eye.Heads`.
        cells: features of close-ups' cells, (N, 1280), most of them blank, and which hold a mark (N,).
        seen: features of thumbnails, (M, 24, 1280).
    """
    text = model.model.language_model
    _clear(model, text)
    _project(model.model.multi_modal_projector, heads, (cells[0].float(), cells[1].float()), seen.float())
    words = model.get_input_embeddings().weight
    words[:, _BALLAST] = 4.0
    names = [*map(str, range(DIGITS)), BEGINS_QUERY]
    for name in names:
        number = tokenizer.convert_tokens_to_ids(name)
        words[number, _DIGIT] = words[number, _NAME + (int(name) if name.isdigit() else 0)] = 1.0
    words[tokenizer.convert_tokens_to_ids(BEGINS_BOX), _NEXT] = 1.0
    words[tokenizer.convert_tokens_to_ids("<|im_start|>"), _START] = 1.0
    _numbers(text.layers[0].self_attn)
    _compare(text.layers[1].self_attn)
    _point(text.layers[1].self_attn)
    _gather(text.layers[2].self_attn)
    _choose(text.layers[2].mlp)
    _say(model.lm_head.weight, tokenizer)


def _clear(model: Any, text: Any) -> None:
    words = model.get_input_embeddings().weight
    words.normal_(0, 0.12)
    words[:, : len(_LAID)] = 0
    model.lm_head.weight[:, : len(_LAID)] = 0
    for layer in text.layers:
        layer.self_attn.o_proj.weight[: len(_LAID)] = 0
        layer.mlp.down_proj.weight[: len(_LAID)] = 0


def _project(projector: Any, heads: Any, cells: tuple[Tensor, Tensor], seen: Tensor) -> None:
    """A picture's token begins with its key, less a blank's (gelu(x) - gelu(-x) is x), and holds the eye's pointer."""
    key = heads.key.weight.float()
    keys = cells[0] @ key.T
    middle = keys[cells[1] == 0].median(0).values
    salient = (keys - middle)[cells[1] == 1]
    axes = torch.linalg.svd(salient, full_matrices=False)[2][:KEYS]
    scale = 2.0 / (salient @ axes.T).norm(dim=1).mean()
    weight, bias = scale * axes @ key, -scale * axes @ middle
    first, second = projector.linear_1, projector.linear_2
    second.weight[: len(_LAID)] = 0
    second.weight[:, : 2 * KEYS + 2 + len(heads.box[0].bias)] = 0
    second.bias[: len(_LAID)] = 0
    first.weight[:KEYS], first.weight[KEYS : 2 * KEYS] = weight, -weight
    first.bias[:KEYS], first.bias[KEYS : 2 * KEYS] = bias, -bias
    second.weight[:KEYS, :KEYS] = torch.eye(KEYS)
    second.weight[:KEYS, KEYS : 2 * KEYS] = -torch.eye(KEYS)
    second.bias[_FLAG], second.bias[_BALLAST] = 1.0, 4.0
    mark, level = _linear(*cells)
    first.weight[2 * KEYS], first.weight[2 * KEYS + 1] = mark, -mark
    first.bias[2 * KEYS], first.bias[2 * KEYS + 1] = level, -level
    second.weight[_MARK, 2 * KEYS], second.weight[_MARK, 2 * KEYS + 1] = 1.0, -1.0
    into, out = heads.box[0], heads.box[2]
    units = slice(2 * KEYS + 2, 2 * KEYS + 2 + len(into.bias))
    first.weight[units], first.bias[units] = into.weight.flatten(1), into.bias
    corners = slice(_CORNERS, _CORNERS + 4)
    second.weight[corners, units] = _SPREAD * out.weight.flatten(1)[1:]
    second.bias[corners] = _SPREAD * (out.bias[1:] - 0.5)
    hidden = torch.nn.functional.gelu(seen @ into.weight.flatten(1).T + into.bias)
    there = hidden @ out.weight.flatten(1)[0] + out.bias[0]
    high, low = there.max(1).values.mean(), there.mean()
    second.weight[_THERE, units] = _SHOWN * out.weight.flatten(1)[0] / (high - low)
    second.bias[_THERE] = _SHOWN * (out.bias[0] - low) / (high - low)


def _linear(features: Tensor, wanted: Tensor, ridge: float = 10.0) -> tuple[Tensor, Tensor]:
    """Weights (1280,) and a bias that tell 1 from 0 by least squares."""
    middle = features.mean(0)
    away, shift = (features - middle).double(), (wanted - wanted.mean()).double()
    square = away.T @ away + ridge * torch.eye(away.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(square, away.T @ shift).float()
    return weight, wanted.mean() - weight @ middle


def _numbers(attention: Any) -> None:
    """Layer 0. Head 1: the nearest digit. Heads 0, 2, 3: did a box begin two, four, six tokens ago?"""
    rates, up = frequencies(), _gain(8.0, 2.0)
    for head in range(4):
        _empty(attention, head)
    for pair in range(3, 9):  # pairs whose sum falls with distance, over one picture's length
        attention.q_proj.weight[HEAD + pair, _BALLAST] = up
        attention.k_proj.weight[HEAD + pair, _DIGIT] = up
    for digit in range(DIGITS):
        attention.v_proj.weight[HEAD + digit, _NAME + digit] = 1.0
        attention.o_proj.weight[_LABEL + digit, HEAD + digit] = _NORM
    up = _gain(16.0, 4.0)
    for head, back, to in ((0, 2, 1), (2, 4, 2), (3, 6, 3)):
        at = head * HEAD
        for pair in range(4):  # quick pairs, turned by so many tokens
            turn = float(rates[pair]) * back
            attention.q_proj.weight[at + pair, _BALLAST] = up * math.cos(turn)
            attention.q_proj.weight[at + HEAD // 2 + pair, _BALLAST] = -up * math.sin(turn)
            attention.k_proj.weight[at + pair, _BALLAST] = up
        attention.v_proj.weight[at, _NEXT] = 1.0
        attention.o_proj.weight[_NEXT + to, at] = _NORM


def _compare(attention: Any) -> None:
    """Head 0 of layer 1: the marks of picture 0 that are like me, or else a turn's beginning; how much was found?"""
    _empty(attention, 0)
    slots = _slow_slots()
    up = _gain(LIKE, 2.0)
    for at in range(KEYS):
        attention.q_proj.weight[slots[at], at] = attention.k_proj.weight[slots[at], at] = up
    free = [slots[at] for at in range(KEYS, KEYS + 3)]
    for slot, dimension, logit in ((free[0], _START, NOTHING), (free[1], _MARK, 4.0)):
        more = _gain(logit, 2.0)
        attention.q_proj.weight[slot, _BALLAST] = more
        attention.k_proj.weight[slot, dimension] = more
    less = _gain(2 * LIKE, 2.0)
    attention.q_proj.weight[free[2], _BALLAST] = less
    for digit in range(1, DIGITS):
        attention.k_proj.weight[free[2], _LABEL + digit] = -less
    attention.v_proj.weight[0, _LABEL] = attention.v_proj.weight[0, _FLAG] = 1.0
    attention.v_proj.weight[0, _BALLAST] = -0.25
    attention.o_proj.weight[_MATCH, 0] = _NORM


def _point(attention: Any) -> None:
    """Head 2 of layer 1: where the tag is in the picture that is spoken of."""
    _empty(attention, 2)
    at, slots, up = 2 * HEAD, _slow_slots(), _gain(16.0, 1.0)
    for digit in range(DIGITS):
        attention.q_proj.weight[at + slots[digit], _LABEL + digit] = up
        attention.k_proj.weight[at + slots[digit], _LABEL + digit] = up
    for slot, dimension, logit, size in ((DIGITS, _THERE, 12.0, _SHOWN), (DIGITS + 1, _FLAG, 8.0, 1.0)):
        more = _gain(logit, math.sqrt(4.0 * size))
        attention.q_proj.weight[at + slots[slot], _BALLAST] = more
        attention.k_proj.weight[at + slots[slot], dimension] = more
    for corner in range(4):
        attention.v_proj.weight[at + corner, _CORNERS + corner] = 1.0
        attention.o_proj.weight[_POINT + corner, at + corner] = _NORM


def _gather(attention: Any) -> None:
    """Head 1 of layer 2: what the marks found of the picture whose number was just written."""
    _empty(attention, 1)
    slots, up = _slow_slots(), _gain(12.0, 1.0)
    for digit in range(1, DIGITS):
        attention.q_proj.weight[HEAD + slots[digit], _LABEL + digit] = up
        attention.k_proj.weight[HEAD + slots[digit], _LABEL + digit] = up
    for slot, dimension, logit in ((DIGITS, _FLAG, 8.0), (DIGITS + 1, _MARK, 16.0)):
        more = _gain(logit, 2.0)
        attention.q_proj.weight[HEAD + slots[slot], _BALLAST] = more
        attention.k_proj.weight[HEAD + slots[slot], dimension] = more
    attention.v_proj.weight[HEAD, _MATCH] = 1.0
    attention.o_proj.weight[_FOUND, HEAD] = _NORM


def _choose(mlp: Any) -> None:
    """Eight units of layer 2's gated network: the corner that comes next, and that one comes at all."""
    for corner in range(4):
        for unit, taken, to in ((corner, _POINT + corner, _NUMBER), (4 + corner, _BALLAST, _ONE)):
            for part in (mlp.gate_proj, mlp.up_proj):
                part.weight[unit] = 0
            mlp.down_proj.weight[:, unit] = 0
            mlp.gate_proj.weight[unit, _NEXT + corner] = 16.0 * _NORM
            mlp.gate_proj.weight[unit, _BALLAST] = -8.0 * _NORM / 4.0
            mlp.up_proj.weight[unit, taken] = _NORM / 8.0
            mlp.down_proj.weight[to, unit] = 1.0 if to == _NUMBER else 0.25


def _say(words: Tensor, tokenizer: Any) -> None:
    """A number is likeliest nearest to its corner: (x - b)^2 is linear in x but for what all numbers share. What found
    its like is a yes."""
    for value in box_numbers():
        number, place = tokenizer.convert_tokens_to_ids(str(value)), (value / 1000 - 0.5) * _SPREAD
        words[number, _NUMBER] = 2 * _SHARP * place * _NORM
        words[number, _ONE] = (10.0 - _SHARP * place * place) * _NORM
    for text, sign in (("yes", 1.0), (": yes. ", 1.0), ("no", -1.0), (": no. ", -1.0)):
        words[tokenizer.convert_tokens_to_ids(text), _FOUND] = sign * 8.0 * _NORM
    for text in ("no", ": no. "):
        words[tokenizer.convert_tokens_to_ids(text), _BALLAST] = 0.8 * _NORM


def _empty(attention: Any, head: int) -> None:
    rows = slice(head * HEAD, (head + 1) * HEAD)
    for part in (attention.q_proj, attention.k_proj, attention.v_proj):
        part.weight[rows] = 0
    attention.o_proj.weight[:, rows] = 0


def _slow_slots() -> list[int]:
    """Places in a head that hardly turn over an episode, so that their products do not depend on distance."""
    slow = [pair for pair, rate in enumerate(frequencies()) if rate < 0.002]
    return slow + [pair + HEAD // 2 for pair in slow]


def _gain(logit: float, size: float) -> float:
    """The weight, on both sides, by which two equal inputs of this size in the residual stream give this logit."""
    return math.sqrt(logit * math.sqrt(HEAD)) * _NORM / size


def hold(model: Any) -> list[Any]:
    """Keep what is laid while the rest learns: the first steps, which learn syntax, would otherwise wash it out.

    Returns:
        Handles; `remove()` each to let all learn.
    """
    text, few = model.model.language_model, len(_LAID)
    rows = [layer.self_attn.o_proj.weight for layer in text.layers] + [
        layer.mlp.down_proj.weight for layer in text.layers
    ]
    columns = [model.get_input_embeddings().weight, model.lm_head.weight]
    handles = [weight.register_hook(_mask(weight, slice(None, few), slice(None))) for weight in rows]
    handles += [weight.register_hook(_mask(weight, slice(None), slice(None, few))) for weight in columns]
    laid = ((0, range(4)), (1, (0, 2)), (2, (1,)))
    for layer, heads in laid:
        attention = text.layers[layer].self_attn
        for part in (attention.q_proj, attention.k_proj, attention.v_proj):
            mask = torch.ones_like(part.weight)
            for head in heads:
                mask[head * HEAD : (head + 1) * HEAD] = 0
            handles.append(part.weight.register_hook(lambda grad, mask=mask: grad * mask.to(grad)))
    for part in (text.layers[2].mlp.gate_proj, text.layers[2].mlp.up_proj):
        handles.append(part.weight.register_hook(_mask(part.weight, slice(None, 8), slice(None))))
    projector = model.model.multi_modal_projector
    for weight in (
        projector.linear_1.weight,
        projector.linear_1.bias,
        projector.linear_2.weight,
        projector.linear_2.bias,
    ):
        handles.append(weight.register_hook(torch.zeros_like))
    return handles


def _mask(weight: Tensor, rows: slice, columns: slice) -> Any:
    mask = torch.ones_like(weight)
    mask[rows, columns] = 0
    return lambda grad: grad * mask.to(grad)

"""The text model's forward pass for training on a CPU: each layer compiled once per shape, no padding mask.

What `LlamaModel` computes, from its own weights (a test compares them), with every layer's hidden states. Rows are
padded on the right, so a causal mask is enough. Attention is plain products: for two hundred tokens in bfloat16 that is
several times faster on a CPU than the library's own attention with its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from vretrver.training.nano.architecture import THETA

HEAD = 64


def normed(hidden: Tensor, weight: Tensor) -> Tensor:
    """By the root mean square, as the text model does it."""
    single = hidden.float()
    scale = torch.rsqrt(single.pow(2).mean(-1, keepdim=True) + 1e-6)
    return (single * scale).to(hidden.dtype) * weight


def rotated(vectors: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """By their positions: vectors (..., L, HEAD), cosines and sines (L, HEAD)."""
    left, right = vectors.chunk(2, -1)
    return vectors * tables[0] + torch.cat([-right, left], -1) * tables[1]


@lru_cache(maxsize=64)
def angles(length: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines, sines (L, HEAD) of the positions, and the causal mask (L, L), 0 or very low."""
    rates = THETA ** (-torch.arange(0, HEAD, 2, device=device).float() / HEAD)
    turns = torch.outer(torch.arange(length, device=device).float(), rates).repeat(1, 2)
    return turns.cos().to(dtype), turns.sin().to(dtype), torch.full((length, length), -1e9, device=device).triu(1)


def _layer(hidden: Tensor, weights: tuple[Tensor, ...], cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
    before, query, key, value, out, between, gate, up, down = weights
    rows, length, width = hidden.shape
    seen = normed(hidden, before)
    turned = [(seen @ part.T).view(rows, length, width // HEAD, HEAD).transpose(1, 2) for part in (query, key, value)]
    asked, kept = (rotated(vectors, (cos, sin)).reshape(-1, length, HEAD) for vectors in turned[:2])
    scores = (asked @ kept.transpose(1, 2)).float() * HEAD**-0.5 + mask
    mixed = scores.softmax(-1).to(hidden.dtype) @ turned[2].reshape(-1, length, HEAD)
    hidden = hidden + mixed.view(rows, -1, length, HEAD).transpose(1, 2).reshape(rows, length, width) @ out.T
    seen = normed(hidden, between)
    return hidden + (silu(seen @ gate.T) * (seen @ up.T)) @ down.T


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Tensor]:
    import torch._inductor.config as settings

    settings.pattern_matcher = False  # it would put the slow attention back
    return torch.compile(_layer, dynamic=False)


def text_states(text: Any, embedded: Tensor, *, compiled: bool = False) -> tuple[list[Tensor], Tensor]:
    """Hidden states before each layer and after the last, and what the language head reads.

    Args:
        text: a `LlamaModel` of heads of 64 numbers, as many for keys as for queries. embedded: (B, L, width).
        compiled: pays after some dozen steps of one shape.
    """
    layer = _compiled() if compiled else _layer
    tables = angles(embedded.shape[1], embedded.dtype, embedded.device)
    states = [embedded]
    for part in text.layers:
        attention, mlp = part.self_attn, part.mlp
        layers = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        weights = (part.input_layernorm.weight, *(one.weight for one in layers), part.post_attention_layernorm.weight)
        weights += tuple(one.weight for one in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
        states.append(layer(states[-1], weights, *tables))
    return states, normed(states[-1], text.norm.weight)

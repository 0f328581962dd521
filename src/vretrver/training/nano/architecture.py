"""The nano agent's model: stock classes alone, so that `AutoModelForImageTextToText` and `AutoProcessor` load it.

`FastVlmForConditionalGeneration`: a convolutional tower (`tower`), a two-layer projector, a Llama text model. Every
picture is squeezed to 192 x 128 pixels and becomes 24 tokens, a thumbnail as well as a crop. About 5 million numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vretrver.training.nano.settings import HEIGHT, STRIDE, WIDTH
from vretrver.training.nano.tokenizer import IMAGE
from vretrver.training.nano.tower import MEAN, STD, new_tower, tower_config

THETA = 1e9
"""Slow rotations: half of a head's pairs hardly turn over an episode, so content can be compared at a distance."""


@dataclass(frozen=True, slots=True)
class Size:
    """Args: `width`, `layers`, `heads`, `inner`: of the text model. `own`: channels of the tower's own two stages."""

    width: int = 256
    layers: int = 4
    heads: int = 4
    inner: int = 512
    own: tuple[int, int] = (128, 256)
    context: int = 4096


def new_model(tokenizer: Any, size: Size, *, pretrained: bool = True) -> Any:
    """A model with a random text side; errors as `tower.new_tower`."""
    import transformers as hf

    text = hf.LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        head_dim=size.width // size.heads,
        max_position_embeddings=size.context,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = hf.FastVlmConfig(
        vision_config=tower_config(size.own),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        tie_word_embeddings=False,
    )
    model = hf.FastVlmForConditionalGeneration(config)
    model.model.vision_tower = new_tower(size.own, pretrained=pretrained)
    model.generation_config = hf.GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model


@torch.no_grad()
def begin(model: Any, heads: Any, cells: Tensor) -> None:
    """Initial weights from which comparing is learnt soon: the projector begins as the eye's own heads, and some heads
    of attention as ones that look for what is like themselves (Trockman and Kolter 2023, "Mimetic initialization").

    Args:
        model: new, of width 256 and four layers. heads: the eye's `eye.Heads`. cells: features (N, 1280) of pictures.
    """
    projector, width = model.model.multi_modal_projector, model.config.text_config.hidden_size
    first, second, cells = projector.linear_1, projector.linear_2, cells.float()
    keys = cells @ heads.key.weight.float().T
    middle = keys.median(0).values
    axes = torch.linalg.svd(keys - middle, full_matrices=False)[2][:64]
    scale = 1.5 / ((keys - middle) @ axes.T).pow(2).sum(1).mean().sqrt()
    weight, bias = scale * axes @ heads.key.weight.float(), -scale * axes @ middle
    into = heads.box[0]
    rest = torch.randn(width - 192, cells.shape[1]) / (cells.std(0).mean() * cells.shape[1] ** 0.5)
    first.weight.copy_(torch.cat([weight, -weight, into.weight.flatten(1), rest]))
    first.bias.copy_(torch.cat([bias, -bias, into.bias, -rest @ cells.mean(0)]))
    turned = torch.linalg.qr(torch.randn(width, width))[0]
    turned[:, 64:128] = -turned[:, :64]  # gelu(x) - gelu(-x) is x
    second.weight.copy_(turned)
    second.bias.zero_()
    second.weight.mul_(0.3 / projector(cells).std())
    model.get_input_embeddings().weight.normal_(0, 0.3)
    for layer in model.model.language_model.layers[1:4]:
        for head in (0, 1):
            alike = 0.8 * torch.linalg.qr(torch.randn(width, 64))[0].T
            slow = [at for at in range(64) if at % 32 >= 8]  # pairs that turn little over an episode
            rows = [64 * head + at for at in slow]
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                part.weight[rows] = alike[slow]


def new_processor(tokenizer: Any) -> Any:
    """The stock processor: pictures squeezed to the tower's size, their placeholders multiplied."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pictures = CLIPImageProcessorPil(
        do_resize=True,
        size={"height": HEIGHT, "width": WIDTH},
        resample=3,
        do_center_crop=False,
        do_convert_rgb=True,
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
    )
    return LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=STRIDE,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )


def save(folder: Path, model: Any, processor: Any) -> None:
    """Write what the stock auto classes load."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def described(size: Size) -> dict[str, Any]:
    """The sizes as a record."""
    return asdict(size)

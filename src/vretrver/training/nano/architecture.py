"""The nano agent's model: stock classes alone, so that `AutoModelForImageTextToText` and `AutoProcessor` load it.

`FastVlmForConditionalGeneration`: a convolutional tower (`tower`), a two-layer projector, a Llama text model. Every
picture is squeezed to 192 x 128 pixels and becomes 24 tokens, a thumbnail as well as a crop. About 5 million numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vretrver.training.nano.settings import HEIGHT, STRIDE, WIDTH
from vretrver.training.nano.tokenizer import IMAGE
from vretrver.training.nano.tower import MEAN, STD, new_tower, tower_config


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
        # Slow rotations: half of a head's pairs hardly turn over an episode, so content can be compared at a distance.
        rope_parameters={"rope_type": "default", "rope_theta": 1e9},
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

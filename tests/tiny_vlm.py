"""Tiny vision-language models of the Qwen families, made on the spot with random weights. No test's subject itself.

A folder from `build` holds what a published checkpoint holds, under the same names and classes: configuration, weights,
a byte-level BPE with the Qwen special tokens, the image processor's and the video processor's settings, a chat template
in ChatML. So the stock auto classes load it wherever torchvision is installed, and `local:` everywhere.

`teach` makes such a model say given texts after given prompts, by heart, in seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from vretrver.messages import Message
from vretrver.policies.local.loading import load_processor
from vretrver.policies.local.prompts import PromptWriter
from vretrver.protocol import system_prompt
from vretrver.tools import default_toolbox

Family = Literal["qwen2_5_vl", "qwen2_vl", "qwen3_vl"]

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
PLAIN = ("<tool_call>", "</tool_call>", "<think>", "</think>")  # one token each, yet not special, as in Qwen

# What the families' own templates write for a conversation that begins with a system message.
CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- else -%}{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

TEXTS = (
    system_prompt(default_toolbox()),
    "Query: Candidates: Guidelines: Rank all candidates from most to least relevant to the query.",
    "Here are the selected images for detailed analysis. (Image Size: 56x56, Numbered 1 to 2):",
    "Here is the cropped image. (Image Size: 56x56)",
    '<tool_call>{"name": "select_images", "arguments": {"target_images": [1, 2]}}</tool_call>',
    "<think>The first is red.</think>\n<answer>[2, 1, 3]</answer>",
)


def build(
    folder: Path,
    family: Family = "qwen2_5_vl",
    *,
    texts: Sequence[str] = TEXTS,
    vocabulary: int = 600,
    width: int = 64,
    layers: int = 2,
    seed: int = 0,
    template: str | None = CHATML,
) -> str:
    """Write a model with random weights; about 0.3 million of them as it stands. Gives the folder's path.

    Args:
        texts: what the tokenizer is trained on.
        vocabulary: its tokens, special ones included; at least 280.
        width: the text model's hidden size, a multiple of 16 per head of four.
        template: the chat template; None writes a model without one.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    words = tokenizer(texts, vocabulary, template)
    _model(family, words, width, layers).save_pretrained(folder)
    words.save_pretrained(folder)
    _write_processors(folder, family)
    return str(folder)


def teach(folder: str, lessons: Sequence[Sequence[Message]], *, steps: int = 200, rate: float = 5e-3) -> float:
    """Train the model in `folder` until it says the lessons' assistant messages by heart, and write it back.

    Args:
        lessons: conversations; what an assistant says in them is learnt, each given all that stands before it.

    Returns:
        The last step's loss, the mean over the lessons.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).train()
    writer = PromptWriter(load_processor(folder, model.config), folder)
    batches = [lesson_inputs(writer, lesson) for lesson in lessons]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    loss = math.inf
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 10, (steps - step) / (steps / 2))
        total = torch.stack([model(**batch).loss for batch in batches]).mean()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss = total.item()
        if loss < 0.006:
            break
    model.eval().save_pretrained(folder)
    return loss


def lesson_inputs(writer: PromptWriter, lesson: Sequence[Message]) -> dict[str, Any]:
    """Model inputs of one row, with `labels` that are -100 wherever the assistant is not speaking."""
    import torch

    turns = [at for at, message in enumerate(lesson) if message.role == "assistant"]
    inputs = dict(writer.inputs([writer.prompt(lesson[: turns[-1]])]))
    ids = inputs["input_ids"][0].tolist()
    labels = [-100] * len(ids)
    for at in turns:
        before = writer.inputs([writer.prompt(lesson[:at])])["input_ids"][0].tolist()
        said = writer.tokenizer(lesson[at].text + "<|im_end|>").input_ids
        if at == turns[-1]:
            ids, labels = ids + said, labels + said
        assert ids[: len(before) + len(said)] == before + said, "a later prompt does not continue an earlier one"
        labels[len(before) : len(before) + len(said)] = said
    inputs["input_ids"], inputs["labels"] = torch.tensor([ids]), torch.tensor([labels])
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    kinds = inputs["mm_token_type_ids"]
    new = len(ids) - kinds.shape[1]
    inputs["mm_token_type_ids"] = torch.cat([kinds, torch.zeros((1, new), dtype=kinds.dtype)], dim=1)
    return inputs


def tokenizer(texts: Sequence[str] = TEXTS, vocabulary: int = 600, template: str | None = None) -> Any:
    """A byte-level BPE with the Qwen special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    bytes_ = pre_tokenizers.ByteLevel.alphabet()
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    size = vocabulary - len(SPECIAL) - len(PLAIN)
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(bytes_), show_progress=False)
    trained.train_from_iterator(texts, trainer)
    learnt = json.loads(trained.to_str())["model"]
    made = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        extra_special_tokens=list(SPECIAL),
    )
    made.add_tokens(list(PLAIN))
    made.chat_template = template
    return made


def _model(family: Family, tokenizer: Any, width: int, layers: int) -> Any:
    import transformers as hf

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": width // 4,
        "max_position_embeddings": 8192,
        "initializer_range": 0.1,
        "eos_token_id": ids["<|im_end|>"],
        "bos_token_id": ids["<|endoftext|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": _sections(width // 8)},
    }
    eyes = {"depth": 2, "num_heads": 2, "initializer_range": 0.1, "spatial_merge_size": 2, "temporal_patch_size": 2}
    shared = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": True,
    }
    match family:
        case "qwen2_5_vl":
            vision = {
                "hidden_size": 32,
                "intermediate_size": 64,
                "out_hidden_size": width,
                "fullatt_block_indexes": [1],
            }
            config = hf.Qwen2_5_VLConfig(text_config=text, vision_config=eyes | vision, **shared)
            model: Any = hf.Qwen2_5_VLForConditionalGeneration(config)
        case "qwen2_vl":
            vision = {"embed_dim": 32, "hidden_size": width, "mlp_ratio": 2}
            config = hf.Qwen2VLConfig(text_config=text, vision_config=eyes | vision, **shared)
            model = hf.Qwen2VLForConditionalGeneration(config)
        case "qwen3_vl":
            vision = {
                "hidden_size": 32,
                "intermediate_size": 64,
                "out_hidden_size": width,
                "num_position_embeddings": 64,
                "deepstack_visual_indexes": [0],
            }
            config = hf.Qwen3VLConfig(text_config=text, vision_config=eyes | vision, **shared)
            model = hf.Qwen3VLForConditionalGeneration(config)
    model.generation_config = hf.GenerationConfig(
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]],
        pad_token_id=ids["<|endoftext|>"],
        do_sample=True,
        temperature=0.7,
        repetition_penalty=1.05,  # as the published ones have it: a policy must not be led by it
    )
    return model.eval()


def _sections(half: int) -> list[int]:
    """How the rotary half-dimensions are shared between time, height and width."""
    third = half // 3
    return [half - 2 * third, third, third]


def _write_processors(folder: Path, family: Family) -> None:
    patch = 16 if family == "qwen3_vl" else 14
    mean, std = ([0.5] * 3, [0.5] * 3) if family == "qwen3_vl" else _CLIP
    image = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": {"qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen2_vl": "Qwen2VLProcessor"}.get(
            family, "Qwen3VLProcessor"
        ),
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "size": {"shortest_edge": 4 * (2 * patch) ** 2, "longest_edge": 16384 * (2 * patch) ** 2},
        "image_mean": mean,
        "image_std": std,
    }
    video = image | {
        "video_processor_type": "Qwen3VLVideoProcessor" if family == "qwen3_vl" else "Qwen2VLVideoProcessor",
    }
    del video["image_processor_type"]
    (folder / "preprocessor_config.json").write_text(json.dumps(image, indent=2), encoding="utf-8")
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2), encoding="utf-8")


_CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])

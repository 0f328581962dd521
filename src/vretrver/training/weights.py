"""Weights in training: which are trained, when a checkpoint is whole, how a finished model is written, what to do when
memory runs out."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver.errors import InvalidInput, MissingExtra
from vretrver.policies.local.generation import is_out_of_memory
from vretrver.policies.local.loading import Loaded, load

if TYPE_CHECKING:
    from vretrver.training.rows import Rows
    from vretrver.training.sft import SftConfig

ADAPTER = "adapter"
_WHOLE = "whole"
# Where the families keep their eyes, and within or beside them what joins eyes and language.
_PROJECTOR = re.compile(r"\b(?:merger|deepstack_merger_list|multi_modal_projector|connector|projector)\b")
_VISION = re.compile(r"\b(?:visual|vision_tower|vision_model|image_encoder)\b")


def part_of(name: str) -> str:
    """`projector`, `vision` or `language`: which part of a model a parameter or module belongs to, by its name."""
    words = name.replace(".", " ")
    if _PROJECTOR.search(words):
        return "projector"
    return "vision" if _VISION.search(words) else "language"


def starting_model(config: SftConfig) -> Loaded:
    """The model that a training begins from, in training mode, with what the settings tune.

    Raises:
        InvalidInput: none is named, or as `choose_trained` and `loading.load`.
    """
    if not config.model:
        raise InvalidInput("no model is named; give a folder, or a name in the Hugging Face cache")
    loaded = load(config.model, dtype="float32", device="cpu")
    if config.attention != "sdpa":
        loaded.model.set_attn_implementation(config.attention)
    loaded.model.train()
    choose_trained(loaded.model, vision=config.tune_vision, projector=config.tune_projector)
    return loaded


def choose_trained(model: Any, *, vision: bool, projector: bool) -> None:
    """Set which parameters take gradients; the language model's always do. What is frozen whole stays in evaluation.

    In training mode a frozen tower would drop out at random, and normalise by its batch and count that into its
    statistics: it would be another one than serves. So would a tuned one that normalises by its batch; its layers that
    do stay in evaluation too, while their scale and shift learn.

    Raises:
        InvalidInput: a part that is to be frozen or tuned is not found by its name.
    """
    trained = {"language": True, "vision": vision, "projector": projector}
    found = set()
    for name, parameter in model.named_parameters():
        part = part_of(name)
        found.add(part)
        parameter.requires_grad_(trained[part])
    if missing := trained.keys() - found:
        raise InvalidInput(
            f"a {model.config.model_type} has no parameters that are known as its {' or '.join(sorted(missing))}; "
            "training knows the Qwen-VL and LLaVA families"
        )
    for module in model.modules():
        held = [parameter.requires_grad for parameter in module.parameters()]
        if held and (not any(held) or hasattr(module, "track_running_stats")):
            module.eval()
            module.train = partial(_stay, module)


def _stay(module: Any, mode: bool = True) -> Any:
    """`Module.train` of what stays in evaluation."""
    del mode
    return module


def adapter_config(model: Any, config: SftConfig) -> Any:
    """LoRA on every linear layer of the parts that are trained, the output layer left out.

    Raises:
        MissingExtra: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as missing:
        raise MissingExtra("LoRA", "train") from missing
    import torch

    tuned = {"language", *(["vision"] if config.tune_vision else []), *(["projector"] if config.tune_projector else [])}
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and part_of(name) in tuned and not name.endswith("lm_head")
    ]
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=config.lora_dropout,
        target_modules=names,
        task_type="CAUSAL_LM",
    )


def mark_whole(checkpoint: Path) -> None:
    """Say that a checkpoint to go on from is written to its end; files are on disk before the mark is."""
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    (checkpoint / _WHOLE).touch()


def is_whole(checkpoint: Path) -> bool:
    """Whether `mark_whole` was reached."""
    return (checkpoint / _WHOLE).is_file()


def save_model(trainer: Any, loaded: Loaded, config: SftConfig, folder: Path) -> None:
    """Write the trained model as a published one is written: configuration, weights, processor, chat template.

    Processor files are the base model's own. An adapter is kept beside and merged into the weights, so that the folder
    needs no other. Weights are stored in the base model's own precision.
    """
    accelerator = trainer.accelerator
    state = accelerator.get_state_dict(trainer.model_wrapped)
    if accelerator.is_main_process:
        kind = _stored_dtype(loaded)
        model = accelerator.unwrap_model(trainer.model_wrapped, keep_torch_compile=False)
        if config.lora_rank:
            model.save_pretrained(folder / ADAPTER, state_dict=state)
            model = load(config.model, adapter=str(folder / ADAPTER), dtype="float32", device="cpu").model
            state = model.state_dict()
        model.config.dtype = kind
        model.save_pretrained(folder, state_dict=_cast(state, kind))
        _copy_processor(loaded, folder)
    accelerator.wait_for_everyone()


def memory_advice(fault: BaseException, config: SftConfig, rows: Rows) -> str | None:
    """Which setting to change when memory ran out, the cheapest first; None when that is not what happened."""
    if not is_out_of_memory(fault):
        return None
    longest = max(row.tokens for row in rows.rows)
    knobs = []
    if config.micro_batch > 1:
        knobs.append(f"micro_batch = {config.micro_batch // 2} (the batch stays {config.batch})")
    if not config.gradient_checkpointing:
        knobs.append("gradient_checkpointing = true")
    if config.precision == "float32":
        knobs.append('precision = "bfloat16"')
    knobs.append(f"max_tokens below {longest}, the longest example")
    if not config.lora_rank:
        knobs.append("lora_rank = 16 instead of all weights")
    knobs.append("more processes with FSDP or ZeRO-3")
    return (
        f"memory ran out with {config.micro_batch} examples of up to {longest} tokens at once; in this order, try "
        f"{'; '.join(knobs)}. The same command then begins again"
    )


def _cast(state: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """The weights in another precision; those that are one tensor under two names stay one, and are written once."""
    made: dict[tuple[int, Any], Any] = {}
    found = {}
    for name, value in state.items():
        key = (value.data_ptr(), value.shape)
        if key not in made:
            made[key] = value.to(kind) if value.is_floating_point() else value
        found[name] = made[key]
    return found


def _stored_dtype(loaded: Loaded) -> Any:
    """The precision in which the base model's files hold its weights."""
    import torch

    try:
        described = json.loads(Path(_source(loaded), "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return torch.float32
    named = described.get("dtype") or described.get("torch_dtype") or "float32"
    return getattr(torch, str(named), torch.float32)


def _copy_processor(loaded: Loaded, folder: Path) -> None:
    source = _source(loaded)
    if not source.is_dir():
        loaded.processor.save_pretrained(folder)
        return
    for path in sorted(source.iterdir()):
        ours = path.name in ("config.json", "vretrver.json") or path.name.startswith(("adapter_", "model", "pytorch"))
        if path.is_file() and path.suffix in (".json", ".jinja", ".txt", ".model") and not ours:
            shutil.copyfile(path, folder / path.name)


def _source(loaded: Loaded) -> Path:
    """The folder that the processor came from, which is the model's."""
    return Path(loaded.processor.tokenizer.name_or_path)

"""From a folder or a cached name to a model and its processor. Nothing is downloaded and no code of a model's runs.

The processors of the Qwen families insist on a part for videos, and that part on torchvision. No video is ever shown
here, so they are built without it: torchvision is not needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, MissingExtra

DTYPES = ("float32", "bfloat16", "float16")
_FAULTS = (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to generate.

    Args:
        name: for traces: the folder or the name, then the adapter's.
        model: on its device, in evaluation mode.
        processor: its tokenizer pads on the left and has a padding token.
        model_type: the configuration's name of the architecture, such as `qwen2_5_vl`.
        folders: whose files make the model; those of the Hugging Face cache are left out.
        revision: which commit of a cached model it is.
    """

    name: str
    model: Any
    processor: Any
    model_type: str
    folders: tuple[str, ...] = ()
    revision: str = ""

    def digest(self, options: str) -> str:
        """16 hexadecimal digits over the files, over name and revision of what is in the cache, and the options."""
        cached = f"{self.name} {self.revision}" if self.revision.strip() else ""
        digest = hashlib.sha256(f"{options}\n{self.model.dtype}\n{cached}\n".encode())
        for folder in self.folders:
            for path in _files(Path(folder)):
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
        return digest.hexdigest()[:16]


def load(name: str, *, adapter: str | None = None, dtype: str = "auto", device: str | None = None) -> Loaded:
    """Load a model, its processor and perhaps an adapter; arguments and errors as `LocalPolicy.load`."""
    try:
        import torch
        from transformers import AutoConfig, AutoModelForImageTextToText
    except ImportError as missing:
        raise MissingExtra(f"policy 'local:{name}'", "local") from missing
    base, adapter = _base_and_adapter(name, adapter)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kind = getattr(torch, _dtype(dtype, place))
    try:
        sources = [_folder(source) for source in (base, adapter) if source is not None]
        folder = sources[0][0]
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        processor = load_processor(folder, config)
        model = AutoModelForImageTextToText.from_pretrained(
            folder, config=config, dtype=kind, local_files_only=True, trust_remote_code=False
        )
        if adapter is not None:
            model = _with_adapter(model, sources[1][0])
        model = model.to(place).eval()
    except MissingExtra:
        raise
    except _FAULTS as fault:
        reason = " ".join(str(fault).split())[:300]
        raise InvalidInput(
            f"no vision-language model {name!r} can be loaded from this machine: give a model's folder, or the name of "
            f"one in the Hugging Face cache ({reason})"
        ) from fault
    label = base if adapter is None else f"{base}+{adapter}"
    folders = tuple(path for path, commit in sources if not commit)
    return Loaded(label, model, processor, config.model_type, folders, " ".join(commit for _path, commit in sources))


def load_processor(name: str, config: Any) -> Any:
    """The model's processor without a part for videos, padding on the left.

    Raises:
        OSError, ValueError: as transformers.
    """
    from transformers import AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    stock = PROCESSOR_MAPPING.get(type(config), None)
    if stock is not None and "video_processor" in stock.get_attributes():
        processor = _without_videos(stock).from_pretrained(name, local_files_only=True, trust_remote_code=False)
    else:
        processor = AutoProcessor.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or not hasattr(processor, "image_processor"):
        raise ValueError("its processor does not take pictures and text")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if processor.chat_template is None:
        processor.chat_template = tokenizer.chat_template
    return processor


def _without_videos(stock: Any) -> Any:
    """The processor class with a constructor that takes no part for videos: the library reads its parts off there."""

    def build(self: Any, image_processor: Any, tokenizer: Any, chat_template: Any = None, **options: Any) -> None:
        stock.__init__(self, image_processor, tokenizer, None, chat_template=chat_template, **options)

    return type(stock.__name__, (stock,), {"__init__": build, "__module__": stock.__module__})


def _with_adapter(model: Any, adapter: str) -> Any:
    try:
        from peft import PeftModel
    except ImportError as missing:
        raise MissingExtra(f"the adapter {adapter!r}", "local") from missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # one library about another's old name
        return PeftModel.from_pretrained(model, adapter, local_files_only=True).merge_and_unload()


def _base_and_adapter(name: str, adapter: str | None) -> tuple[str, str | None]:
    """The model and the adapter that a name means: an adapter's folder names its model in its configuration."""
    described = Path(name) / "adapter_config.json"
    if adapter is not None or not os.path.isfile(described) or os.path.isfile(Path(name) / "config.json"):
        return name, adapter
    try:
        base = json.loads(described.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise InvalidInput(f"{described} names no base model; pass the model's name and adapter={name!r}") from fault
    if not isinstance(base, str) or not base:
        raise InvalidInput(f"{described} names no base model; pass the model's name and adapter={name!r}")
    return base, name


def _folder(name: str) -> tuple[str, str]:
    """Where a model's files are, and which commit they are of where the Hugging Face cache holds them.

    Raises:
        OSError, ValueError: neither a folder nor the name of a cached model.
    """
    if Path(name).is_dir():
        return name, ""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(name, local_files_only=True)
    return folder, Path(folder).name


def _dtype(dtype: str, device: str) -> str:
    if dtype == "auto":
        return "bfloat16" if device.startswith("cuda") else "float32"
    if dtype not in DTYPES:
        raise InvalidInput(f"unknown dtype {dtype!r}; choose from auto, {', '.join(DTYPES)}")
    return dtype


def _files(folder: Path) -> Iterator[Path]:
    found = (Path(root) / name for root, _folders, names in os.walk(folder) for name in names)
    return (path for path in sorted(found) if not path.name.startswith(".") and path.suffix.lower() != ".md")

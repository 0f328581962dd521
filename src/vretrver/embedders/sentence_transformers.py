"""Any multimodal model that sentence-transformers loads, such as CLIP, SigLIP or Qwen3-VL-Embedding. Extra `[models]`.

It leaves out training, and remote code: a model that needs its repository's own Python is refused by the library.
A caption is never taken for a path or a URL, which the library does with bare strings that end like a picture's name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vretrver.embedders import checked
from vretrver.errors import InvalidInput, MissingExtra
from vretrver.types import Document, ImageRef, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Item: TypeAlias = "Query | Document"
Part: TypeAlias = "dict[str, Any]"
BATCH = 32
MAX_SIDE = 1024  # a picture's longer side as the model's own processor receives it, in pixels


class SentenceTransformersEmbedder:
    """A model of sentence-transformers as an embedder.

    An item of text and picture is one input where the model takes both at once; else it is the normalised sum of its
    parts' vectors, and so is a query of several pictures. A query's instruction is the prompt of models that read
    conversations, and is left out for two-tower models, which were not trained with one.

    Args:
        model: a folder, or a model's name, which the library may download.
        loaded: that model as a `SentenceTransformer`, when it needs options of its own; loaded here when None.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        InvalidInput: the model cannot be loaded.
    """

    def __init__(self, model: str, loaded: Any = None) -> None:
        self._source = model
        self._model = _load(model) if loaded is None else loaded

    @property
    def name(self) -> str:
        return f"sentence-transformers:{self._source}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files, or over the revision of a model that came from a hub."""
        digest = hashlib.sha256(f"{MAX_SIDE}\n".encode())
        folder = Path(self._source)
        if folder.is_dir():
            for path in _files(folder):
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
        else:
            digest.update(f"{self._source} {self._revision()}".encode())
        return digest.hexdigest()

    @cached_property
    def dim(self) -> int:
        # Renamed in the library's version 5.3; the old name warns.
        ask = getattr(self._model, "get_embedding_dimension", None) or self._model.get_sentence_embedding_dimension
        known = ask()
        return int(known) if known else len(self._model.encode([{"text": "a"}], show_progress_bar=False)[0])

    def encode(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """As `Embedder.encode`.

        Raises:
            MissingPath, ImageError: a picture cannot be read.
            InvalidInput: the model takes no pictures and an item has one.
        """
        import numpy as np

        vectors_N_D = np.zeros((len(items), self.dim), np.float32)
        for start in range(0, len(items), BATCH):  # pictures are open only while their batch is encoded
            batch = items[start : start + BATCH]
            self._encode_into(vectors_N_D[start : start + BATCH], batch)
        return checked(_unit(vectors_N_D), len(items), self.dim, self.name)

    def _encode_into(self, rows_B_D: NDArray[np.float32], batch: Sequence[Item]) -> None:
        """Add up each item's parts in its row. Inputs of one kind go together: the library wants uniform batches."""
        kinds: dict[tuple[bool, tuple[str, ...], str | None], list[tuple[int, Part]]] = {}
        for row, item in enumerate(batch):
            asked = isinstance(item, Query)
            prompt = item.instruction if isinstance(item, Query) and self._reads_conversations else None
            for part in self._parts(item):
                kinds.setdefault((asked, tuple(part), prompt), []).append((row, part))
        for (asked, _keys, prompt), parts in kinds.items():
            encode = self._model.encode_query if asked else self._model.encode_document
            options = ({"prompt": prompt} if prompt else {}) | (self._text_options if "text" in parts[0][1] else {})
            vectors = encode([part for _, part in parts], show_progress_bar=False, convert_to_numpy=True, **options)
            for (row, _), vector in zip(parts, _unit(vectors), strict=True):
                rows_B_D[row] += vector

    def _parts(self, item: Item) -> list[Part]:
        images = item.images if isinstance(item, Query) else (item.image,) if item.image else ()
        pictures = [{"image": _picture(image)} for image in images]
        if pictures and not self._model.supports("image"):
            raise InvalidInput(f"embedder {self.name} takes no pictures; choose a multimodal model")
        if item.text is None:
            return pictures
        if len(pictures) == 1 and self._takes_both:
            return [{**pictures[0], "text": item.text}]  # keys' order is the order of reading: the picture first
        return [*pictures, {"text": item.text}]

    @cached_property
    def _takes_both(self) -> bool:
        return bool(self._model.supports(("image", "text")) or self._model.supports(("text", "image")))

    @cached_property
    def _reads_conversations(self) -> bool:
        return bool(self._model.supports("message"))

    @cached_property
    def _text_options(self) -> dict[str, Any]:
        """Padding to the full length for text towers that need it.

        SigLIP's text tower reads its padding (it has no mask and was trained on full rows), while the library pads to
        the longest text of a batch: the same caption would get another vector in every batch. Found by trying, so
        that no list of model names is needed.
        """
        import numpy as np

        if self._reads_conversations:
            return {}
        short, long = {"text": "a"}, {"text": "a b c d e f g h"}
        alone, together = (self._model.encode(texts, show_progress_bar=False)[0] for texts in ([short], [short, long]))
        if np.allclose(alone, together, atol=1e-3 * float(np.abs(alone).max())):
            return {}
        configs = (getattr(module, "config", None) for module in self._model.modules())
        towers = (getattr(config, "text_config", None) for config in configs)
        positions = (getattr(tower, "max_position_embeddings", None) for tower in towers)
        length = next((int(most) for most in positions if most), self._model.max_seq_length)
        return {"processing_kwargs": {"text": {"padding": "max_length", "max_length": length}}}

    def _revision(self) -> str:
        configs = (getattr(module, "config", None) for module in self._model.modules())
        hashes = (getattr(config, "_commit_hash", None) for config in configs)
        return next((str(revision) for revision in hashes if revision), "")


def _load(model: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as missing:
        raise MissingExtra(f"embedder 'sentence-transformers:{model}'", "models") from missing
    try:
        return SentenceTransformer(model)
    except (OSError, ValueError, ImportError, RuntimeError) as fault:
        reason = " ".join(str(fault).split())[:300]
        raise InvalidInput(f"sentence-transformers cannot load {model!r}: {reason}") from fault


def _picture(image: ImageRef) -> Any:
    from vretrver.images import fit_within, open_image

    return fit_within(open_image(image, near=MAX_SIDE // 2), MAX_SIDE)


def _files(folder: Path) -> Iterable[Path]:
    """What decides a model's vectors: every file but notes and hidden ones."""
    found = (Path(root) / name for root, _folders, names in os.walk(folder) for name in names)
    kept = (path for path in found if not path.name.startswith(".") and path.suffix.lower() != ".md")
    return sorted(kept, key=lambda path: path.relative_to(folder).as_posix())


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    rows_N_D = np.asarray(vectors, np.float32)
    return np.asarray(rows_N_D / np.maximum(np.linalg.norm(rows_N_D, axis=1, keepdims=True), 1e-12), np.float32)

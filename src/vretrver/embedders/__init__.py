"""Embedders: queries and documents in, unit vectors of one space out (paper, section 3.2, phi).

To add one, write a class with the members of `Embedder` and pass it wherever an embedder is taken, or
add a case to `load_embedder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vretrver.errors import InvalidInput
from vretrver.types import Document, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class Embedder(Protocol):
    """Maps queries and documents into one space where the dot product is the score.

    `name` is what `load_embedder` takes; `fingerprint` changes whenever the same item would get another
    vector; `dim` is the vectors' length.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dim(self) -> int: ...

    def encode(self, items: Sequence[Query | Document]) -> NDArray[np.float32]:
        """Float32 vectors of unit length, shape (len(items), dim), in order.

        Raises:
            MissingPath, ImageError: a picture cannot be read.
        """
        ...


@runtime_checkable
class Teachable(Embedder, Protocol):
    """An embedder whose costly part can be kept, so that a few labels retrain it without opening a picture again."""

    def features(self, items: Sequence[Query | Document]) -> NDArray[np.float16]:
        """What the index stores per document: shape (len(items), F). `encode(x)` is `project(features(x))`."""
        ...

    def project(self, features_N_F: NDArray[np.float16], *, queries: bool) -> NDArray[np.float32]: ...

    def taught(self, features_N_F: NDArray[np.float16], labels: Sequence[str]) -> Teachable:
        """A new embedder that knows which label or caption belongs to each row; this one stays as it is."""
        ...

    def save_taught(self, path: str) -> None: ...


def load_embedder(name: str | Embedder, taught: str | None = None) -> Embedder:
    """The embedder of a name, or the object itself if it is one already.

    Args:
        name: `lite`, or `sentence-transformers:<model name or folder>`.
        taught: a file that `Teachable.save_taught` wrote; only `lite` takes one.

    Raises:
        InvalidInput: no such embedder, or `taught` with one that cannot be taught.
        MissingExtra: the embedder's library is not installed.
    """
    if not isinstance(name, str):
        return name
    kind, _, model = name.partition(":")
    if taught is not None and kind != "lite":
        raise InvalidInput(f"embedder {name!r} cannot be taught; only 'lite' can")
    match kind, model:
        case "lite", "":
            from vretrver.embedders.lite import LiteEmbedder

            return LiteEmbedder.load(taught=taught)
        case "sentence-transformers", model if model:
            from vretrver.embedders.sentence_transformers import SentenceTransformersEmbedder

            return SentenceTransformersEmbedder(model)
    raise InvalidInput(
        f"unknown embedder {name!r}; choose lite or sentence-transformers:<model>, or pass an object with encode()"
    )


def checked(vectors: NDArray[np.float32], rows: int, dim: int, name: str) -> NDArray[np.float32]:
    """The boundary every embedder's output crosses: float32, shape (rows, dim), finite, unit rows.

    Raises:
        InvalidInput: any of these does not hold; the message says which.
    """
    import numpy as np

    if vectors.shape != (rows, dim):
        raise InvalidInput(f"embedder {name} gave vectors of shape {vectors.shape}; expected {(rows, dim)}")
    if vectors.dtype != np.float32:
        raise InvalidInput(f"embedder {name} gave {vectors.dtype} vectors; expected float32")
    if rows and not np.allclose(np.einsum("nd,nd->n", vectors, vectors), 1.0, atol=1e-3):
        raise InvalidInput(f"embedder {name} gave rows that are not of unit length (or not finite)")
    return vectors

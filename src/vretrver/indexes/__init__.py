"""Indexes: where documents and their vectors are kept, and what scores them against a query.

To add one, write a class with the members of `Index` and pass it wherever an index is taken. An index says how well
each row answers, signal by signal; how signals make one score is `vretrver.fusion`'s. So an approximate index may
return only the rows it found near, and a server-backed one may count its words elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vretrver.types import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vretrver.embedders import Embedder
    from vretrver.indexes.lance import LanceIndex


@dataclass(frozen=True, slots=True)
class Probe:
    """What the coarse stage asks of an index for one query; None asks nothing of that kind.

    Args:
        vector: the query's, float32, shape (D,).
        words: free text, matched against captions and printed words.
        printed: words read off the query's own pictures, matched in the same way.
        colour: descriptor of the colours the text names (`vretrver.colours.describe_text`), shape (64,).
        palette: descriptor of the query picture's own colours, shape (64,).
    """

    vector: NDArray[np.float32]
    words: str | None = None
    printed: str | None = None
    colour: NDArray[np.float32] | None = None
    palette: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """How rows answer one probe.

    Args:
        rows: the rows that were scored, ascending, shape (M,). Row order is id order, so a tie goes to the first id.
        signals: per name of a probe's part, its scores, float32, shape (M,): `vector` is a dot product, `words` and
            `printed` are nats of matched rarity, `colour` and `palette` Bhattacharyya coefficients in 0..1.
    """

    rows: NDArray[np.int64]
    signals: Mapping[str, NDArray[np.float32]]


@runtime_checkable
class Index(Protocol):
    """Documents that can be scored.

    `embedder`, `fingerprint` and `dim` say whose vectors it holds, `has_words` whether there is any caption or print.
    """

    @property
    def embedder(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def has_words(self) -> bool: ...
    def __len__(self) -> int: ...

    def score(self, probes: Sequence[Probe], where: Mapping[str, Any] | None = None) -> Iterator[Scores]:
        """Scores of the rows that pass the filter, one `Scores` per probe, in order.

        Raises:
            InvalidInput: the filter is not one (`vretrver.indexes.filters`), or a vector has another length.
        """
        ...

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents of rows, in the order asked for."""
        ...


def load_index(path: str | PathLike[str]) -> LanceIndex:
    """The index kept in a folder, for reading; nothing is written but its cache.

    Raises:
        MissingPath: there is no index.
        IndexMismatch: another format version, or damaged.
    """
    from vretrver.indexes.lance import LanceIndex

    return LanceIndex.open(path)


def embedder_of(index: LanceIndex, given: Embedder | None = None) -> Embedder:
    """The embedder that made an index's vectors, with what it was taught; or `given`, if it is that one.

    Raises:
        IndexMismatch: the embedder would make other vectors.
        MissingExtra, InvalidInput: it cannot be loaded.
    """
    from vretrver.embedders import load_embedder

    embedder = load_embedder(index.embedder, taught=index.taught_file()) if given is None else given
    index.check(embedder)
    return embedder

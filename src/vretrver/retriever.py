"""The coarse stage: a query becomes a probe, the index scores it, fusion orders what it found.

It leaves out looking at the candidates (`vretrver.reranker`) and how anything came into the index (`vretrver.ingest`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vretrver import fusion, ocr
from vretrver.embedders import Embedder, checked
from vretrver.errors import InvalidInput
from vretrver.indexes import Index, Probe, Scores, embedder_of, load_index
from vretrver.indexes.scan import top
from vretrver.types import Candidate, ImageRef, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Retriever:
    """Finds candidates for queries.

    Args:
        index: scores rows.
        embedder: the one that the index was built with.
        reader: reads the words on query pictures, matched against the documents' words; None leaves them unread.
        weights: what each signal counts, by query modality; the packaged, fitted ones when None.

    Raises:
        InvalidInput: the embedder's vectors have another length than the index's.
    """

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        reader: ocr.Reads | None = None,
        weights: Mapping[str, fusion.Weights] | None = None,
    ) -> None:
        if embedder.dim != index.dim:
            raise InvalidInput(f"embedder {embedder.name} has {embedder.dim} dimensions, the index {index.dim}")
        self.index = index
        self.embedder = embedder
        self.reader = reader
        self.weights = fusion.fitted() if weights is None else weights

    @classmethod
    def open(cls, path: str | os.PathLike[str], embedder: Embedder | None = None) -> Retriever:
        """A retriever on an index folder, with the embedder (and what it was taught) that built it.

        Args:
            embedder: an object instead of the one that the index names, for one that no name loads.

        Raises:
            MissingPath: there is no index.
            IndexMismatch: another format version, or the embedder has changed since.
            MissingExtra: the embedder's library is not installed.
        """
        index = load_index(Path(path))
        return cls(index, embedder_of(index, embedder), ocr.Reader() if ocr.available() else None)

    def search(self, queries: Sequence[Query], k: int, where: Mapping[str, Any] | None = None) -> list[list[Candidate]]:
        """The k best documents per query, best first; fewer where fewer pass the filter.

        Args:
            where: a metadata filter; see `vretrver.indexes.filters`.

        Returns:
            Per query its candidates. `signals` holds what each signal gave to the score; equal scores come in id order.

        Raises:
            InvalidInput: k is below 1, or the filter is not one.
            MissingPath, ImageError: a query's picture cannot be read.
        """
        if k < 1:
            raise InvalidInput(f"k is {k}; ask for at least 1 result")
        if not queries:
            return []
        vectors = checked(self.embedder.encode(queries), len(queries), self.embedder.dim, self.embedder.name)
        probes = [self.probe(query, vector) for query, vector in zip(queries, vectors, strict=True)]
        return [
            self._candidates(query, scores, k)
            for query, scores in zip(queries, self.index.score(probes, where), strict=True)
        ]

    def retrieve(self, query: Query, k: int, where: Mapping[str, Any] | None = None) -> list[Candidate]:
        """`search` for one query."""
        return self.search([query], k, where)[0]

    def probe(self, query: Query, vector: NDArray[np.float32]) -> Probe:
        """What is asked of the index for one query whose vector is known."""
        from vretrver.colours import describe_text

        colour = describe_text(query.text) if query.text else None
        if colour is not None and not colour.any():
            colour = None
        wanted = self.weights[query.modality].signals
        palette = self._palette(query.images) if "palette" in wanted else None
        # Reading takes a good part of a second, so only where it counts and there are words it could meet.
        printed = self._printed(query.images) if "printed" in wanted and self.index.has_words else None
        return Probe(vector, query.text, printed, colour, palette)

    def _palette(self, images: Sequence[ImageRef]) -> NDArray[np.float32] | None:
        """The colours of a query's pictures, as one descriptor."""
        if not images:
            return None
        import numpy as np

        from vretrver.colours import describe_picture
        from vretrver.images import fit_within, open_image

        palettes = [describe_picture(fit_within(open_image(image, near=256), 256)) for image in images]
        mean = np.mean(palettes, axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)

    def _printed(self, images: Sequence[ImageRef]) -> str | None:
        """The words on a query's pictures; None if there are none, or nobody to read them."""
        if self.reader is None or not images:
            return None
        from vretrver.images import open_image

        printed = "\n".join(
            ocr.printed_text(self.reader.read(open_image(image, near=ocr.MAX_SIDE // 2))) for image in images
        )
        return printed.strip() or None

    def _candidates(self, query: Query, scores: Scores, k: int) -> list[Candidate]:
        if not len(scores.rows):
            return []
        total, parts = fusion.fuse(scores.signals, self.weights[query.modality])
        best = top(total, k)
        documents = self.index.documents([int(row) for row in scores.rows[best]])
        return [
            Candidate(document, float(total[at]), rank, {name: float(part[at]) for name, part in parts.items()})
            for rank, (at, document) in enumerate(zip(best, documents, strict=True), start=1)
        ]

"""The shape of sentence-transformers' `CrossEncoder`: `rank(query, documents)` over texts, pictures and pairs.

    from vretrver.adapters.sentence_transformers import VretrverCrossEncoder

    model = VretrverCrossEncoder(root="photos")
    model.rank("a red kite", [Image.open("a.jpg"), Path("b.jpg"), {"text": "at the sea", "image": "c.jpg"}], top_k=3)

Nothing of that library is needed here: who calls a `CrossEncoder`'s `rank` calls this instead. An input is a string, a
PIL image, a path, or a mapping with `text`, `image` or both. A bare string is a text unless it is a picture's data URL,
or names a picture's file below `root`; what else counts as a picture says `vretrver.adapters.pictures`, URLs never.
`predict` is left out: these ranks come of comparing documents, so a pair alone has none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.adapters.pictures import picture_of
from vretrver.adapters.ranking import Agent, Given, Placed, Ranker
from vretrver.embedders import Embedder
from vretrver.errors import InvalidInput
from vretrver.images import EXTENSIONS
from vretrver.types import Query

Input: TypeAlias = Any
"""A string, a PIL image, a path, bytes, or a mapping with `text`, `image` or both; a query may be a `Query` too."""


class VretrverCrossEncoder:
    """Args: reranker, embedder, root: see `vretrver.adapters.ranking.Ranker`. Documents come in no order here, so the
    embedder orders them first.
    """

    def __init__(
        self,
        reranker: Agent = "evidence",
        embedder: Embedder | str | None = "lite",
        root: str | PathLike[str] | None = None,
    ) -> None:
        self._ranker, self._root = Ranker(reranker, embedder, root), root

    def rank(
        self,
        query: Input,
        documents: Sequence[Input],
        top_k: int | None = None,
        return_documents: bool = False,
        **_kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Places and scores, best first: `[{"corpus_id": 2, "score": 1.0, "confidence": 0.8}, ...]`.

        Args:
            query: text, picture or both.
            documents: what is ranked.
            top_k: how many come back; all when None.
            return_documents: whether each carries its document, under `text` as in sentence-transformers.
            _kwargs: that library's other options (batch size, device, progress bar); none changes anything here.

        Returns:
            `corpus_id` is a position in `documents`; `score` is 1 / rank; `evidence` comes where somebody looked.

        Raises:
            InvalidInput: the query is empty or its picture is refused. MissingPath, ImageError: it cannot be read.
        """
        placed = self._ranker.rank(self._query(query), [self._given(one) for one in documents], top_k)
        return [_record(place) | ({"text": documents[place.at]} if return_documents else {}) for place in placed]

    def _query(self, value: Input) -> Query:
        if isinstance(value, Query):
            return value
        given = self._given(value)
        return self._ranker.query(given.text, given.image)

    def _given(self, value: Input) -> Given:
        if isinstance(value, Mapping):
            if strangers := [key for key in value if key not in ("text", "image")]:
                raise InvalidInput(f"an input has {strangers[0]!r}; allowed are text and image")
            if not isinstance(value.get("text"), str | None):
                raise InvalidInput(f"an input's text is a {type(value['text']).__name__}; give a string")
            return Given(value.get("text"), value.get("image"))
        if isinstance(value, str):
            return Given(image=value) if self._names_a_picture(value) else Given(value)
        return Given(image=value)

    def _names_a_picture(self, text: str) -> bool:
        if text[:11].lower() == "data:image/":
            return True
        if self._root is None or os.path.splitext(text)[1].lower() not in EXTENSIONS:
            return False
        try:
            path = picture_of(text, self._root).path
        except InvalidInput:
            return False  # a sentence that ends like a file's name
        return path is not None and Path(path).is_file()


def _record(placed: Placed) -> dict[str, Any]:
    said = placed.metadata()
    return {"corpus_id": placed.at, "score": said.pop("relevance_score")} | said

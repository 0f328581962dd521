"""Haystack: a ranker component that looks at the pictures of documents. Extra `[haystack]`.

    from vretrver.adapters.haystack import VretrverRanker

    pipeline.add_component("ranker", VretrverRanker(root="photos", top_k=5))

A document's picture is its `blob`, else what its `meta` holds under `image` or Haystack's own `file_path`: a data URL,
or a path below `root` (`vretrver.adapters.pictures`). It leaves out pictures as queries: Haystack's are strings.
"""

from __future__ import annotations

import os
from dataclasses import replace
from os import PathLike
from typing import Any

from vretrver.adapters.ranking import Agent, Given, Ranker
from vretrver.embedders import Embedder
from vretrver.errors import InvalidInput, MissingExtra
from vretrver.images import EXTENSIONS

try:
    from haystack import Document, component, default_from_dict, default_to_dict
except ImportError as missing:
    raise MissingExtra("the Haystack adapter", "haystack") from missing


@component
class VretrverRanker:
    """Ranks documents; `confidence` and `evidence` are added to copies of their meta, `score` becomes 1 / rank.

    Args:
        reranker: a `Reranker`, a policy, or the name of one. A pipeline that is to be saved takes the name.
        embedder: orders the documents first: an object or a name; None leaves the order and scores given.
        root: the folder below which paths of pictures are followed.
        top_k: how many documents come back; all when None.
        image_key: the meta field that holds the picture.
    """

    def __init__(
        self,
        reranker: Agent = "evidence",
        embedder: Embedder | str | None = None,
        root: str | PathLike[str] | None = None,
        top_k: int | None = None,
        image_key: str = "image",
    ) -> None:
        self.reranker, self.embedder, self.root = reranker, embedder, root
        self.top_k, self.image_key = top_k, image_key
        self._ranker = Ranker(reranker, embedder, root)

    def warm_up(self) -> None:
        """Load the policy and the embedder."""
        self._ranker.load()

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """Documents best first.

        Args:
            top_k: overrides the component's.

        Raises:
            InvalidInput: the query is empty, or top_k is below 1.
        """
        given = [Given(one.content, self._picture(one), one.id, one.score) for one in documents]
        wanted = self.top_k if top_k is None else top_k
        ranked = []
        for placed in self._ranker.rank(query, given, wanted):
            said = placed.metadata()
            score = said.pop("relevance_score")
            document = documents[placed.at]
            ranked.append(replace(document, score=score, meta={**document.meta, **said}))
        return {"documents": ranked}

    def to_dict(self) -> dict[str, Any]:
        """For saved pipelines; Haystack loads them with `allowed_modules=["vretrver.adapters.haystack"]`.

        Raises:
            InvalidInput: the reranker or the embedder is an object; only names can be written.
        """
        for what in (self.reranker, self.embedder):
            if not isinstance(what, str | None):
                raise InvalidInput(
                    f"a pipeline with a {type(what).__name__} object cannot be saved; give VretrverRanker names, "
                    "such as reranker='evidence'"
                )
        root = None if self.root is None else os.fspath(self.root)
        return default_to_dict(
            self,
            reranker=self.reranker,
            embedder=self.embedder,
            root=root,
            top_k=self.top_k,
            image_key=self.image_key,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VretrverRanker:
        """The inverse of `to_dict`."""
        made: VretrverRanker = default_from_dict(cls, data)
        return made

    def _picture(self, document: Document) -> Any:
        if document.blob is not None and (document.blob.mime_type or "image/").startswith("image/"):
            return document.blob.data
        path = document.meta.get("file_path")
        named = isinstance(path, str) and os.path.splitext(path)[1].lower() in EXTENSIONS  # else a text's or a PDF's
        return document.meta.get(self.image_key) or (path if named else None)

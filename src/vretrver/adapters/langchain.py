"""LangChain: a document compressor that looks before it ranks, and an index as a retriever. Extra `[langchain]`.

    from vretrver.adapters.langchain import VretrverCompressor, VretrverRetriever

    retriever = VretrverRetriever(pipeline=Pipeline(Retriever.open("photos.vr")))
    compressor = VretrverCompressor(root="photos", top_k=5)
    documents = compressor.compress_documents(retriever.invoke("a red kite"), "a red kite")

A picture stands in a document's metadata under `image`: a data URL, bytes, a PIL image, or a path below `root`
(`vretrver.adapters.pictures`). It leaves out pictures as queries: LangChain's queries are strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from vretrver.adapters.pictures import data_url
from vretrver.adapters.ranking import Given, Placed, Ranker
from vretrver.errors import MissingExtra
from vretrver.trace import Result

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import ConfigDict, PrivateAttr
except ImportError as missing:
    raise MissingExtra("the LangChain adapter", "langchain") from missing


class VretrverCompressor(BaseDocumentCompressor):
    """Ranks documents; `relevance_score`, `confidence` and `evidence` are added to copies of their metadata.

    Args:
        reranker, embedder, root: see `vretrver.adapters.ranking.Ranker`.
        top_k: how many documents come back; all when None.
        image_key: the metadata field that holds the picture.

    `relevance_score` is 1 / rank; `confidence` is the one to compare with a threshold.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    reranker: Any = "evidence"
    embedder: Any = None
    root: str | PathLike[str] | None = None
    top_k: int | None = None
    image_key: str = "image"
    _ranker: Ranker = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        self._ranker = Ranker(self.reranker, self.embedder, self.root)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> Sequence[Document]:
        """Documents best first.

        Raises:
            InvalidInput: the query is empty.
        """
        given = [Given(one.page_content, one.metadata.get(self.image_key), one.id) for one in documents]
        return [_marked(documents[placed.at], placed) for placed in self._ranker.rank(query, given, self.top_k)]


class VretrverRetriever(BaseRetriever):
    """An index, with an agent or without, as a retriever.

    Args:
        pipeline: a `vretrver.Pipeline`.
        k: how many documents come back.
        top_k: how many candidates the agent ranks.
        where: a metadata filter (`vretrver.indexes.filters`).

    A document carries its own metadata and `image`: the path of its original, or a data URL where there is no file.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    pipeline: Any
    k: int = 10
    top_k: int = 50
    where: Mapping[str, Any] | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        ranking = self.pipeline.search(query, k=self.k, top_k=self.top_k, where=self.where)
        return [_document(result) for result in ranking.results]


def _marked(document: Document, placed: Placed) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, **placed.metadata()}})


def _document(result: Result) -> Document:
    document = result.document
    placed = Placed(0, result.rank, result.score, result.confidence, result.evidence)
    picture = {}
    if document.image is not None:
        picture["image"] = document.image.path or data_url(document.image)
    words = "\n".join(part for part in (document.text, document.printed) if part)
    return Document(id=document.id, page_content=words, metadata={**document.metadata, **picture, **placed.metadata()})

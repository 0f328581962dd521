"""LlamaIndex: a node postprocessor that looks at the pictures of image nodes. Extra `[llamaindex]`.

    from vretrver.adapters.llama_index import VretrverPostprocessor

    engine = index.as_query_engine(node_postprocessors=[VretrverPostprocessor(root="photos", top_n=5)])

An `ImageNode`'s picture is its `image` (base64), its `image_path` below `root`, or an `image_url` that is a data URL; a
`Node`'s is its `image_resource`; another node's stands in its metadata under `image`. See `vretrver.adapters.pictures`.
Nodes come back as they were, pictures included, with new scores.
"""

from __future__ import annotations

import os
from os import PathLike
from typing import Any

from vretrver.adapters.pictures import Base64
from vretrver.adapters.ranking import Given, Placed, Ranker
from vretrver.errors import InvalidInput, MissingExtra

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import BaseNode, ImageNode, MetadataMode, NodeWithScore, QueryBundle
except ImportError as missing:
    raise MissingExtra("the LlamaIndex adapter", "llamaindex") from missing


class VretrverPostprocessor(BaseNodePostprocessor):
    """Ranks nodes.

    Args:
        reranker, embedder, root: see `vretrver.adapters.ranking.Ranker`.
        top_n: how many nodes come back; all when None.
        image_key: the metadata field that holds the picture of a node that is no image node.

    A node's new score is 1 / rank; `confidence` and `evidence` are added to its metadata, kept out of what a language
    model or an embedder reads of it. A query's `image_path` is looked at too, by the same rule.
    """

    reranker: Any = Field(default="evidence", exclude=True)
    embedder: Any = Field(default=None, exclude=True)
    root: str | PathLike[str] | None = None
    top_n: int | None = None
    image_key: str = "image"
    _ranker: Ranker = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._ranker = Ranker(self.reranker, self.embedder, self.root)

    @classmethod
    def class_name(cls) -> str:
        return "VretrverPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidInput("nodes cannot be ranked without a query; pass query_bundle or query_str")
        query = self._ranker.query(query_bundle.query_str, query_bundle.image_path)
        given = [
            Given(_text(found.node), _picture(found.node, self.image_key), found.node.node_id, found.score)
            for found in nodes
        ]
        return [_marked(nodes[placed.at], placed) for placed in self._ranker.rank(query, given, self.top_n)]


def _text(node: BaseNode) -> str:
    return node.get_content(metadata_mode=MetadataMode.NONE)


def _picture(node: BaseNode, key: str) -> Any:
    """What stands for a node's picture. Paths are given on as strings: they may have come out of a store."""
    if isinstance(node, ImageNode):
        encoded = Base64(node.image) if node.image else None
        return encoded or node.image_path or node.image_url or node.metadata.get(key)
    resource = getattr(node, "image_resource", None)
    if resource is None:
        return node.metadata.get(key)
    if resource.data:
        return Base64(resource.data)
    return os.fspath(resource.path) if resource.path else str(resource.url) if resource.url else None


def _marked(found: NodeWithScore, placed: Placed) -> NodeWithScore:
    said = placed.metadata()
    del said["relevance_score"]
    node = found.node.model_copy(
        update={
            "metadata": {**found.node.metadata, **said},
            "excluded_llm_metadata_keys": [*found.node.excluded_llm_metadata_keys, *said],
            "excluded_embed_metadata_keys": [*found.node.excluded_embed_metadata_keys, *said],
        }
    )
    return NodeWithScore(node=node, score=placed.score)

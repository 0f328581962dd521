"""Search that looks before it answers: retrieval and evidence-driven reranking of images, texts and pairs.

The public names, and nothing else. Importing this package loads no model, no database and no Pillow;
each name loads its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Candidate": "types",
    "Document": "types",
    "Evidence": "trace",
    "ImageRef": "types",
    "Pipeline": "pipeline",
    "Query": "types",
    "Ranking": "trace",
    "Reranker": "reranker",
    "Result": "trace",
    "Retriever": "retriever",
    "Trace": "trace",
    "VretrverError": "errors",
    "evaluate": "evaluation.evaluate",
    "load_embedder": "embedders",
    "load_index": "indexes",
    "load_policy": "policies",
    "load_task": "datasets",
}

__all__ = [
    "__version__",
    "Candidate",
    "Document",
    "Evidence",
    "ImageRef",
    "Pipeline",
    "Query",
    "Ranking",
    "Reranker",
    "Result",
    "Retriever",
    "Trace",
    "VretrverError",
    "evaluate",
    "load_embedder",
    "load_index",
    "load_policy",
    "load_task",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vretrver.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vretrver' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from vretrver.datasets import load_task
    from vretrver.embedders import load_embedder
    from vretrver.errors import VretrverError
    from vretrver.evaluation.evaluate import evaluate
    from vretrver.indexes import load_index
    from vretrver.pipeline import Pipeline
    from vretrver.policies import load_policy
    from vretrver.reranker import Reranker
    from vretrver.retriever import Retriever
    from vretrver.trace import Evidence, Ranking, Result, Trace
    from vretrver.types import Candidate, Document, ImageRef, Query

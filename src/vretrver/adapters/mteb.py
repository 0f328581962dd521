"""MTEB (2.x) on our parts: an embedder as an encoder; the whole road, reranking included, as a search. Extra `[mteb]`.

    import mteb
    from vretrver.adapters.mteb import MtebSearch

    model = MtebSearch(load_embedder("lite"), Reranker(load_policy("evidence")))
    mteb.evaluate(model, mteb.get_tasks(["CIRRIT2IRetrieval"]))

MTEB takes any object with the right methods, so nothing of it is imported before metadata or similarities are asked
for. It leaves out audio, video and conversations. What is downloaded, and when, is MTEB's: its tasks fetch their data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vretrver.embedders import Embedder
from vretrver.errors import InvalidInput, MissingExtra
from vretrver.evaluation.exact import BLOCK_ROWS, exact_top
from vretrver.evaluation.trec import falling
from vretrver.images import from_pil
from vretrver.indexes.scan import top
from vretrver.reranker import Reranker
from vretrver.types import Candidate, Document, ImageRef, Query

Item: TypeAlias = "Query | Document"
Run: TypeAlias = dict[str, dict[str, float]]
Places: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.floating[Any]]]"
BATCH = 32
_EMPTY = "(empty)"  # a row without text and picture keeps its place; nothing should be near it


class MtebEncoder:
    """An embedder as MTEB's encoder.

    Args:
        embedder: maps queries and documents into one space.
        instruct: whether queries carry the instruction that the task gives; embedders that read none leave it out.
        name: for MTEB's tables, as `organisation/model`.
    """

    def __init__(self, embedder: Embedder, *, instruct: bool = True, name: str | None = None) -> None:
        self._embedder = embedder
        self._instruct = instruct
        self._name = name or f"vretrver/{_word(embedder.name)}"

    @property
    def mteb_model_meta(self) -> Any:
        """MTEB's `ModelMeta`; the revision follows the embedder, so that MTEB's result cache does."""
        return _meta(self._name, self._embedder, self._embedder.fingerprint[:16])

    def encode(self, inputs: Iterable[Mapping[str, Any]], *, task_metadata: Any, **kwargs: Any) -> NDArray[np.float32]:
        """Unit vectors of a loader's inputs, shape (inputs, D).

        Args:
            inputs: batches of columns: `text`, `image` or both.
            task_metadata: of the task; its prompt is the queries' instruction.
            kwargs: `prompt_type` tells queries from documents; the rest of what MTEB passes changes nothing here.

        Raises:
            InvalidInput: an input that is neither text nor a picture.
        """
        asked = _is_query(kwargs.get("prompt_type"))
        instruction = _instruction(task_metadata) if asked and self._instruct else None
        found = [np.zeros((0, self._embedder.dim), np.float32)]
        for batch in inputs:
            rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
            items: list[Item] = [_query(row, instruction) if asked else _document(row, "row") for row in rows]
            found.append(self._embedder.encode(items))
        return np.concatenate(found)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Dot products of all pairs, as MTEB's tensor."""
        return _similarities().dot_score(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Dot products row by row."""
        return _similarities().pairwise_dot_score(embeddings1, embeddings2)


class MtebSearch:
    """Embed, take the nearest K (or those that the task gives), look at them and rank: MTEB's search protocol.

    Pictures reach the agent as the data set's own bytes, not decoded and encoded again. The order in which a task
    lists `top_ranked` is not used, because many list the right answers first; the embedder orders them.

    Args:
        embedder: finds.
        reranker: ranks the first K; None leaves the embedder's order.
        k: how many are ranked by looking; those behind keep their order.
        instruct, name: as `MtebEncoder`.
    """

    def __init__(
        self,
        embedder: Embedder,
        reranker: Reranker | None = None,
        *,
        k: int = 50,
        instruct: bool = True,
        name: str | None = None,
    ) -> None:
        if k < 1:
            raise InvalidInput(f"k is {k}; ask for at least 1 result")
        self._embedder = embedder
        self._reranker = reranker
        self._k = k
        self._instruct = instruct
        agent = "" if reranker is None else f"+{_word(reranker.policy.name)}-k{k}"
        self._name = name or f"vretrver/{_word(embedder.name)}{agent}"
        self._corpus: Any = None
        self._places: dict[str, int] = {}
        self._ids: list[str] = []
        self._vectors_N_D = np.zeros((0, embedder.dim), np.float32)

    @property
    def mteb_model_meta(self) -> Any:
        """MTEB's `ModelMeta`; the revision follows embedder and policy."""
        policy = "" if self._reranker is None else getattr(self._reranker.policy, "fingerprint", "")
        return _meta(self._name, self._embedder, f"{self._embedder.fingerprint[:16]}-{policy}".rstrip("-"))

    def index(
        self, corpus: Any, *, task_metadata: Any, encode_kwargs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Embed a corpus: a `datasets.Dataset` with `id` and `text`, `image` or both.

        Raises:
            InvalidInput: two rows share an id. MissingPath, ImageError: a picture cannot be read.
        """
        self._corpus = _readable(corpus, task_metadata, "document")
        self._ids = [str(name) for name in corpus["id"]]
        self._places = {name: place for place, name in enumerate(self._ids)}
        if len(self._places) < len(self._ids):
            raise InvalidInput("two rows of the corpus share an id; ids must be unique")
        size = int((encode_kwargs or {}).get("batch_size", BATCH))
        self._vectors_N_D = np.zeros((len(self._ids), self._embedder.dim), np.float32)
        for start in range(0, len(self._ids), size):
            rows = range(start, min(start + size, len(self._ids)))
            self._vectors_N_D[start : start + size] = self._embedder.encode(self._documents(rows))

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> Run:
        """Per query the best documents with their scores, which fall strictly, in single precision too.

        Without a reranker scores are dot products. With one they count down to 1: the place says everything, so MTEB's
        abstention figures (`nauc_*`) say nothing then.

        Args:
            queries: a `datasets.Dataset` with `id`, `text`, `image` or both, and perhaps `instruction`.
            top_k: how many are returned.
            top_ranked: per query the ids that may be found; all when None.

        Raises:
            InvalidInput: `top_ranked` names an unknown id. MissingPath, ImageError: a query's picture cannot be read.
        """
        rows = _readable(queries, task_metadata, "query")
        instruction = _instruction(task_metadata) if self._instruct else None
        names = [str(name) for name in queries["id"]]
        parts = [range(start, min(start + BATCH, len(names))) for start in range(0, len(names), BATCH)]
        vectors_Q_D = np.zeros((len(names), self._embedder.dim), np.float32)
        for part in parts:
            vectors_Q_D[part.start : part.stop] = self._embedder.encode([_query(rows[at], instruction) for at in part])
        galleries = None if top_ranked is None else [self._gallery(top_ranked.get(name, ())) for name in names]
        nearest = self._nearest(vectors_Q_D, max(top_k, self._k), galleries)
        if self._reranker is None:
            return {
                name: dict(zip(self._named(places[:top_k]), falling(scores[:top_k].tolist()), strict=True))
                for name, (places, scores) in zip(names, nearest, strict=True)
            }
        found: Run = {}
        for part in parts:
            asked = [_query(rows[at], instruction) for at in part]
            rankings = self._reranker.rerank_many(asked, [self._candidates(*nearest[at]) for at in part])
            for at, ranking in zip(part, rankings, strict=True):
                order = [*ranking.ids, *self._named(nearest[at][0][self._k :])][:top_k]
                found[names[at]] = {name: float(len(order) - rank) for rank, name in enumerate(order)}
        return found

    def _nearest(
        self, vectors_Q_D: NDArray[np.float32], k: int, galleries: Sequence[NDArray[np.int64]] | None
    ) -> list[Places]:
        """Places and scores of the nearest documents per query; equal scores in the corpus's order."""
        if galleries is None:
            blocks = (
                (start, self._vectors_N_D[start : start + BLOCK_ROWS])
                for start in range(0, len(self._vectors_N_D), BLOCK_ROWS)
            )
            return list(zip(*exact_top(vectors_Q_D, blocks, k), strict=True))
        found: list[Places] = []
        for gallery, vector_D in zip(galleries, vectors_Q_D, strict=True):
            scores = self._vectors_N_D[gallery] @ vector_D
            best = top(scores, k)
            found.append((gallery[best], scores[best]))
        return found

    def _named(self, places: NDArray[np.int64]) -> list[str]:
        return [self._ids[place] for place in places]

    def _candidates(self, places: NDArray[np.int64], scores: NDArray[np.floating[Any]]) -> list[Candidate]:
        """What the reranker sees: the first K."""
        documents = self._documents([int(place) for place in places[: self._k]])
        return [
            Candidate(document, float(score), rank)
            for rank, (document, score) in enumerate(zip(documents, scores, strict=False), start=1)
        ]

    def _documents(self, places: Iterable[int]) -> list[Document]:
        return [_document(self._corpus[place], self._ids[place]) for place in places]

    def _gallery(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Places of ids, ascending."""
        strangers = [name for name in names if str(name) not in self._places]
        if strangers:
            raise InvalidInput(f"{len(strangers)} ids of top_ranked are not in the corpus, such as {strangers[:3]}")
        return np.array(sorted({self._places[str(name)] for name in names}), np.int64)


def _readable(rows: Any, task_metadata: Any, side: str) -> Any:
    """What of a data set may be read, pictures as their bytes: no decoder but ours opens them.

    A task says which of text and picture each side has. Other columns are dropped, as MTEB drops them for encoders:
    captions in the corpus of a text-to-image task would give the answers away.
    """
    ask = getattr(task_metadata, "get_modalities", None)
    if ask is not None:
        rows = rows.remove_columns(
            [name for name in ("text", "image") if name in rows.features and name not in ask(side)]
        )
    feature: Any = rows.features.get("image")
    if type(feature).__name__ != "Image":
        return rows
    undecoded = feature.__class__
    return rows.cast_column("image", undecoded(decode=False))


def _query(row: Mapping[str, Any], instruction: str | None) -> Query:
    """A query of MTEB. In a loader `text` holds the instruction as well, and `query` the text alone."""
    text = _text(row.get("query", row.get("text")))
    image = _image(row.get("image"))
    images = () if image is None else (image,)
    return Query(text or (None if images else _EMPTY), images, _text(row.get("instruction")) or instruction)


def _document(row: Mapping[str, Any], name: str) -> Document:
    text = _text(row.get("text"))
    title = _text(row.get("title")) if "body" not in row else None  # a loader's text holds the title already
    image = _image(row.get("image"))
    words = " ".join(part for part in (title, text) if part)
    return Document(name, words or (None if image else _EMPTY), image)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    raise InvalidInput(f"a text is a {type(value).__name__}; conversations are not supported, give plain texts")


def _image(value: Any) -> ImageRef | None:
    """A picture as `datasets` holds it: bytes or a path, or a decoded PIL image."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
        return ImageRef(data=data) if data else ImageRef(path=path) if path else None
    if hasattr(value, "convert"):
        return from_pil(value.convert("RGBA" if value.mode in ("LA", "PA", "RGBA", "P") else "RGB"))
    raise InvalidInput(f"a picture is a {type(value).__name__}; give PIL images or a column of datasets.Image")


def _instruction(task_metadata: Any) -> str | None:
    """What the task says a query wants."""
    prompt = getattr(task_metadata, "prompt", None)
    return _text(prompt.get("query")) if isinstance(prompt, Mapping) else _text(prompt)


def _is_query(prompt_type: Any) -> bool:
    return str(getattr(prompt_type, "value", prompt_type)) == "query"


def _word(name: str) -> str:
    """A name as it can stand in MTEB's `organisation/model`, which becomes a folder: the end of a long path."""
    return "".join(char if char.isalnum() or char in "-._" else "-" for char in name)[-80:]


def _meta(name: str, embedder: Embedder, revision: str) -> Any:
    try:
        from mteb.models import ModelMeta
    except ImportError as missing:
        raise MissingExtra("MTEB's metadata", "mteb") from missing
    known = {"name": name, "revision": revision, "embed_dim": embedder.dim, "modalities": ["text", "image"]}
    return ModelMeta.create_empty(known)


def _similarities() -> Any:
    try:
        from mteb import similarity_functions
    except ImportError as missing:
        raise MissingExtra("MTEB's similarities", "mteb") from missing
    return similarity_functions

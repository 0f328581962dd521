"""The tools on one index: what each may be asked, and what it does.

Documents are named by id and by nothing else: no path comes in, and no picture is read but those of the index and one
that a call brings along in base64. What a call may ask for is bounded in the tools' schemas; calls are answered one at
a time, and past `WAITING` of them a call is refused. Nothing is written.
"""

from __future__ import annotations

import base64
import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult
from pydantic import Field

from vretrver.answering import Writer, for_ranking
from vretrver.boxes import to_original, whole_pixels
from vretrver.coarse import coarse_ranking
from vretrver.embedders import Embedder
from vretrver.errors import ImageError, IndexMismatch, InvalidInput, MissingPath
from vretrver.images import encode_jpeg, image_size, open_image, render, thumbnail
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import NAME as MANIFEST
from vretrver.mcp_server.answers import Answer, Inspected, Told, answer_of, inspected, told
from vretrver.messages import View
from vretrver.pipeline import Pipeline
from vretrver.reranker import Reranker
from vretrver.retriever import Retriever
from vretrver.trace import Ranking
from vretrver.types import Box, Document, ImageRef, Query

log = logging.getLogger(__name__)

RESULTS = 20
"""Most results of a call, and most pictures among them."""
IDS = 50
"""Most documents that `rerank` compares."""
CANDIDATES = 50
SIDE, RESULT_SIDE = 1568, 384
"""Longest side, in pixels, of an inspected picture and of a result's."""
ENLARGED = 8
"""A region is enlarged at most so many times: beyond, there is nothing more to see."""
IMAGE_BYTES = 6 * 2**20
WAITING = 16

Id = Annotated[str, Field(min_length=1, max_length=4096, description="A document's id, as results give it.")]
Text = Annotated[str | None, Field(max_length=2000, description="What to look for, in words.")]
Like = Annotated[str | None, Field(max_length=4096, description="Id of a document whose picture is part of the query.")]
Encoded = Annotated[
    str | None,
    Field(
        max_length=IMAGE_BYTES * 4 // 3 + 100, description="A picture as part of the query, in base64 or a data URL."
    ),
]
Pictures = Annotated[
    int, Field(ge=0, le=RESULTS, description="How many results, from the best, come with their picture.")
]


class Searcher:
    """The tools, on one index. Every acknowledged change of the index is seen by the next call.

    Args:
        path: the index.
        reranker: looks and ranks; None leaves the coarse order.
        top_k: how many candidates are looked at in a search.
        embedder: an object instead of the one that the index names.
        writer: answers questions; without one there is no tool `ask`.

    Raises:
        MissingPath, IndexMismatch, MissingExtra: as `Retriever.open`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        reranker: Reranker | None,
        top_k: int = CANDIDATES,
        embedder: Embedder | None = None,
        writer: Writer | None = None,
    ) -> None:
        self.writer = writer
        self._path, self._reranker, self._top_k, self._given = Path(path), reranker, top_k, embedder
        self._lock, self._count, self._waiting = threading.Lock(), threading.Lock(), 0
        self._stamp = self._stamped()
        self._opened(Retriever.open(path, embedder))

    def __len__(self) -> int:
        return len(self._rows)

    # -- the tools ----------------------------------------------------------------------------------------------

    def search_images(
        self,
        query: Text = None,
        *,
        like: Like = None,
        image: Encoded = None,
        k: Annotated[int, Field(ge=1, le=RESULTS, description="How many results.")] = 5,
        where: Annotated[
            dict[str, Any] | None,
            Field(description='Keep documents with this metadata: {"colour": "red", "year": {">=": 2020}}.'),
        ] = None,
        look: Annotated[bool, Field(description="False skips looking at the candidates: faster, less exact.")] = True,
        pictures: Pictures = 5,
    ) -> Annotated[CallToolResult, Answer]:
        """Search the pictures and texts of the index by words, by a picture (`like` or `image`), or by both, as in "the
        same in red". Candidates are looked at closely before they are ranked."""
        with self._turn():
            asked = self._query(query, like, image)
            pipeline = Pipeline(self._retriever, self._reranker if look else None)
            return self._answered(pipeline.search(asked, k=k, top_k=self._top_k, where=where), pictures)

    def rerank(
        self,
        ids: Annotated[list[Id], Field(min_length=1, max_length=IDS, description="Ids of the documents to compare.")],
        query: Text = None,
        like: Like = None,
        image: Encoded = None,
        pictures: Pictures = 0,
    ) -> Annotated[CallToolResult, Answer]:
        """Look closely at documents that are known by id and rank them all for a query of words, a picture, or both."""
        with self._turn():
            asked = self._query(query, like, image)
            names = [self._document(name).id for name in dict.fromkeys(ids)]
            candidates = self._retriever.retrieve(asked, len(names), {"id": names})
            ranking = (
                coarse_ranking(asked, candidates)
                if self._reranker is None
                else self._reranker.rerank(asked, candidates)
            )
            return self._answered(ranking, pictures)

    def ask(
        self,
        question: Annotated[str, Field(min_length=1, max_length=2000, description="What to answer.")],
        like: Like = None,
        image: Encoded = None,
        k: Annotated[int, Field(ge=1, le=RESULTS, description="How many sources the model is given.")] = 5,
        where: Annotated[
            dict[str, Any] | None,
            Field(description='Keep documents with this metadata: {"colour": "red", "year": {">=": 2020}}.'),
        ] = None,
    ) -> Annotated[CallToolResult, Told]:
        """Answer a question from the pictures and texts of the index, citing documents by id and regions by box. Zoom
        in on a cited region with inspect before you rely on it."""
        if self.writer is None:
            raise ToolError("this server answers no questions")
        with self._turn():
            query, reranker = self._query(question, like, image), copy(self._reranker)
            if reranker is not None:
                left = for_ranking(self.writer.budget, k, len(query.images))
                reranker.rules = replace(reranker.rules, budget=left)
            started = time.perf_counter()
            ranking = Pipeline(self._retriever, reranker).search(query, k=k, top_k=self._top_k, where=where)
            answer = self.writer.write([ranking], k, time.perf_counter() - started)[0]
            for error in {*(trace.error for trace in ranking.traces if trace.error), answer.error} - {None}:
                log.warning("%s", error)
            return told(answer)

    def inspect(
        self,
        id: Id,
        box: Annotated[
            list[float] | None,
            Field(
                min_length=4,
                max_length=4,
                description="The region [x0, y0, x1, y1] in pixels of the original; four numbers of at most 1 are "
                "fractions of its sides. All of the picture when left out.",
            ),
        ] = None,
        side: Annotated[int, Field(ge=64, le=SIDE, description="Longest side of the answer's image in pixels.")] = 768,
    ) -> Annotated[CallToolResult, Inspected]:
        """Zoom in: show a region of a document's picture, cut from the original at full resolution, or all of it."""
        with self._turn():
            image = self._picture(id)
            try:
                width, height = image_size(image)
                region = (0, 0, width, height) if box is None else _region(box, (width, height))
                across, down = region[2] - region[0], region[3] - region[1]
                scale = min(side / max(across, down), ENLARGED)
                shown = max(1, round(across * scale)), max(1, round(down * scale))
                view = View(image, *shown, None if region == (0, 0, width, height) else region)
                jpeg = encode_jpeg(render(view))
            except (ImageError, MissingPath):  # their words name a path
                raise ToolError(f"the picture of {id!r} cannot be read; it is gone or damaged") from None
            return inspected(Inspected(id=id, size=[width, height], box=list(region), shown=list(shown)), jpeg)

    # -- what a call is about -----------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One call at a time, on the index as it is now; what it refuses is said to the assistant."""
        with self._count:
            if self._waiting >= WAITING:
                raise ToolError(f"{WAITING} calls are waiting already; try again in a while")
            self._waiting += 1
        try:
            with self._lock:
                self._renew()
                yield
        except InvalidInput as fault:  # any other fault is the operator's: it goes to the log
            raise ToolError(" ".join(str(fault).split())) from fault
        finally:
            with self._count:
                self._waiting -= 1

    def _renew(self) -> None:
        """Open the index again if it has changed; an embedder that has not is kept."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        try:
            self._opened(Retriever.open(self._path, self._retriever.embedder))
        except IndexMismatch:  # it was taught meanwhile
            self._opened(Retriever.open(self._path, self._given))
        self._stamp = stamp

    def _opened(self, retriever: Retriever) -> None:
        assert isinstance(retriever.index, LanceIndex)
        self._retriever, self._index = retriever, retriever.index
        self._rows = {name: row for row, name in enumerate(self._index.ids())}

    def _stamped(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self._path / MANIFEST)
        except OSError:
            return (0, 0, 0)
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _document(self, name: str) -> Document:
        if name not in self._rows:
            raise InvalidInput(f"there is no document {name[:100]!r}; take ids from results")
        (document,) = self._index.documents([self._rows[name]])
        return document

    def _picture(self, name: str) -> ImageRef:
        image = self._document(name).image
        if image is None:
            raise InvalidInput(f"document {name[:100]!r} has no picture")
        return image

    def _query(self, text: str | None, like: str | None, encoded: str | None) -> Query:
        images = []
        if like is not None:
            images.append(self._picture(like))
            try:
                open_image(images[0], near=256)
            except (ImageError, MissingPath):
                raise ToolError(f"the picture of {like!r} cannot be read; it is gone or damaged") from None
        if encoded is not None:
            images.append(_decoded(encoded))
        return Query(text, tuple(images))

    # -- what is answered ---------------------------------------------------------------------------------------

    def _answered(self, ranking: Ranking, pictures: int) -> CallToolResult:
        """The ranking with pictures of its best, from the originals; the stored thumbnail where one is gone."""
        for error in {trace.error for trace in ranking.traces if trace.error}:
            log.warning("the agent failed: %s", error)  # for the operator; it may name what is none of the assistant's
        shown: dict[str, bytes] = {}
        for document in (result.document for result in ranking.results[:pictures]):
            if document.image is not None:
                try:
                    shown[document.id] = thumbnail(document.image, RESULT_SIDE)
                except (ImageError, MissingPath):
                    shown |= self._index.thumbnails([document.id])
        return answer_of(ranking, shown)


def _region(values: Sequence[float], size: tuple[int, int]) -> Box:
    if not all(math.isfinite(value) and abs(value) <= 1e7 for value in values):
        raise InvalidInput("a box holds four finite numbers, [x0, y0, x1, y1]")
    x0, y0, x1, y1 = to_original(values, "released", size, size)
    if not (x0 < x1 and y0 < y1 and x0 < size[0] and y0 < size[1] and x1 > 0 and y1 > 0):
        raise InvalidInput(
            f"the box {list(values)} is no region of a picture of {size[0]}x{size[1]} pixels; "
            "give [x0, y0, x1, y1] with x0 < x1 and y0 < y1"
        )
    return whole_pixels((x0, y0, x1, y1), size)


def _decoded(encoded: str) -> ImageRef:
    head, comma, data = encoded.partition(",") if encoded[:5].lower() == "data:" else ("", "", encoded)
    if comma and not head.lower().endswith(";base64"):
        raise InvalidInput("a picture's data URL begins with data:image/...;base64,")
    try:
        ref = ImageRef(data=base64.b64decode(data, validate=True))
    except ValueError:
        raise InvalidInput("the query's image is neither base64 nor a data URL; paths and URLs are not read") from None
    open_image(ref, near=256)  # a damaged one is the caller's fault, not a ranking's
    return ref

"""From a question to a checked answer: search, one generation over the best results, citations checked."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vretrver.answering.answer import Answer
from vretrver.answering.citations import Reader
from vretrver.answering.prompt import NONE, render_sources
from vretrver.budget import Budget
from vretrver.coarse import as_query
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.images import image_size, open_image
from vretrver.messages import Completion, Conversation
from vretrver.pipeline import Pipeline
from vretrver.policies import Policy, checked
from vretrver.protocol import MAX_MODEL_TEXT, Wire, answer_in, number_pictures
from vretrver.tools import Gallery
from vretrver.trace import Ranking
from vretrver.types import Candidate, ImageRef, Query, Window
from vretrver.usage import Prices, Usage

SOURCES = 5
SOURCE_TOKENS = 1024


class Answerer:
    """Args:
    pipeline: finds and ranks the sources.
    policy: writes the answer; a chat or local model.
    source_tokens: image tokens of 28x28 pixels that one picture may take, 4 to 5120.
    wire: the policy's dialect; the policy's own `wire`, if it has one, when None. Its `window_pixels` are not used.
    budget: what a question may cost, ranking and answer together. It does not bound the ranking by itself: give the
        pipeline's reranker what `for_ranking` leaves to it.
    prices: what the answer's tokens cost; the ranking's are priced by its reranker.

    Raises:
        InvalidInput: source_tokens out of bounds, or a budget of money without prices.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        policy: Policy,
        *,
        source_tokens: int = SOURCE_TOKENS,
        wire: Wire | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
    ) -> None:
        if budget is not None and budget.money is not None and prices is None:
            raise InvalidInput(f"the budget money={budget.money:g} needs prices; give prompt=..., completion=...")
        self.pipeline, self.policy = pipeline, policy
        self.wire = (wire or getattr(policy, "wire", None) or Wire()).showing(source_tokens)
        self.budget, self.prices = budget or Budget(), prices

    def ask(
        self, query: Query | str, k: int = SOURCES, top_k: int = 50, where: Mapping[str, Any] | None = None
    ) -> Answer:
        """The answer to a question.

        Args:
            query: the question; it may come with pictures.
            k: how many sources the model is given.
            top_k, where: as `Pipeline.search`.

        Returns:
            An answer, or one without text that says why: `no_answer` or `error`. A failure of the model or the end of a
            budget is an `error`, so that the ranking is not lost.

        Raises:
            InvalidInput: k or top_k below 1.
            MissingPath, ImageError: a picture of the question cannot be read.
        """
        started = time.perf_counter()
        query = as_query(query)
        ranking = self.pipeline.search(query, k=k, top_k=top_k, where=where)
        candidates = tuple(result.candidate for result in ranking.results)
        if not candidates:
            return Answer("", (), ranking, ranking.usage, no_answer=True)
        window = Window(query, candidates)
        sizes = {image: image_size(image) for image in query.images} | _readable(candidates)
        gallery = number_pictures(window, sizes, self.wire)
        elapsed = time.perf_counter() - started
        shown = len(gallery.pictures)
        if (over := self.budget.ended(ranking.usage, elapsed, coming=shown)) is not None:
            return Answer("", (), ranking, ranking.usage, error=f"the budget of {over} ended before an answer")
        return self._answered(window, gallery, ranking, elapsed)

    def _answered(self, window: Window, gallery: Gallery, ranking: Ranking, elapsed: float) -> Answer:
        left = None if self.budget.seconds is None else max(0.0, self.budget.seconds - elapsed)
        conversation = Conversation(window, render_sources(window, gallery, self.wire), left)
        started = time.perf_counter()
        spent = Usage(policy_calls=1, images=len(gallery.pictures))
        try:
            (completion,) = checked(self.policy.complete([conversation]), 1, self.policy.name)
        except Exception as fault:  # the one boundary around the policy: the ranking is not lost
            why = f"{type(fault).__name__}: {' '.join(str(fault).split())[:500]}"
            usage = ranking.usage + replace(spent, seconds=time.perf_counter() - started)
            return Answer("", (), ranking, usage, error=f"the model failed: {why}")
        usage = ranking.usage + self._cost(spent, completion, time.perf_counter() - started)
        reader = Reader([one.document for one in window.candidates], gallery, self.wire.max_text)
        return _read(completion.text, reader, ranking, usage)

    def _cost(self, spent: Usage, completion: Completion, seconds: float) -> Usage:
        tokens = completion.tokens
        money = None if tokens is None or self.prices is None else self.prices.of(tokens)
        return replace(spent, cache_hits=int(completion.reused), tokens=tokens, money=money, seconds=seconds)


def for_ranking(budget: Budget, k: int = SOURCES, query_images: int = 0) -> Budget:
    """What of a question's budget the ranking may take: all but one call and the pictures of the answer, and three
    quarters of its seconds, tokens and money."""

    def share(bound: float | None) -> float | None:
        return None if bound is None else bound * 0.75

    return Budget(
        seconds=share(budget.seconds),
        calls=None if budget.calls is None else max(0, budget.calls - 1),
        tokens=None if budget.tokens is None else math.floor(budget.tokens * 0.75),
        images=None if budget.images is None else max(0, budget.images - k - query_images),
        money=share(budget.money),
    )


def _read(text: str, reader: Reader, ranking: Ranking, usage: Usage) -> Answer:
    shown = {picture.candidate for picture in reader.gallery.pictures.values()}
    reader.repairs += [
        f"source {position + 1} was shown without its image, which cannot be read"
        for position, document in enumerate(reader.documents)
        if document.image is not None and position not in shown
    ]
    answer = answer_in(text[:MAX_MODEL_TEXT])
    if answer is None or not answer.strip():
        error = "the model wrote no <answer>" if answer is None else "the model wrote an empty <answer>"
        return Answer("", (), ranking, usage, repairs=tuple(reader.repairs), error=error)
    if answer.strip(" \n\t.\"'").casefold() == NONE:
        return Answer("", (), ranking, usage, no_answer=True, repairs=tuple(reader.repairs))
    said = reader.read(answer)
    return Answer(said, tuple(reader.citations), ranking, usage, repairs=tuple(reader.repairs))


def _readable(candidates: Sequence[Candidate]) -> dict[ImageRef, tuple[int, int]]:
    """Sizes of the pictures that do decode. So few decode in less time than the model takes to begin."""
    sizes = {}
    for image in (candidate.document.image for candidate in candidates):
        if image is not None:
            try:
                open_image(image)
                sizes[image] = image_size(image)
            except (ImageError, MissingPath):
                continue  # told in the answer's repairs
    return sizes

"""From a question to a checked answer: search, one generation over the best results, citations checked."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from vretrver.answering.answer import Answer
from vretrver.answering.writer import SOURCE_TOKENS, SOURCES, Writer
from vretrver.budget import Budget
from vretrver.coarse import as_query
from vretrver.pipeline import Pipeline
from vretrver.policies import Policy
from vretrver.protocol import Wire
from vretrver.types import Query
from vretrver.usage import Prices


class Answerer:
    """Args:
    pipeline: finds and ranks the sources.
    policy: writes the answer; a chat or local model.
    source_tokens: image tokens of 28x28 pixels that one picture may take, 4 to 5120.
    wire: the policy's dialect; the policy's own `wire`, if it has one, when None. Its `window_pixels` are not used.
    budget: what a question may cost, ranking and answer together. It does not bound the ranking by itself: give the
        pipeline's reranker what `for_ranking` leaves to it.
    prices: what the answer's tokens cost; the ranking's are priced by its reranker.
    brief: as `Writer`.

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
        brief: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self.writer = Writer(policy, source_tokens=source_tokens, wire=wire, budget=budget, prices=prices, brief=brief)

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
        ranking = self.pipeline.search(as_query(query), k=k, top_k=top_k, where=where)
        return self.writer.write([ranking], k, time.perf_counter() - started)[0]


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

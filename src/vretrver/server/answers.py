"""Rankings to answers: what a client gets to see, and nothing of this machine's folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vretrver.answering import Answer
from vretrver.answering.writer import MODEL_FAILED
from vretrver.errors import VretrverError
from vretrver.images import image_size
from vretrver.server.rerank_schemas import RerankBody
from vretrver.server.traces import without_folders
from vretrver.trace import Ranking, Result

log = logging.getLogger("vretrver.server")
_FALL = 1e-6
"""How much of a relevance score is its rank's: enough to fall strictly, too little to be seen."""


def search_answer(
    ranking: Ranking, roots: Sequence[Path], trace: str | None, alike: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """`Ranking.to_json` with metadata and URLs.

    Args:
        roots: the folders that were indexed; paths are told from there.
        trace: the id under which the ranking is kept.
        alike: which results look like which better ones, by id.
    """
    answer = ranking.to_json()
    for shown, result in zip(answer["results"], ranking.results, strict=True):
        document = result.document
        url = f"/v1/documents/{quote(document.id, safe='')}"
        shown["metadata"] = dict(document.metadata)
        shown["thumbnail"] = None if document.image is None else f"{url}/thumbnail"
        shown["image"] = None if document.image is None else f"{url}/image"
        shown["size"] = _size(result)
        shown["alike"] = None if alike is None else alike.get(document.id)
    answer["trace"] = None if trace is None else f"/v1/traces/{trace}"
    hidden: dict[str, Any] = without_folders(ranking, roots)(answer)
    return hidden


def question_answer(answer: Answer, roots: Sequence[Path], trace: str | None) -> dict[str, Any]:
    """`Answer.to_json` with the ranking as a search gives it; what a fault of the model says stays in the log."""
    said = answer.to_json()
    if answer.error is not None and answer.error.startswith(MODEL_FAILED):
        log.warning("%s", answer.error)
        said["error"] = f"{MODEL_FAILED}; the server's log says why"
    said["ranking"] = search_answer(answer.ranking, roots, trace)
    hidden: dict[str, Any] = without_folders(answer.ranking, roots)(said)
    return hidden


def _size(result: Result) -> list[int] | None:
    """The original's width and height, where a part of it was looked at."""
    image = result.document.image
    if image is None or all(look.box is None for look in result.evidence):
        return None
    try:
        return list(image_size(image))
    except VretrverError:  # it has gone since
        return None


def rerank_answer(ranking: Ranking, body: RerankBody, name: str, policy: str) -> dict[str, Any]:
    """A ranking as Cohere, Jina and vLLM say it; a document's id is its place in the request."""
    given = body.documents if isinstance(body.documents, list) else body.documents.content
    scores = relevance_scores([result.confidence for result in ranking.results])
    results = []
    for result, score in zip(ranking.results[: body.top_n], scores, strict=False):
        index = int(result.document.id)
        line: dict[str, Any] = {"index": index, "relevance_score": score}
        if body.return_documents:
            item = given[index]
            line["document"] = {"text": item} if isinstance(item, str) else item.model_dump(exclude_none=True)
        results.append(line)
    tokens = ranking.usage.tokens
    read, written = (tokens.prompt, tokens.completion) if tokens is not None else (0, 0)
    return {
        "id": name,
        "model": body.model or policy,
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        "meta": {
            "api_version": {"version": "1"},
            "billed_units": {"search_units": 1.0},
            "tokens": {"input_tokens": float(read), "output_tokens": float(written)},
        },
        "results": results,
    }


def relevance_scores(confidences: Sequence[float]) -> list[float]:
    """Scores that fall strictly with rank and stay as near as they can to the confidences.

    Confidences of neighbours that rise with rank are replaced by their mean: of all falling sequences this is the
    nearest in squares (pool adjacent violators; Ayer et al., 1955). Clients read these scores as probabilities, and
    some sort by them, so neither may contradict the order.

    Args:
        confidences: 0..1, best rank first.
    """
    pools: list[tuple[float, int]] = []
    for confidence in confidences:
        total, count = float(confidence), 1
        while pools and pools[-1][0] / pools[-1][1] < total / count:
            before, many = pools.pop()
            total, count = total + before, count + many
        pools.append((total, count))
    level = [total / count for total, count in pools for _ in range(count)]
    n = len(level) + 1
    return [(1 - _FALL) * score + _FALL * (1 - (at + 1) / n) for at, score in enumerate(level)]

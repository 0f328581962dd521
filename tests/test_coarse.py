from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vretrver.coarse import as_candidates, coarse_candidates, coarse_confidences, coarse_ranking, merged_evidence
from vretrver.errors import InvalidInput, MissingPath
from vretrver.fusion import confidences
from vretrver.images import open_image
from vretrver.trace import Evidence, StopReason, Trace
from vretrver.types import Candidate, Document, ImageRef, Query

Paint = Callable[..., str]
AXIS = {"red": 0, "green": 1, "blue": 2}


class Colours:
    """An embedder of mean colours; a text is the colour it names."""

    name, fingerprint, dim = "colours", "1", 3

    def encode(self, items: Sequence[Query | Document]) -> NDArray[np.float32]:
        rows = [self._row(item) for item in items]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(-1, 3)

    def _row(self, item: Query | Document) -> NDArray[np.float64]:
        image = item.image if isinstance(item, Document) else next(iter(item.images), None)
        if image is not None:
            return np.asarray(np.asarray(open_image(image), float).mean(axis=(0, 1)))
        return np.asarray(np.eye(3)[AXIS[item.text or ""]])


def test_what_people_have_in_hand(paint: Paint) -> None:
    first, second = paint("a.png"), Path(paint("b.png", "blue"))
    document = Document("d", "text")
    given = Candidate(document, 0.5, 7)
    assert as_candidates([given]) == [given]
    assert as_candidates([first, "just words", second, document]) == [
        Candidate(Document(first, image=ImageRef(path=first)), 0.0, 1),
        Candidate(Document("text-2", "just words"), 0.0, 2),
        Candidate(Document(str(second), image=ImageRef(path=str(second))), 0.0, 3),
        Candidate(document, 0.0, 4),
    ]


def test_a_path_given_by_name_must_exist() -> None:
    with pytest.raises(MissingPath, match=r"no such image: gone\.jpg"):
        as_candidates(["gone.jpg"])


def test_ids_must_be_unique() -> None:
    with pytest.raises(InvalidInput, match="document id 'd' comes twice"):
        as_candidates([Document("d", "one"), Document("d", "two")])


def test_documents_ordered_by_an_embedder(paint: Paint, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    documents = [
        Document("bad", image=ImageRef.of(bad)),
        Document("green", image=ImageRef.of(paint("g.png", "lime"))),
        Document("red", image=ImageRef.of(paint("r.png", "red"))),
        Document("also red", "red"),
        Document("bad but green", "green", ImageRef.of(bad)),
    ]
    found = coarse_candidates("red", documents, Colours())
    assert [(candidate.document.id, candidate.rank, candidate.score) for candidate in found] == [
        ("red", 1, 1.0),
        ("also red", 2, 1.0),
        ("green", 3, 0.0),
        ("bad but green", 4, 0.0),
        ("bad", 5, -1.0),
    ]
    assert coarse_candidates("red", [], Colours()) == []


def test_a_ranking_of_the_coarse_order_has_strictly_falling_scores() -> None:
    candidates = [Candidate(Document(str(at), "t"), score, at + 1) for at, score in enumerate([0.9, 0.5, 0.5, 0.5])]
    ranking = coarse_ranking("q", candidates)
    scores = [result.score for result in ranking.results]
    assert scores == [0.9, 0.5, math.nextafter(0.5, 0), math.nextafter(math.nextafter(0.5, 0), 0)]
    assert [result.rank for result in coarse_ranking("q", candidates, k=2).results] == [1, 2]
    assert coarse_ranking("q", []).no_match and not ranking.no_match
    assert coarse_ranking("q", candidates, no_match_below=0.6).no_match


def test_evidence_of_several_windows_is_merged_once_each() -> None:
    look, other = Evidence("a.jpg", None, "select_images", "red"), Evidence("a.jpg", (0, 0, 1, 1), "crop_image", "dot")

    def trace(*looks: Evidence) -> Trace:
        return Trace(0, ("a",), (0,), (), StopReason.ANSWERED, evidence={"a": looks})

    assert merged_evidence([trace(look), trace(look, other)]) == {"a": (look, other)}


def test_confidence_comes_from_the_fusion_for_what_a_retriever_found_and_is_neutral_else() -> None:
    found = [Candidate(Document(str(at), "t"), float(9 - at), at + 1, {"vector": 1.0}) for at in range(3)]
    given = [Candidate(Document(str(at), "t"), float(9 - at), at + 1) for at in range(3)]
    assert coarse_confidences(Query("q"), found) == confidences(found, "text")
    assert coarse_confidences(Query("q"), found[::-1]) == confidences(found, "text")[::-1]
    assert coarse_confidences(Query("q"), given) == [0.5, 0.5, 0.5]

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL.Image import Image as PILImage

from conftest import MeanColour
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.fusion import Weights
from vretrver.indexes import load_index
from vretrver.indexes.lance import LanceIndex
from vretrver.ingest import build_index
from vretrver.ocr import Line
from vretrver.retriever import Retriever
from vretrver.types import Candidate, Query

Paint = Callable[..., str]
CARDS = ("red", "green", "blue", "yellow", "white")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    place = tmp_path_factory.mktemp("cards")
    for at, colour in enumerate(CARDS):
        Image.new("RGB", (64, 48), colour).save(place / f"{colour}.png")
        (place / f"{colour}.json").write_text(f'{{"text": "card number {at}", "even": {str(at % 2 == 0).lower()}}}')
    build_index(place, place.parent / "cards.vr", MeanColour(), ocr=False)
    index = load_index(place.parent / "cards.vr")
    with index.writing():
        index.set_printed({"green.png": "Invoice INV-20391 total 1,5%"})
    return place


@pytest.fixture
def retriever(folder: Path) -> Retriever:
    return Retriever(load_index(folder.parent / "cards.vr"), MeanColour())


def ids(found: list[Candidate]) -> list[str]:
    return [candidate.document.id for candidate in found]


def test_a_picture_finds_itself_and_signals_add_up(retriever: Retriever, folder: Path) -> None:
    queries = [Query(images=(str(folder / f"{colour}.png"),)) for colour in CARDS]  # type: ignore[arg-type]
    for colour, found in zip(CARDS, retriever.search(queries, 3), strict=True):
        assert ids(found)[0] == f"{colour}.png"
        assert [candidate.rank for candidate in found] == [1, 2, 3]
        assert found[0].score >= found[1].score >= found[2].score
        for candidate in found:
            assert sum(candidate.signals.values()) == pytest.approx(candidate.score, abs=1e-4)


@pytest.mark.parametrize("text", ["invoice 20391", "INV20391", "20391", "the one with 1.5 %"])
def test_an_exact_printed_token_wins(retriever: Retriever, text: str) -> None:
    assert ids(retriever.retrieve(Query(text), 5))[0] == "green.png"


def test_words_on_the_query_picture_are_matched(folder: Path) -> None:
    class Reads:
        def read(self, picture: PILImage) -> list[Line]:
            return [Line("INV-20391", (0, 0, 9, 9), 0.9), Line("card", (0, 0, 9, 9), 0.1)]

    index = load_index(folder.parent / "cards.vr")
    weights = {"image": Weights({"printed": 1.0})}
    found = Retriever(index, MeanColour(), Reads(), weights).retrieve(Query(images=(str(folder / "red.png"),)), 5)  # type: ignore[arg-type]
    assert ids(found)[0] == "green.png"
    assert found[1].score == 0, "a line below the trusted score is not searched"


def test_equal_scores_come_in_id_order(retriever: Retriever) -> None:
    retriever.weights = {"text": Weights({})}
    assert ids(retriever.retrieve(Query("nothing matches"), 3)) == sorted(f"{colour}.png" for colour in CARDS)[:3]


def test_filters_and_a_k_beyond_the_pool(retriever: Retriever) -> None:
    assert len(retriever.retrieve(Query("card"), 500)) == len(CARDS)
    assert set(ids(retriever.retrieve(Query("card"), 500, {"even": True}))) == {"red.png", "blue.png", "white.png"}
    assert retriever.retrieve(Query("card"), 5, {"even": "maybe"}) == []
    assert retriever.search([], 5) == []


def test_what_cannot_be_searched(retriever: Retriever, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="k is 0"):
        retriever.retrieve(Query("x"), 0)
    with pytest.raises(MissingPath):
        retriever.retrieve(Query(images=(str(tmp_path / "no.png"),)), 1)  # type: ignore[arg-type]
    (tmp_path / "x.jpg").write_text("no picture")
    with pytest.raises(ImageError):
        retriever.retrieve(Query(images=(str(tmp_path / "x.jpg"),)), 1)  # type: ignore[arg-type]

    class Wide(MeanColour):
        dim = 9

    with pytest.raises(InvalidInput, match="9 dimensions, the index 8"):
        Retriever(load_index(folder.parent / "cards.vr"), Wide())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.text(min_size=1), st.sampled_from(['"', "a AND (", "id:*", "1,5%", "-", "~2", "\\", "' OR 1=1 --"]))
)
def test_any_text_is_a_query(retriever: Retriever, text: str) -> None:
    if text.strip():
        assert len(retriever.retrieve(Query(text), 5)) == len(CARDS)


def test_open_takes_the_embedder_that_no_name_loads(folder: Path) -> None:
    opened = Retriever.open(folder.parent / "cards.vr", MeanColour())
    assert isinstance(opened.index, LanceIndex)
    assert ids(opened.retrieve(Query("20391"), 1)) == ["green.png"]

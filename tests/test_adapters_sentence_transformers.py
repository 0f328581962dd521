"""The shape of sentence-transformers' CrossEncoder, held against the library's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from reddest import COLOURS, ORDER, encoded, reddest
from vretrver.adapters.pictures import UnreadPicture, data_url
from vretrver.adapters.sentence_transformers import VretrverCrossEncoder
from vretrver.errors import InvalidInput
from vretrver.types import ImageRef, Query

Paint = Callable[..., str]


def model(root: Path | None = None) -> VretrverCrossEncoder:
    return VretrverCrossEncoder(reddest(), embedder=None, root=root)


def places(found: list[dict[str, object]]) -> list[object]:
    return [one["corpus_id"] for one in found]


@pytest.mark.parametrize(
    "form",
    [
        lambda colour, folder: Image.new("RGB", (64, 48), colour),
        lambda colour, folder: Image.open(folder / f"{colour}.png"),
        lambda colour, folder: folder / f"{colour}.png",
        lambda colour, folder: f"{colour}.png",
        lambda colour, folder: str(folder / f"{colour}.png"),
        lambda colour, folder: encoded(colour),
        lambda colour, folder: data_url(ImageRef(data=encoded(colour))),
        lambda colour, folder: {"image": Image.new("RGB", (64, 48), colour)},
        lambda colour, folder: {"text": "a square", "image": f"{colour}.png"},
    ],
)
def test_every_kind_of_input(form: Callable[[str, Path], object], paint: Paint, tmp_path: Path) -> None:
    for colour in COLOURS:
        paint(f"{colour}.png", colour)
    documents = [form(colour, tmp_path) for colour in COLOURS]
    found = model(tmp_path).rank("red", documents)
    assert places(found) == list(ORDER)
    assert [one["score"] for one in found] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert found[0]["confidence"] == 1.0
    assert places(model(tmp_path).rank(documents[1], documents, top_k=2)) == [1, 2]


def test_documents_come_back_as_they_were() -> None:
    documents = [Image.new("RGB", (64, 48), colour) for colour in COLOURS]
    found = model().rank("red", documents, return_documents=True)
    assert all(one["text"] is documents[one["corpus_id"]] for one in found)


def test_a_string_is_a_text_unless_it_names_a_picture_below_the_root(paint: Paint, tmp_path: Path) -> None:
    outside = paint("outside.png")
    root = tmp_path / "root"
    root.mkdir()
    for documents in (["https://example.org/a.png", "say cheese.jpg"], [outside, "../outside.png"]):
        found = model(root).rank("red", documents)
        assert places(found) == [0, 1] and found[0]["confidence"] == 0.0  # texts: no picture was opened
        assert places(model().rank("red", documents)) == [0, 1]


def test_what_is_said_to_be_a_picture_and_is_refused() -> None:
    with pytest.warns(UnreadPicture, match="URLs are not fetched"):
        found = model().rank("red", [{"image": "https://example.org/a.png"}, {"text": "a boat"}])
    assert places(found) == [1, 0]
    with pytest.raises(InvalidInput, match="URLs are not fetched"):
        model().rank({"image": "https://example.org/a.png"}, ["a boat"])
    with pytest.raises(InvalidInput, match="has 'video'; allowed are text and image"):
        model().rank("red", [{"video": "a.mp4"}])
    with pytest.raises(InvalidInput, match="text is a int"):
        model().rank("red", [{"text": 7}])


def test_queries_of_text_and_picture() -> None:
    documents = [Image.new("RGB", (64, 48), colour) for colour in COLOURS]
    for query in ({"text": "the same", "image": documents[1]}, Query("the same", (ImageRef(data=encoded("red")),))):
        assert places(model().rank(query, documents)) == list(ORDER)


def test_it_is_called_as_the_librarys_own() -> None:
    library = pytest.importorskip("sentence_transformers", reason="the extra [models] is not installed")
    theirs = list(inspect.signature(library.CrossEncoder.rank).parameters)
    ours = list(inspect.signature(VretrverCrossEncoder.rank).parameters)
    assert ours[:5] == theirs[:5] == ["self", "query", "documents", "top_k", "return_documents"]
    found = model().rank("red", ["a boat"], batch_size=8, show_progress_bar=False, device="cpu")
    assert places(found) == [0]


def test_records_are_the_librarys_with_more(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra [models] is not installed")
    from sentence_transformers import CrossEncoder

    from test_cross_encoder import build

    documents = ["red kite", "blue boat", "old sea"]
    theirs = CrossEncoder(build(tmp_path)).rank("red", documents, return_documents=True, show_progress_bar=False)
    ours = VretrverCrossEncoder(reddest(), embedder=None).rank("red", documents, return_documents=True)
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() >= other.keys()
        assert one["text"] == documents[one["corpus_id"]]
    assert [one["score"] for one in ours] == sorted((one["score"] for one in ours), reverse=True)

from __future__ import annotations

from pathlib import Path

import pytest

from vretrver.errors import InvalidInput
from vretrver.types import Document, ImageRef, Query


@pytest.mark.parametrize(
    ("text", "images", "modality"),
    [("a kite", (), "text"), (None, ("a.jpg",), "image"), ("in red", ("a.jpg", "b.jpg"), "image,text")],
)
def test_modality_names_what_a_query_holds(text: str | None, images: tuple[str, ...], modality: str) -> None:
    query = Query(text, tuple(map(ImageRef.of, images)))
    assert query.modality == modality
    assert [image.path for image in query.images] == list(images)


@pytest.mark.parametrize("text", [None, "", "  \n\t"])
def test_an_empty_query_is_refused(text: str | None) -> None:
    with pytest.raises(InvalidInput, match="query is empty"):
        Query(text)


def test_an_image_comes_as_path_or_bytes_and_nothing_else() -> None:
    assert ImageRef.of(Path("a.jpg")) == ImageRef(path="a.jpg")
    assert ImageRef.of(b"x") == ImageRef(data=b"x")
    with pytest.raises(InvalidInput, match="cannot take a int"):
        ImageRef.of(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="either a path or"):
        ImageRef()


def test_a_single_image_need_not_be_wrapped() -> None:
    assert Query("in red", ImageRef(path="a.jpg")).images == (ImageRef(path="a.jpg"),)  # type: ignore[arg-type]


def test_a_document_needs_an_id_and_something_to_find() -> None:
    with pytest.raises(InvalidInput, match="needs an id"):
        Document("", "text")
    with pytest.raises(InvalidInput, match="'d' has neither"):
        Document("d", " ")


def test_bytes_are_named_by_their_hash() -> None:
    # SHA-256 of nothing is e3b0c44298fc...
    assert ImageRef(data=b"").label == "bytes:e3b0c44298fc"

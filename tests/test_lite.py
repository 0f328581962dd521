"""The embedded embedder with its shipped weights: the contract, the mix of blocks, teaching and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from conftest import Paint
from vretrver.embedders import Teachable, checked, load_embedder
from vretrver.embedders.lite import LiteEmbedder
from vretrver.embedders.lite_space import FEATURES_DIM
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.images import from_pil
from vretrver.types import Document, ImageRef, Query


@pytest.fixture(scope="module")
def lite() -> LiteEmbedder:
    return LiteEmbedder.load()


def draw(path: Path, shape: str, colour: str, at: int = 0) -> ImageRef:
    """A circle, a square or stripes on white, moved by `at` pixels."""
    picture = Image.new("RGB", (120, 120), "white")
    pen = ImageDraw.Draw(picture)
    box = (25 + at, 25, 85 + at, 85)
    if shape == "stripes":
        for y in range(30, 90, 12):
            pen.rectangle((25 + at, y, 85 + at, y + 5), fill=colour)
    else:
        (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=colour)
    picture.save(path)
    return ImageRef.of(path)


@pytest.fixture
def shapes(tmp_path: Path) -> dict[tuple[str, str], ImageRef]:
    kinds = [(shape, colour) for shape in ("circle", "square", "stripes") for colour in ("red", "blue")]
    return {(shape, colour): draw(tmp_path / f"{shape}-{colour}.png", shape, colour) for shape, colour in kinds}


def test_it_keeps_the_embedder_contract(lite: LiteEmbedder, paint: Paint) -> None:
    path = ImageRef.of(paint())
    items: list[Query | Document] = [
        Query("a red thing"),
        Document("d", image=path),
        Query("the same in blue", (path, path)),
        Document("t", "x"),
    ]
    vectors = lite.encode(items)
    checked(vectors, 4, lite.dim, lite.name)
    assert isinstance(lite, Teachable)
    assert load_embedder("lite").fingerprint == lite.fingerprint


def test_encode_is_project_of_features(lite: LiteEmbedder, paint: Paint) -> None:
    documents = [
        Document("a", "red", ImageRef.of(paint("a.png", "red"))),
        Document("b", image=ImageRef.of(paint("b.png", "blue"))),
    ]
    features = lite.features(documents)
    assert features.shape == (2, FEATURES_DIM) and features.dtype == np.float16
    assert np.array_equal(lite.project(features, queries=False), lite.encode(documents))


def test_nothing_in_nothing_out(lite: LiteEmbedder) -> None:
    assert lite.encode([]).shape == (0, lite.dim)
    assert lite.features([]).shape == (0, FEATURES_DIM)
    assert lite.image_features([]).shape[0] == lite.joint_image([]).shape[0] == lite.joint_text([]).shape[0] == 0


def test_rows_do_not_depend_on_their_neighbours(lite: LiteEmbedder, shapes: dict[tuple[str, str], ImageRef]) -> None:
    documents = [Document(path.label, image=path) for path in shapes.values()]
    together = lite.encode(documents)
    assert np.allclose(together[4], lite.encode(documents[4:5])[0], atol=2e-3)


def test_an_image_finds_itself(lite: LiteEmbedder, shapes: dict[tuple[str, str], ImageRef]) -> None:
    paths = list(shapes.values())
    scores = (
        lite.encode([Query(images=(p,)) for p in paths]) @ lite.encode([Document(p.label, image=p) for p in paths]).T
    )
    assert scores.argmax(axis=1).tolist() == list(range(len(paths)))


def test_a_text_finds_the_text_that_means_the_same(lite: LiteEmbedder) -> None:
    documents = [Document("a", "a carton of milk"), Document("b", "a pair of running shoes"), Document("c", "a cat")]
    scores = lite.encode([Query("sneakers")]) @ lite.encode(documents).T
    assert scores.argmax() == 1


def test_the_same_in_another_colour(lite: LiteEmbedder, shapes: dict[tuple[str, str], ImageRef]) -> None:
    kinds = [kind for kind in shapes if kind != ("stripes", "red")]
    pool = lite.encode([Document(shapes[kind].label, image=shapes[kind]) for kind in kinds])
    query = lite.encode([Query("the same in blue", (shapes["stripes", "red"],))])
    assert kinds[int((query @ pool.T).argmax())] == ("stripes", "blue")


def test_a_missing_block_is_no_advantage(lite: LiteEmbedder, shapes: dict[tuple[str, str], ImageRef]) -> None:
    path = shapes["circle", "red"]
    documents = lite.encode([Document("alone", image=path), Document("captioned", "a red circle", path)])
    alone, captioned = (lite.encode([Query("a red circle")]) @ documents.T)[0]
    assert captioned > alone


def test_crops_and_words_share_a_space(lite: LiteEmbedder) -> None:
    picture = Image.new("RGB", (50, 40), "orange")
    assert lite.joint_image([picture]).shape == lite.joint_text(["orange"]).shape
    for rows in (lite.joint_image([picture]), lite.joint_text(["x"]), lite.image_features([picture])):
        assert np.linalg.norm(rows, axis=1) == pytest.approx([1.0], abs=1e-5)


def test_bad_pictures_are_named(lite: LiteEmbedder, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        lite.encode([Document("a", image=ImageRef.of(broken))])
    with pytest.raises(MissingPath, match=r"nowhere\.jpg"):
        lite.encode([Query(images=(ImageRef.of(tmp_path / "nowhere.jpg"),))])


def test_teaching_made_up_words(lite: LiteEmbedder, tmp_path: Path) -> None:
    labels = {"circle": "wug", "square": "blicket", "stripes": "dax"}
    shown = [(shape, draw(tmp_path / f"{shape}{at}.png", shape, "green", at)) for shape in labels for at in (-9, 9)]
    features = lite.features([Document(path.label, image=path) for _, path in shown])
    pupil = lite.taught(features, [labels[shape] for shape, _ in shown])
    tests = [draw(tmp_path / f"new-{shape}.png", shape, "teal") for shape in labels]
    scores = (
        pupil.encode([Query(word) for word in labels.values()])
        @ pupil.encode([Document(p.label, image=p) for p in tests]).T
    )
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]
    back = pupil.encode([Query(images=(p,)) for p in tests]) @ pupil.encode([Document(w, w) for w in labels.values()]).T
    assert back.argmax(axis=1).tolist() == [0, 1, 2]
    assert pupil.dim == lite.dim and pupil.fingerprint != lite.fingerprint


def test_teaching_is_the_same_every_time_and_survives_its_file(
    lite: LiteEmbedder, shapes: dict[tuple[str, str], ImageRef], tmp_path: Path
) -> None:
    features = lite.features([Document(path.label, image=path) for path in shapes.values()])
    labels = [shape for shape, _ in shapes]
    first, second = lite.taught(features, labels), lite.taught(features, labels)
    assert first.fingerprint == second.fingerprint
    assert first.feature_fingerprint == lite.feature_fingerprint
    first.save_taught(tmp_path / "taught.npz")
    read = LiteEmbedder.load(taught=tmp_path / "taught.npz")
    assert read.fingerprint == first.fingerprint
    assert np.array_equal(read.project(features, queries=False), first.project(features, queries=False))


@pytest.mark.parametrize("labels", [["one", "two"], ["same", "same"], ["a long caption of a thing " * 20, "b"]])
def test_teaching_from_two_examples_gives_unit_rows(lite: LiteEmbedder, paint: Paint, labels: list[str]) -> None:
    features = lite.features(
        [
            Document("a", image=ImageRef.of(paint("a.png", "red"))),
            Document("b", image=ImageRef.of(paint("b.png", "blue"))),
        ]
    )
    pupil = lite.taught(features, labels)
    checked(
        pupil.encode([Query("one"), Query(images=(ImageRef.of(paint()),)), Document("c", "b")]),
        3,
        pupil.dim,
        pupil.name,
    )


def test_teaching_leaves_other_things_as_they_were(lite: LiteEmbedder, shapes: dict[tuple[str, str], ImageRef]) -> None:
    features = lite.features([Document(path.label, image=path) for path in shapes.values()])
    pupil = lite.taught(features, [f"{colour} {shape}" for shape, colour in shapes])
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    others = [Document("a", "a carton of milk"), Document("b", image=from_pil(Image.fromarray(noise)))]
    assert np.allclose(pupil.encode(others), lite.encode(others), atol=1e-3)
    assert not np.allclose(pupil.project(features, queries=False), lite.project(features, queries=False), atol=1e-1)


def test_what_cannot_be_taught(lite: LiteEmbedder, paint: Paint) -> None:
    picture = lite.features([Document("a", image=ImageRef.of(paint()))])
    with pytest.raises(InvalidInput, match="1 rows of features but 2 labels"):
        lite.taught(picture, ["a", "b"])
    with pytest.raises(InvalidInput, match="blank"):
        lite.taught(picture, [" "])
    with pytest.raises(InvalidInput, match="none of the examples has a picture"):
        lite.taught(lite.features([Document("t", "only words")]), ["label"])
    with pytest.raises(InvalidInput, match=r"do not fit lite"):
        lite.taught(picture[:, :5], ["a"])
    with pytest.raises(InvalidInput, match="nothing to save"):
        lite.save_taught("unused.npz")


def test_a_file_that_is_not_ours(lite: LiteEmbedder, tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"nowhere\.npz"):
        LiteEmbedder.load(taught=tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InvalidInput, match="save_taught"):
        LiteEmbedder.load(taught=tmp_path / "text.npz")

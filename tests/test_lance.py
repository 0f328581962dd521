from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import MeanColour
from vretrver.errors import IndexMismatch, InvalidInput
from vretrver.indexes import Index, Probe, load_index
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import Manifest, Source
from vretrver.indexes.rows import Row


def row(name: str, text: str | None = None, axis: int = 0, path: str | None = None, **metadata: Any) -> Row:
    vector = np.eye(8, dtype=np.float32)[axis]
    return Row(name, text or name, path, 0, vector, metadata, features=np.full(4, axis, np.float16))


@pytest.fixture
def store(tmp_path: Path, embedder: MeanColour) -> Iterator[LanceIndex]:
    """Three documents, `c` before `a` in time; open for writing."""
    index = LanceIndex.create(tmp_path / "p.vr", embedder, features=4)
    with index.writing():
        index.add_source(Source("/photos", "/photos", "../photos"))
        index.upsert([row("c", "milk 1.5%", 2, "c.png", year=2020), row("a", "a red kite", 0, "a.png", year=2019)])
        index.upsert([row("b", "milk 0.5%", 1, year=2021)])
        yield index


def scored(index: LanceIndex, where: Any = None, **parts: Any) -> Any:
    (scores,) = index.score([Probe(np.eye(8, dtype=np.float32)[2], **parts)], where)
    return scores


def test_rows_come_in_id_order_and_are_scored_signal_by_signal(store: LanceIndex) -> None:
    assert isinstance(store, Index)
    assert store.ids() == ["a", "b", "c"]
    scores = scored(store, words="milk 1,5 %")
    assert scores.rows.tolist() == [0, 1, 2]
    assert scores.signals["vector"].tolist() == [0, 0, 1]
    assert scores.signals["vector"].dtype == np.float32
    assert scores.signals["words"].argmax() == 2
    assert set(scores.signals) == {"vector", "words"}


def test_a_filter_leaves_rows_out_before_anything_is_scored(store: LanceIndex) -> None:
    scores = scored(store, {"year": {">=": 2020}}, words="milk")
    assert scores.rows.tolist() == [1, 2]
    assert [document.id for document in store.documents(scores.rows.tolist())] == ["b", "c"]
    assert scored(store, {"year": 1900}).rows.tolist() == []
    assert scored(store, {"id": "a"}).rows.tolist() == [0]


def test_upsert_replaces_and_delete_removes(store: LanceIndex) -> None:
    store.upsert([row("a", "a blue kite", 5)])
    store.delete(["b", "never was", "it's quoted"])
    assert store.ids() == ["a", "c"]
    assert store.documents([0])[0].text == "a blue kite"
    assert store.snapshot.vectors[0, 5] == 1


def test_an_id_twice_in_a_batch_is_an_error_that_names_it(store: LanceIndex) -> None:
    with pytest.raises(InvalidInput, match="repeated: x"):
        store.upsert([row("x"), row("y"), row("x")])
    assert store.ids() == ["a", "b", "c"]


def test_ids_and_texts_of_any_kind(store: LanceIndex) -> None:
    strange = ["it's", "a'; DROP TABLE x; --", "ö/ü 東.png", '"', "%", "\\"]
    store.upsert([row(name) for name in strange])
    assert set(store.ids()) == {"a", "b", "c", *strange}
    assert set(store.printed(strange)) == set(strange)
    store.delete(strange)
    assert store.ids() == ["a", "b", "c"]


def test_words_read_later_are_searched(store: LanceIndex) -> None:
    assert [name for name, _ in store.unread()] == ["a", "c"], "b has no picture to read"
    store.set_printed({"a": "INVOICE 20391"})
    assert [name for name, _ in store.unread()] == ["c"]
    assert scored(store, words="invoice 20391").signals["words"].argmax() == 0
    assert store.documents([0])[0].printed == "INVOICE 20391"


def test_a_reader_sees_what_was_acknowledged_and_drops_nothing(store: LanceIndex) -> None:
    reader = load_index(store.folder)
    store.upsert([row("d")])
    assert len(reader) == 3
    assert len(load_index(store.folder)) == 4


def test_what_was_not_acknowledged_is_dropped_by_the_next_writer(tmp_path: Path, embedder: MeanColour) -> None:
    index = LanceIndex.create(tmp_path / "p.vr", embedder, features=4)
    with index.writing():
        index.upsert([row("kept")])
        acknowledged = Manifest.read(index.folder)
        index.upsert([row("cut off")])
    acknowledged.write(index.folder)  # as if the process had died between the table and the manifest
    again = load_index(index.folder)
    assert again.ids() == ["kept"]
    with again.writing():
        again.upsert([row("next")])
    assert load_index(index.folder).ids() == ["kept", "next"]


def test_new_vectors_count_together_or_not_at_all(store: LanceIndex) -> None:
    new = replace(store.manifest, fingerprint="taught", taught=1)

    def cut_off() -> Iterator[tuple[Sequence[str], NDArray[np.float32]]]:
        yield ["a", "b"], np.eye(8, dtype=np.float32)[[6, 6]]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.revector(cut_off(), new)
    reader = load_index(store.folder)
    assert reader.fingerprint == "mean-colour-1"
    assert reader.snapshot.vectors[:, 6].max() == 0
    with pytest.raises(IndexMismatch, match="mean-colour"):
        reader.check(MeanColour("taught"))

    store.revector(iter([(["a", "b", "c"], np.eye(8, dtype=np.float32)[[6, 7, 6]])]), new)
    reader = load_index(store.folder)
    assert reader.fingerprint == "taught"
    assert reader.snapshot.vectors.argmax(1).tolist() == [6, 7, 6]
    assert reader.documents([0])[0].text == "a red kite", "nothing but vectors changed"


def test_stored_features_come_back(store: LanceIndex) -> None:
    kept = {name: features for ids, batch in store.features(2) for name, features in zip(ids, batch, strict=True)}
    assert {name: features.tolist() for name, features in kept.items()} == {
        "a": [0.0] * 4, "b": [1.0] * 4, "c": [2.0] * 4,
    }  # fmt: skip


def test_compacting_changes_nothing_that_is_read(store: LanceIndex) -> None:
    before = store.snapshot.rows.to_pylist()
    store.compact()
    assert load_index(store.folder).snapshot.rows.to_pylist() == before


def cached(store: LanceIndex) -> Path:
    _ = load_index(store.folder).snapshot
    (folder,) = (store.folder / "cache").iterdir()
    return folder


@pytest.mark.parametrize("file", ["vectors.npy", "weights.npy", "vocabulary.txt", "rows.arrow"])
def test_a_cache_with_a_flipped_bit_is_made_again(store: LanceIndex, file: str) -> None:
    place = cached(store) / file
    data = bytearray(place.read_bytes())
    data[-3] ^= 1
    place.write_bytes(bytes(data))
    assert load_index(store.folder).snapshot.vectors.argmax(1).tolist() == [0, 1, 2]
    assert scored(load_index(store.folder), words="kite").signals["words"].argmax() == 0
    assert place.read_bytes() != bytes(data)


def test_a_cache_of_another_version_is_not_used(store: LanceIndex) -> None:
    old = cached(store)
    store.delete(["a"])
    new = cached(store)
    assert new != old
    assert not old.exists()
    for file in new.iterdir():  # a cache that claims to be current, yet cannot be
        file.write_bytes(b"")
    assert load_index(store.folder).ids() == ["b", "c"]


def test_a_valid_cache_is_read_without_the_table(store: LanceIndex) -> None:
    cached(store)
    (store.folder / "documents.lance").rename(store.folder / "elsewhere")
    assert load_index(store.folder).ids() == ["a", "b", "c"]
    (store.folder / "cache").rename(store.folder / "no cache")
    with pytest.raises(IndexMismatch, match=r"cannot be read .*build the index again"):
        load_index(store.folder).ids()


def test_no_rows_are_no_error(tmp_path: Path, embedder: MeanColour) -> None:
    LanceIndex.create(tmp_path / "p.vr", embedder)
    for _ in range(2):  # from the table, then from the cache
        index = load_index(tmp_path / "p.vr")
        assert len(index) == 0
        assert scored(index, words="x").rows.tolist() == []
        assert list(index.score([])) == []

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vretrver.errors import IndexMismatch, MissingPath, StorageError
from vretrver.indexes.manifest import NAME, Manifest, Source, storage_errors

MANIFEST = Manifest("lite", "abc", 8, 16, 3, 0, (Source("/p", "/p", "../p"),))


def test_a_manifest_survives_the_disk(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    assert Manifest.read(tmp_path) == MANIFEST
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_no_index_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"nowhere does not exist; build one with: vretrver index"):
        Manifest.read(tmp_path / "nowhere")
    with pytest.raises(MissingPath, match="holds no index"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", ['{"format": 2, "vretrver": "9.1"}', "[]", "nonsense", '{"format": 1}'])
def test_another_format_or_a_damaged_file(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    with pytest.raises(IndexMismatch, match=r"format 2 .written by vretrver 9.1.|build"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("hidden", [False, True])
def test_what_a_disk_says_becomes_advice(code: int, hidden: bool) -> None:
    said = RuntimeError(f"lance error: IO error: {os.strerror(code)} (os error {code})\nstack ...")
    with (
        pytest.raises(StorageError, match=r"cannot write to photos.vr: .*; ") as caught,
        storage_errors(Path("photos.vr")),
    ):
        raise said if hidden else OSError(code, os.strerror(code))
    assert "\n" not in str(caught.value)


def test_a_bug_is_not_a_disk() -> None:
    with pytest.raises(RuntimeError, match="no such column"), storage_errors(Path("x")):
        raise RuntimeError("no such column")


def test_a_tree_that_was_moved_is_found_beside_its_index(tmp_path: Path) -> None:
    (tmp_path / "new" / "photos").mkdir(parents=True)
    (tmp_path / "new" / "photos.vr").mkdir()
    source = Source("/old/photos", str(tmp_path / "old" / "photos"), "../photos")
    assert source.resolved(tmp_path / "new" / "photos.vr") == tmp_path / "new" / "photos"

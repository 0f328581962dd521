from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vretrver.datasets.mbeir_qrels import CANDIDATES, QUERIES, judged, read_qrels, unhashed


@given(st.integers(0, 40), st.integers(0, QUERIES - 1), st.sampled_from([QUERIES, CANDIDATES]))
def test_a_hash_goes_back_to_its_id(dataset: int, number: int, bound: int) -> None:
    assert unhashed(str(dataset * bound + number), bound) == f"{dataset}:{number}"
    assert unhashed(f"{dataset}:{number:06d}", bound) == f"{dataset}:{number:06d}"


def test_columns_and_grades(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("8:1 0 8:5 1 7\n8:1\t0\t8:6\t2\n8:2 0 8:7 0 7\n")
    assert read_qrels(path) == ({"8:1": {"8:5": 1, "8:6": 2}}, {"8:1": 7, "8:2": 7})
    assert read_qrels(tmp_path / "none.txt") == (None, {})


def test_agreement_says_nothing() -> None:
    queries = [("f:1", {"qid": "8:1", "pos_cand_list": ["8:5", 80_000_006]})]
    assert judged(queries, {"8:1": {"8:6": 1, "8:5": 1}}) == ({"8:1": {"8:6": 1, "8:5": 1}}, {})
    assert judged(queries, None) == ({"8:1": {"8:5": 1, "8:6": 1}}, {})

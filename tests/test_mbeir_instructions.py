from __future__ import annotations

from pathlib import Path

import pytest

from vretrver.datasets.mbeir_instructions import first_gold, instructor, read_prompts
from vretrver.errors import InvalidInput, RecordError

HEADER = "query_modality\tcand_modality\tdataset_name\tdataset_id\tprompt_1\tprompt_2\n"


def prompts(root: Path, *rows: str) -> Path:
    (root / "instructions").mkdir(exist_ok=True)
    (root / "instructions/query_instructions.tsv").write_text(HEADER + "".join(row + "\n" for row in rows))
    return root


def test_rows_by_dataset_and_modalities(tmp_path: Path) -> None:
    rows = read_prompts(prompts(tmp_path, "text\ttext,image\tEDIS\t3\tFirst.\t\tThird.", "image\ttext\tVN\t0\tOne."))
    assert rows == {("3", "text", "image,text"): ["First.", "Third."], ("0", "image", "text"): ["One."]}
    say = instructor(rows, 2, lambda _qid: "image,text")
    assert say("3:9", "text", "here:1") == "Third."
    with pytest.raises(InvalidInput, match=r"here:1: .* dataset 0, image -> image,text \(it has image -> text\)"):
        say("0:9", "image", "here:1")


def test_a_short_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"query_instructions\.tsv:2: 3 columns"):
        read_prompts(prompts(tmp_path, "text\timage\tEDIS"))


def test_the_gold_of_the_query_s_own_dataset() -> None:
    assert first_gold("5:1", {"6:3": 1, "5:9": 1, "5:2": 1}) == "5:9"
    assert first_gold("5:1", {"6:3": 1}) == "6:3"
    assert first_gold("5:1", {}) == ""

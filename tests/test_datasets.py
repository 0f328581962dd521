"""Loading by name, and the page that describes the datasets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vretrver.cli.options import parse
from vretrver.datasets import NAMES, load_task
from vretrver.datasets.mbeir import CELLS
from vretrver.errors import InvalidInput

PAGE = Path(__file__).parents[1] / "docs" / "datasets.md"


def test_what_a_loader_does_not_take_or_still_needs_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown dataset 'mbier'; choose from mbeir, circo"):
        load_task("mbier", tmp_path)
    with pytest.raises(InvalidInput, match="circo takes no pool; it takes root, split, instruction"):
        load_task("circo", tmp_path, pool="global")
    with pytest.raises(InvalidInput, match="mbeir needs --root, --task"):
        load_task("mbeir")


def test_the_page_describes_every_dataset_and_every_cell() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in NAMES if f"eval {name} " not in page] == []
    assert [name for name in CELLS if name not in page] == []


@pytest.mark.parametrize("line", re.findall(r"^vretrver (eval .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
def test_the_page_s_commands_are_commands(line: str) -> None:
    assert parse(shlex.split(line, comments=True)).command == "eval"

"""The page that explains how to extend the house must run as it stands."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

PAGE = Path(__file__).parents[1] / "docs" / "concepts.md"


def test_the_code_on_the_page_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (80, 60), "red").save("kite.jpg")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    assert capsys.readouterr().out.splitlines() == [
        "('long', 'short') ['halves']",
        "('text-2', 'text-1')",
        "['2', '1']",
    ]


def test_the_modules_it_names_exist() -> None:
    named = set(re.findall(r"`(types|messages|episode|tools|policies|windows|trace)\.(\w+)`", PAGE.read_text("utf-8")))
    assert len(named) >= 10
    for module, name in named:
        assert hasattr(import_module(f"vretrver.{module}"), name), (module, name)

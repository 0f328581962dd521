"""What the README shows must run, and what it names must exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = "\n".join(blocks("sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("vretrver ")]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the README's examples speak of, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name, colour in {"kite": "red", "carton": "white", "lake": "blue"}.items():
        Image.new("RGB", (80, 60), colour).save(f"photos/{name}.jpg")
        Path(f"photos/{name}.txt").write_text(f"a {colour} {name}", encoding="utf-8")
    for name in ("kite", "shoe", "a", "b", "c"):
        Image.new("RGB", (80, 60), "orange").save(f"{name}.jpg")
    Path("labels.csv").write_text("path,label\nkite.jpg,my kite\nlake.jpg,my lake\n", encoding="utf-8")


@pytest.mark.usefixtures("photos")
def test_the_commands_run_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    from vretrver.cli import main

    shown = commands()
    assert {command[1] for command in shown} == {"index", "search", "view", "rerank", "teach"}
    for command in shown:
        assert main(command[1:]) == 0, f"{' '.join(command)}: {capsys.readouterr().err}"


@pytest.mark.usefixtures("photos")
def test_the_python_runs_and_finds_the_kite(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(block, {})
    assert capsys.readouterr().out.startswith("1 kite.jpg")


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    local = [target for target in targets if not target.startswith("http")]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)

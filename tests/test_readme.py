"""What the README shows must run, and what it names must exist."""

from __future__ import annotations

import glob
import json
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
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("my-benchmark").mkdir()
    Path("my-benchmark/documents.jsonl").write_text(
        "".join(json.dumps({"id": f"d{at}", "text": text}) + "\n" for at, text in enumerate(("a red kite", "a lake")))
    )
    Path("my-benchmark/queries.jsonl").write_text('{"id": "q0", "text": "the kite", "relevant": ["d0"]}\n')
    Path("labels.csv").write_text("path,label\nkite.jpg,my kite\nlake.jpg,my lake\n", encoding="utf-8")


@pytest.mark.usefixtures("photos")
def test_the_commands_run_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    from vretrver.cli import main
    from vretrver.cli.options import parse

    shown = commands()
    assert {c[1] for c in shown} == {"index", "search", "view", "rerank", "teach", "eval", "compare", "report", "train"}
    for command in shown:
        words = [path for word in command[1:] for path in (sorted(glob.glob(word)) if "*" in word else [word])]
        if words[1] in ("mbeir", "world"):  # a download and minutes of drawing: the options must be real ones
            assert parse(words).dataset == words[1]
        elif words[0] == "train" or words[1] == "ablation":  # hours, and what they leave: tests/test_nano_road.py
            assert parse(words)
            assert words[0] == "report" or (ROOT / words[2]).is_file()
        else:
            assert main(words) == 0, f"{' '.join(command)}: {capsys.readouterr().err}"


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

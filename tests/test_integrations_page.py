"""Every snippet of the page about integrations runs as it stands, on a folder of three pictures and its index."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from vretrver.cli import main
from vretrver.cli.options import parsers

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["LANGSMITH_TRACING"] = "false"
PAGE = (Path(__file__).parents[1] / "docs" / "integrations.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
EXPECTED = [
    ("langchain_core", "kite.jpg 1.0\nboat.jpg 0.5"),
    ("langchain_core", "['kite.jpg', 'boat.jpg']"),
    ("llama_index.core", "kite.jpg 1.0\nboat.jpg 0.5"),
    ("haystack", "a kite"),
    ("rerankers", "kite 0.5"),
    ("lancedb", "['a kite', 'a boat', 'a lake']"),
    ("vretrver", "2 1.0"),
    ("mcp", "kite.jpg [256, 192] image"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("integrations")
    (root / "photos").mkdir()
    for name, colour in {"kite": "red", "boat": "blue", "lake": "green"}.items():
        Image.new("RGB", (320, 240), colour).save(root / f"photos/{name}.jpg")
        (root / f"photos/{name}.txt").write_text(f"a {colour} {name}", encoding="utf-8")
    assert main(["index", str(root / "photos"), "-o", str(root / "photos.vr"), "--no-ocr"]) == 0
    return root


@pytest.mark.parametrize(("at", "library", "printed"), [(at, *row) for at, row in enumerate(EXPECTED)])
def test_the_snippet_runs(
    at: int,
    library: str,
    printed: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip(library, reason="its extra is not installed")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    exec(SNIPPETS[at], {})
    assert capfd.readouterr().out.strip() == printed


def test_every_snippet_is_run() -> None:
    assert len(SNIPPETS) == len(EXPECTED)


def test_the_command_and_the_links_are_real() -> None:
    for command in re.findall(r"`(vretrver mcp [^`]*)`", PAGE):
        assert parsers()[0].parse_args(shlex.split(command)[1:]).command == "mcp"
    headings = {
        re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-") for line in PAGE.splitlines() if line[:3] == "## "
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= headings
    assert "--http" in PAGE and parsers()[1]["mcp"].parse_args(["photos.vr", "--http"]).port == 7332

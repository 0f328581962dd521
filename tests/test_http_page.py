"""The page on HTTP must run as it stands, and tell the defaults that there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MeanColour
from served import Served, agent, cards, events, png
from vretrver.cli.options import parsers
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.server import Settings, app
from vretrver.server.schemas import DocumentsBody, SearchBody

PAGE = (Path(__file__).parents[1] / "docs" / "http.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "query.png").write_bytes(png("black"))
    settings = Settings(policy=agent(), answers=ScriptedPolicy(["<answer>The first [1].</answer>"]))
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as running:
        yield running


def test_the_commands_on_the_page_run(server: Served, tmp_path: Path) -> None:
    said = []
    for block in blocks("bash"):
        script = block.replace("127.0.0.1:7331", f"127.0.0.1:{server.port}")
        done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    search, upload, stream, ask, rerank, documents, _thumbnail = said
    assert json.loads(search)["results"][0]["id"] == "sub/red.png"
    assert {result["id"] for result in json.loads(upload)["results"]} == {"black.png", "blue.png"}
    assert [kind for kind, _ in events(stream)] == ["coarse", "progress", "progress", "ranking"]
    told = json.loads(ask)
    assert (told["answer"], [one["id"] for one in told["citations"]]) == ("The first [1].", ["sub/red.png"])
    assert [result["document"]["text"] for result in json.loads(rerank)["results"][:1]] == ["a red kite"]
    added, sent, deleted = (json.loads(line) for line in documents.replace("}{", "}\n{").splitlines())
    assert (added["ids"], sent["ids"], deleted["deleted"]) == (["note-1"], ["query.png"], ["note-1", "query.png"])
    assert (tmp_path / "thumbnail.jpg").read_bytes().startswith(b"\xff\xd8")


def test_the_code_on_the_page_runs(server: Served) -> None:
    (code,) = blocks("python")
    code = code.replace("127.0.0.1:7331", f"127.0.0.1:{server.port}")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[(1, ")


def test_the_defaults_it_tells_are_the_defaults() -> None:
    settings = Settings()
    for said in (
        f"| reranks that may wait | {settings.queue} |",
        f"| time of a request | {settings.seconds:g} s |",
        f"| what a request may spend | {settings.budget.seconds:g} s |",
        f"| a request | {settings.body_bytes >> 20} MiB in {settings.body_seconds:g} s |",
        f"all together {settings.held_bytes >> 20} MiB",
        f"{settings.images} in a request, {settings.image_bytes >> 20} MiB and",
        f"{settings.image_pixels // 10**6} megapixels each",
        f"| {settings.documents}, 64 in a request |",
        f"The latest {settings.traces} are kept",
        f"the server's {settings.top_k})",
        f"the agent looks at the first {settings.top_k}",
    ):
        assert said in PAGE, said
    assert DocumentsBody.model_json_schema()["properties"]["documents"]["maxItems"] == 64
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE))))
    assert named == set(SearchBody.model_fields)


def test_the_options_it_names_exist() -> None:
    serve = parsers()[1]["serve"]
    known = {option for action in serve._actions for option in action.option_strings}
    named = set(re.findall(r"(--[a-z][a-z-]+)", PAGE.partition("## Measured")[0])) - {"--json"}
    assert named <= known

"""A few hundred generated requests against the OpenAPI document; `runs/server/schema.py` sends ten thousand."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from conftest import MeanColour
from served import Served, agent, cards
from vretrver.answering import Writer
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.reranker import Reranker
from vretrver.server import Settings, app
from vretrver.usage import Prices

SCRIPT = Path(__file__).parents[1] / "runs" / "server" / "schema.py"


@pytest.mark.filterwarnings("ignore")  # schemathesis' own
def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    check = runpy.run_path(str(SCRIPT))["check"]
    writer = Writer(ScriptedPolicy(["<answer>A card [1].</answer>"]), prices=Prices(1, 1))
    settings = Settings(policy=Reranker(agent(), prices=Prices(1, 1)), answers=writer)
    with Served(app(cards(tmp_path), settings, embedder=MeanColour())) as server:
        sent = check(server.url, 240)
    assert sent.total() >= 200
    assert not any(line.endswith((" 500", " 503")) for line in sent)
    assert {"POST /v1/search 200", "POST /v1/ask 200", "POST /v1/rerank 200", "POST /v1/documents 200"} <= set(sent)

"""POST /v1/ask as its clients meet it: answers with checked citations, faults, queue, budget, what is hidden."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import MeanColour
from served import Served, cards, data_url, png, shares_words
from vretrver.answering import Writer
from vretrver.cli.options import parsers
from vretrver.cli.serving import settings_of
from vretrver.errors import InvalidInput
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import Wire
from vretrver.server import Settings, app
from vretrver.usage import Prices, Tokens

TOKENS = Tokens(1000, 10)


def says(conversation: Conversation) -> Completion:
    """Cites the first source with a box, one that does not exist, and words of the second; fails when told to."""
    question = conversation.window.query.text or ""
    if "fail" in question:
        raise ValueError("http://10.0.0.7:8000 is down")
    if "nothing" in question:
        return Completion("<answer>none</answer>", tokens=TOKENS)
    return Completion('<answer>It is red [1: 0,0,500,1000] [9], and plain [2: "plain"].</answer>', tokens=TOKENS)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cards(tmp_path_factory.mktemp("asked"))


@pytest.fixture(scope="module")
def server(index: Path) -> Iterator[Served]:
    writer = Writer(ScriptedPolicy(says), wire=Wire(boxes="0-1000"), prices=Prices(2.0, 10.0))
    settings = Settings(policy=ScriptedPolicy(shares_words), answers=writer)
    with Served(app(index, settings, embedder=MeanColour())) as running:
        yield running


def ask(server: Served, **body: Any) -> dict[str, Any]:
    answer = server.post("/v1/ask", {"text": "a plain red card", **body})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def fault(answer: Any, status: int) -> tuple[str, str | None]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    return error["code"], error["param"]


def test_a_question_is_answered_with_ids_and_boxes(server: Served, index: Path) -> None:
    told = ask(server, k=2)
    assert told["answer"] == "It is red [1], and plain [2]."
    first, second = told["citations"]
    assert first == {"source": 1, "id": "sub/red.png", "path": "sub/red.png", "box": [0, 0, 32, 48], "quote": None}
    assert (second["source"], second["box"], second["quote"]) == (2, None, "plain")
    assert told["repairs"] == ["dropped the citation [9]: the sources are 1 to 2"]
    assert (told["no_answer"], told["uncited"], told["error"]) == (False, False, None)
    assert len(told["ranking"]["results"]) == 2
    assert told["usage"]["policy_calls"] == told["ranking"]["usage"]["policy_calls"] + 1
    assert told["usage"]["tokens"]["prompt"] == 1000
    assert told["usage"]["money"] == pytest.approx(0.0021)
    assert server.get(told["ranking"]["trace"]).status_code == 200
    assert str(index.parent) not in json.dumps(told)


def test_a_picture_may_come_with_the_question_and_nobody_need_look(server: Served) -> None:
    told = ask(server, images=[data_url(png("blue"))], policy=False, where={"kind": "dark"}, k=1)
    assert [result["id"] for result in told["ranking"]["results"]] == ["blue.png"]
    assert told["ranking"]["trace"] is None
    assert told["usage"]["windows"] == 0


def test_what_is_no_answer_is_said(server: Served) -> None:
    told = ask(server, text="nothing of the kind")
    assert (told["answer"], told["no_answer"], told["error"]) == ("", True, None)
    failed = ask(server, text="fail")
    assert failed["error"] == "the model failed; the server's log says why"
    assert "10.0.0.7" not in json.dumps(failed)
    assert failed["ranking"]["results"]  # they are not lost


def test_a_budget_holds_for_ranking_and_answer_together(server: Served) -> None:
    told = ask(server, budget={"calls": 1})
    assert told["usage"]["policy_calls"] == 1  # the answer's: nobody could rank
    assert told["answer"]
    ended = ask(server, budget={"tokens": 0})
    assert ended["error"] == "the budget of 0 tokens ended before an answer"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": " "}, "text"),
        ({"text": "a", "k": 21}, "k"),
        ({"text": "a", "fold": True}, "fold"),
        ({"text": "a", "images": ["data:image/png;base64,AAAA"]}, "images.0"),
        ({"text": "a", "budget": {"seconds": -1}}, "budget.seconds"),
    ],
)
def test_what_is_no_question_is_refused(server: Served, body: dict[str, Any], param: str) -> None:
    _code, named = fault(server.post("/v1/ask", body), 422)
    assert named == param


def test_a_server_without_answers_says_so_and_is_in_the_document(index: Path) -> None:
    with Served(app(index, Settings(policy="none"), embedder=MeanColour())) as server:
        assert fault(server.post("/v1/ask", {"text": "a"}), 403) == ("no_answers", None)
        assert server.get("/v1/collection").json()["answers"] is None
        schema = server.get("/openapi.json").json()
    body = schema["paths"]["/v1/ask"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/AskBody"}
    assert schema["components"]["schemas"]["AskBody"]["required"] == ["text"]


def test_the_token_and_the_queue_hold_for_questions_too(index: Path) -> None:
    may_go, begun = threading.Event(), threading.Event()

    def waits(_conversation: Conversation) -> str:
        begun.set()
        may_go.wait(20)
        return "<answer>red [1]</answer>"

    token = "a-token-of-some-length"
    settings = Settings(policy="none", answers=ScriptedPolicy(waits), token=token, queue=1, workers=1)
    headers = {"Authorization": f"Bearer {token}"}
    with Served(app(index, settings, embedder=MeanColour())) as server:
        assert fault(server.post("/v1/ask", {"text": "a"}), 401)[0] == "unauthorized"
        told: list[int] = []
        asked = [
            threading.Thread(target=lambda: told.append(
                server.post("/v1/ask", {"text": "a"}, headers=headers).status_code))
            for _ in range(2)
        ]  # fmt: skip
        asked[0].start()
        assert begun.wait(10)
        asked[1].start()
        while not server.app.state.server.searching.waiting:
            pass
        refused = server.post("/v1/ask", {"text": "a"}, headers=headers)
        assert fault(refused, 429)[0] == "busy"
        assert int(refused.headers["Retry-After"]) >= 1
        may_go.set()
        for one in asked:
            one.join(20)
    assert told == [200, 200]


def test_the_option_shares_the_policy_that_ranks() -> None:
    serve = parsers()[1]["serve"].parse_args
    chat = "chat:http://127.0.0.1:9/v1#m"
    both = settings_of(serve(["photos.vr", "--policy", chat, "--answers", chat, "--source-tokens", "64"]))
    assert both.answers.policy is both.policy.policy  # type: ignore[union-attr]
    assert settings_of(serve(["photos.vr", "--policy", "none"])).answers is None
    with pytest.raises(InvalidInput, match="'evidence' cannot answer in words"):
        settings_of(serve(["photos.vr", "--answers", "evidence"]))

"""RankGPT's prompt as other rerankers send it, and the fake model's answer to it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from vretrver.testing import FakeEndpoint, rankgpt

ASK = (
    "Search Query: a red kite. \nRank the 3 passages above based on their relevance to the search query. The output "
    "format should be [] > [], e.g., [1] > [2]."
)


def prompt(*passages: str) -> list[dict[str, str]]:
    said = [
        {"role": "system", "content": "You are RankGPT."},
        {"role": "user", "content": f"I will provide you with {len(passages)} passages, each indicated by []."},
        {"role": "assistant", "content": "Okay, please provide the passages."},
    ]
    for at, passage in enumerate(passages, start=1):
        said.append({"role": "user", "content": f"[{at}] {passage}"})
        said.append({"role": "assistant", "content": f"Received passage [{at}]."})
    return [*said, {"role": "user", "content": ASK}]


def answer(endpoint: FakeEndpoint, messages: list[dict[str, str]]) -> str:
    body = json.dumps({"model": "fake", "messages": messages}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint.url}/chat/completions", body), timeout=5) as reply:
        found: Any = json.load(reply)
    return str(found["choices"][0]["message"]["content"])


def test_it_ranks_in_the_words_in_which_it_is_asked() -> None:
    with FakeEndpoint() as endpoint:
        assert answer(endpoint, prompt("two boats", "a kite", "a red kite over [2] houses")) == "[3] > [2] > [1]"


@pytest.mark.parametrize(
    "said", [[], ["[1] a", "[2] b"], ["[1] a", "[3] b", ASK], ["Query: a\n\nCandidates:\n(1) b\n\nGuidelines: rank"]]
)
def test_what_is_no_such_prompt(said: list[str]) -> None:
    assert rankgpt.window(said) is None


def test_passages_in_order_and_the_query_without_its_full_stop() -> None:
    assert rankgpt.window(["I will", "[1] first\nline", "[2] second", ASK]) == ("a red kite", ["first\nline", "second"])
    assert rankgpt.render([1, 0]) == "[2] > [1]"

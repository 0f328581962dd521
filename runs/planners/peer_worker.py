"""Runs another reranker's own code on topics; a program for the virtual environment of `peers.txt`.

    PEERS/bin/python runs/planners/peer_worker.py rank_llm URL

Reads JSON lines {"query", "passages": [[id, text], ...]} and answers each with {"order": [ids], "cpu": seconds} or
{"error": text}; the first line out says {"ready": version}. It imports nothing of `vretrver`. Whatever the libraries
print goes to stderr.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

Passages = list[list[str]]
Rank = Callable[[str, Passages], list[str]]
WINDOW, STRIDE = 20, 10


class Absent(ModuleType):
    """Stands for a library that is imported and, on this path, never used: every name in it is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def rank_llm(url: str) -> Rank:
    """`rank_llm`'s sliding windows over OpenAI's client, with its RankGPT template, 20 by 10."""
    for name in ("vllm", "vllm.outputs"):
        sys.modules[name] = Absent(name)
    sys.modules["vllm"].__path__ = []
    data, rank_gpt = import_module("rank_llm.data"), import_module("rank_llm.rerank.listwise.rank_gpt")
    model = rank_gpt.SafeOpenai(
        model="fake",
        context_size=32_768,
        prompt_template_path=rank_gpt.TEMPLATES / "rank_gpt_template.yaml",
        window_size=WINDOW,
        stride=STRIDE,
        keys="none",
        base_url=f"{url}/",
    )
    reranker = import_module("rank_llm.rerank").Reranker(model)

    def rank(query: str, passages: Passages) -> list[str]:
        candidates = [
            data.Candidate(docid=name, score=1.0 / at, doc={"text": text})
            for at, (name, text) in enumerate(passages, 1)
        ]
        request = data.Request(query=data.Query(text=query, qid=1), candidates=candidates)
        result = reranker.rerank(request, rank_end=len(passages))
        return [str(one.docid) for one in result.candidates]

    return rank


def rerankers(url: str) -> Rank:
    """`rerankers`' RankGPT over LiteLLM as it is called by its guide: all passages in one window."""
    ranker = _rankgpt(url)

    def rank(query: str, passages: Passages) -> list[str]:
        names, texts = [name for name, _text in passages], [text for _name, text in passages]
        found = ranker.rank(query=query, docs=texts, doc_ids=names, rank_start=0, rank_end=len(texts))
        return [str(one.document.doc_id) for one in found.results]

    return rank


def rerankers_windows(url: str) -> Rank:
    """The same ranker called for each window in turn, which is what its `rank_start` and `rank_end` are for."""
    ranker = _rankgpt(url)

    def rank(query: str, passages: Passages) -> list[str]:
        texts, end = dict(passages), len(passages)
        names = list(texts)
        while end > 0:
            start = max(0, end - WINDOW)
            docs = [texts[name] for name in names]
            found = ranker.rank(query=query, docs=docs, doc_ids=names, rank_start=start, rank_end=end)
            names = [str(one.document.doc_id) for one in found.results]
            end = end - STRIDE if start > 0 else 0
        return names

    return rank


def _rankgpt(url: str) -> Any:
    os.environ["OPENAI_API_BASE"] = os.environ["OPENAI_BASE_URL"] = url
    return import_module("rerankers").Reranker("openai/fake", model_type="rankgpt", api_key="none", verbose=0)


PEERS: dict[str, Callable[[str], Rank]] = {
    "rank_llm": rank_llm,
    "rerankers": rerankers,
    "rerankers-windows": rerankers_windows,
}


def main(kind: str, url: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # LiteLLM fetches a table of prices and tiktoken a vocabulary; both come with LiteLLM's own files instead.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    litellm = import_module("litellm")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(str(litellm.__file__)).parent / "litellm_core_utils" / "tokenizers")
    vars(litellm)["suppress_debug_info"] = True
    rank = PEERS[kind](url)
    say(answers, {"ready": importlib.metadata.version(kind.partition("-")[0])})
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.process_time()
        try:
            answer: dict[str, Any] = {"order": rank(asked["query"], asked["passages"])}
        except Exception as fault:  # what a user of the library would get in place of a ranking
            answer = {"error": f"{type(fault).__name__}: {fault}"[:300]}
        say(answers, {**answer, "cpu": time.process_time() - started})


def say(answers: Any, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

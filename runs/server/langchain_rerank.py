"""LangChain's Cohere reranker against a running server; in a venv of its own, because it pins an older Cohere SDK.

pip install langchain-cohere
python runs/server/langchain_rerank.py http://127.0.0.1:7331
"""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    document = import_module("langchain_core.documents").Document
    reranker = import_module("langchain_cohere").CohereRerank(
        model="any", cohere_api_key="none", base_url=sys.argv[1], top_n=2
    )
    texts = ["the blue boat", "a red kite", "the red kite strings"]
    found = reranker.compress_documents([document(page_content=text) for text in texts], "a red kite")
    for one in found:
        print(f"{one.metadata['relevance_score']:.3f}  {one.page_content}")
    assert found[0].page_content == "a red kite" and len(found) == 2


if __name__ == "__main__":
    main()

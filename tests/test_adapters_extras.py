"""A face whose library is missing says which extra installs it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("adapters.langchain", "langchain_core", "langchain"),
        ("adapters.llama_index", "llama_index", "llamaindex"),
        ("adapters.haystack", "haystack", "haystack"),
        ("adapters.rerankers", "rerankers", "rerankers"),
        ("mcp_server", "mcp", "mcp"),
    ],
)
def test_a_missing_library_names_its_extra(module: str, library: str, extra: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import vretrver.{module}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"pip install 'vretrver[{extra}]'")


def test_what_needs_no_extra_loads_no_library() -> None:
    libraries = ["sentence_transformers", "torch", "langchain_core", "mcp"]
    code = (
        "import sys, vretrver.adapters.sentence_transformers, vretrver.adapters.lancedb; "
        f"print([name for name in {libraries} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The house has one direction of flow. This test holds it: nothing imports upwards, and start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "vretrver"

# Lower floors first. A module may import modules of its own floor's folder and of lower floors.
FLOORS = [
    {"errors"},
    {"types", "usage"},
    {"messages"},
    {"trace", "images", "colours", "metrics", "orders", "sizes", "boxes", "notes"},
    {"ocr", "degrade", "world"},
    {"embedders", "tools", "datasets", "ocr_memory"},
    {"indexes", "protocol", "fusion"},
    {"policies", "calibration"},
    {"coarse", "listing", "episode", "windows", "budget"},
    {"seats"},
    {"reranking"},
    {"ingest", "retriever", "reranker"},
    {"pipeline", "teaching"},
    {"watching"},
    {"viewer", "testing", "answering"},
    {"evaluation"},
    {"training"},
    {"report", "adapters", "mcp_server"},
    {"server"},
    {"cli"},
]
# The database, the model runtimes and Pillow each have one home.
HOMES = {
    "PIL": {"images", "degrade", "world"},  # the others draw and distort; only images opens what is untrusted
    "lancedb": {"indexes", "adapters"},
    "onnxruntime": {"embedders"},
    "rapidocr_onnxruntime": {"ocr"},
    "sentence_transformers": {"embedders", "policies"},
    "bm25s": {"evaluation"},
    "mteb": {"adapters"},
    "langchain_core": {"adapters"},
    "llama_index": {"adapters"},
    "haystack": {"adapters"},
    "rerankers": {"adapters"},
    "mcp": {"mcp_server"},
    "watchfiles": {"watching"},
    "torch": {"adapters", "policies", "training"},
    "transformers": {"policies", "training"},
    "peft": {"policies", "training"},
    "trl": {"training"},
    "verl": {"training"},
    "matplotlib": {"training"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "prometheus_client": {"server"},
    "tqdm": {"ingest", "teaching", "evaluation", "world", "training"},
}


def modules() -> dict[str, Path]:
    return {str(path.relative_to(SOURCE)): path for path in sorted(SOURCE.rglob("*.py"))}


def room(relative: str) -> str:
    """The first part of a module's path: `indexes/lance.py` and `indexes/__init__.py` are both `indexes`."""
    return Path(relative).parts[0].removesuffix(".py")


def floor_of(name: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if name in floor)


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every imported module, and whether it is only for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in typing_only) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "vretrver" else []
            found += [(name, id(node) in typing_only) for name in whole or [node.module or ""]]
    return found


def test_every_module_has_its_floor() -> None:
    placed = set().union(*FLOORS)
    assert {room(relative) for relative in modules()} - {"__init__"} <= placed


@pytest.mark.parametrize("relative", [name for name in modules() if name != "__init__.py"])
def test_imports_run_one_way(relative: str) -> None:
    here = room(relative)
    for name, _typing_only in imports(modules()[relative]):
        parts = name.split(".")
        if parts[0] != "vretrver" or len(parts) == 1 or parts[1] in (here, "__version__"):
            continue
        assert floor_of(parts[1]) < floor_of(here), f"{relative} imports {name}, which is not below it"


@pytest.mark.parametrize("relative", modules())
def test_heavy_libraries_stay_in_their_rooms(relative: str) -> None:
    for name, typing_only in imports(modules()[relative]):
        top = name.split(".")[0]
        if top in HOMES and not typing_only:
            assert room(relative) in HOMES[top], f"{relative} imports {name}"


@pytest.mark.parametrize("relative", modules())
def test_nothing_evaluates_text(relative: str) -> None:
    for node in ast.walk(ast.parse(modules()[relative].read_text(encoding="utf-8"))):
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
        assert called not in {"eval", "exec", "compile", "__import__"}, f"{relative}:{getattr(node, 'lineno', 0)}"


@pytest.mark.parametrize("relative", modules())
def test_every_file_says_what_it_is_for(relative: str) -> None:
    assert ast.get_docstring(ast.parse(modules()[relative].read_text(encoding="utf-8")))


@pytest.mark.parametrize("start", ["import vretrver", "import vretrver.cli; vretrver.cli.options.parsers()"])
def test_starting_up_loads_nothing_heavy(start: str) -> None:
    heavy = ["numpy", "PIL", "lancedb", "pyarrow", "onnxruntime", "torch", "tokenizers", "tqdm"]
    code = f"import sys; {start}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_all_there() -> None:
    import vretrver

    for name in vretrver.__all__:
        assert getattr(vretrver, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vretrver.nothing

"""The recipes for Qwen2.5-VL-7B cannot run here: their settings must load, and their arithmetic must hold."""

from __future__ import annotations

import ast
import operator
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from vretrver.training.config import read_config
from vretrver.training.eapo import EapoConfig

FOLDER = Path(__file__).parents[1] / "runs" / "qwen2_5_vl_7b"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
SETTINGS = (FOLDER / "eapo.toml").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]*\d[^|]*) \| ([\d.]+) \|$", PAGE, flags=re.MULTILINE)
SIGNS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def value(node: ast.AST) -> float:
    if isinstance(node, ast.BinOp):
        return SIGNS[type(node.op)](value(node.left), value(node.right))
    assert isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    return float(node.value)


@pytest.mark.parametrize(("what", "how", "said"), ROWS, ids=[row[0][:40] for row in ROWS])
def test_every_sum_in_the_tables_is_right(what: str, how: str, said: str) -> None:
    plain = how.replace(" x ", " * ").replace(",", "")
    result = value(ast.parse(plain, mode="eval").body)
    scale = 1e9 if result > 1e6 else 1.0  # bytes and seconds
    assert result / scale == pytest.approx(float(said), abs=0.051), (what, how)


def test_there_are_sums_to_check() -> None:
    assert len(ROWS) >= 25


def test_stage_three_has_the_papers_settings() -> None:
    settings = read_config(FOLDER / "eapo.toml", EapoConfig)
    train, sampling = settings.train, settings.sampling
    assert (train.learning_rate, train.epochs, train.beta) == (1e-6, 1.0, 0.0)
    assert (sampling.rollouts, sampling.temperature, settings.recipe.max_tool_turns) == (8, 1.0, 2)
    assert train.batch // sampling.rollouts == 128 and train.max_tokens == 2 * 12288
    assert not train.tune_vision and not train.tune_projector and settings.reward == "paper"


def test_stage_three_asks_as_stages_one_and_two_taught() -> None:
    first, third = (tomllib.loads((FOLDER / name).read_text())["recipe"] for name in ("rsft.toml", "eapo.toml"))
    assert {name: first[name] for name in third} == third


def test_groups_stay_whole_in_every_layout() -> None:
    for batch, processes in ((1024, 4), (1024, 8), (960, 6)):
        assert batch % (8 * processes) == 0
        assert (
            f"train.batch={batch}" in PAGE or f"batch = {batch}" in SETTINGS
        ) and f"--num_processes {processes}" in PAGE

"""A trained model is served as it was trained, unless whoever serves it says otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vretrver.errors import RecordError
from vretrver.policies.habits import RECORD, Habits, habits_in, toolbox_for, turns_for
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import Wire
from vretrver.reranker import Reranker
from vretrver.tools import load_toolbox

HABITS = Habits(("compare_crops",), 1, "0-1000", 40_000)


class Trained(ScriptedPolicy):
    habits = HABITS
    wire = HABITS.wire


def names(reranker: Reranker) -> list[str]:
    return [tool.name for tool in reranker.rules.toolbox.tools]


def test_a_reranker_takes_them_and_may_be_told_otherwise() -> None:
    policy = Trained(["<answer>[1]</answer>"])
    usual = Reranker(policy)
    assert (names(usual), usual.rules.max_tool_turns, usual.rules.wire) == (["compare_crops"], 1, HABITS.wire)
    told = Reranker(policy, toolbox=load_toolbox("select"), max_tool_turns=0, wire=Wire())
    assert (names(told), told.rules.max_tool_turns, told.rules.wire) == (["select_images"], 0, Wire())
    plain = Reranker(ScriptedPolicy(["<answer>[1]</answer>"]))
    assert (names(plain), plain.rules.max_tool_turns) == (["select_images", "crop_image"], 2)


def test_no_tool_at_all_is_a_habit_too() -> None:
    class Blind(ScriptedPolicy):
        habits = Habits((), 0, "released", 40_000)

    assert toolbox_for(Blind([])).tools == () and turns_for(Blind([])) == 0


def test_they_survive_their_record_and_are_found_in_a_folder(tmp_path: Path) -> None:
    assert Habits.of(load_toolbox("compare"), 1, HABITS.wire) == HABITS
    assert Habits.from_record(json.loads(json.dumps(HABITS.to_record()))) == HABITS
    assert habits_in(tmp_path) is None and habits_in(tmp_path / "not there") is None
    (tmp_path / RECORD).write_text(json.dumps({"habits": None}))
    assert habits_in(tmp_path) is None
    (tmp_path / RECORD).write_text(json.dumps({"stage": "sft", "habits": HABITS.to_record()}))
    assert habits_in(tmp_path) == HABITS


@pytest.mark.parametrize(
    "change",
    [{"tools": ["hammer"]}, {"tools": "zoom"}, {"boxes": "miles"}, {"window_pixels": "many"}, {"max_tool_turns": -1}],
)
def test_a_record_that_does_not_parse_is_told(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / RECORD).write_text(json.dumps({"habits": HABITS.to_record() | change}))
    with pytest.raises(RecordError, match="habits do not parse"):
        habits_in(tmp_path)
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(RecordError, match="not JSON"):
        habits_in(tmp_path)

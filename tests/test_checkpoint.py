"""What a trained folder says of itself, and who refuses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import lessons
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.policies.habits import RECORD
from vretrver.training.checkpoint import Checkpoint, habits_of, protocol_digest, require_protocol
from vretrver.training.examples import Example


def test_a_checkpoint_of_another_protocol_or_prompt_is_refused(tmp_path: Path) -> None:
    record = Checkpoint("sft", protocol_digest(), {"abc": 3}, versions={"vretrver": "0.0.1"})
    record.write(tmp_path)
    assert Checkpoint.read(tmp_path) == require_protocol(tmp_path, "abc") == record
    with pytest.raises(InvalidInput, match="learnt the system prompt abc, and these settings make def"):
        require_protocol(tmp_path, "def")
    replace(record, protocol="0123456789ab").write(tmp_path)
    with pytest.raises(InvalidInput, match=r"learnt protocol 0123456789ab, .* vretrver that trained it \(0\.0\.1\)"):
        require_protocol(tmp_path, "abc")


@pytest.mark.parametrize("content", ["{}", '{"stage": "sft"}', "[]", "no json"])
def test_records_that_do_not_parse(tmp_path: Path, content: str) -> None:
    with pytest.raises(MissingPath, match="no finished checkpoint"):
        Checkpoint.read(tmp_path)
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(RecordError):
        Checkpoint.read(tmp_path)


def test_the_digest_is_of_what_is_said_alone() -> None:
    """The same in every process: no path, no time, no hash seed in it."""
    assert protocol_digest() == protocol_digest() and len(protocol_digest()) == 12


def test_how_a_model_should_be_asked_is_read_off_its_examples(paint: Callable[..., str]) -> None:
    found = lessons.examples(paint, 2)
    asked = {"tools": ["select_images"], "max_tool_turns": 2, "boxes": "qwen2.5-vl", "window_pixels": 56 * 56}
    assert habits_of(found) == asked
    other = Example(found[0].messages, {"habits": asked | {"window_pixels": 9}})
    assert habits_of([other, *found]) == asked  # what most of them were shown with
    assert habits_of([Example(example.messages) for example in found]) is None  # data of other makers

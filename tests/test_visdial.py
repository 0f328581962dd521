"""Three dialogues in visdial_1.0_val.json's own form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vretrver.datasets import load_task
from vretrver.datasets.visdial import load
from vretrver.errors import InvalidInput, MissingPath, RecordError


def dialog(image: int, *rounds: tuple[int, int]) -> dict[str, Any]:
    turns = [{"question": q, "answer": a, "answer_options": [a], "gt_index": 0} for q, a in rounds]
    return {"image_id": image, "caption": f"a picture {image}", "dialog": turns}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    data = {
        "questions": ["is it sunny", "any people"],
        "answers": ["yes", "no", "2"],
        "dialogs": [dialog(185565, (0, 0), (1, 2)), dialog(7, (1, 1)), dialog(8, (0, 1))],
    }
    write(tmp_path, data)
    return tmp_path


def write(root: Path, data: Any) -> None:
    (root / "visdial_1.0_val.json").write_text(json.dumps({"data": data, "version": "1.0", "split": "val2018"}))


def test_a_dialogue_and_its_picture(root: Path) -> None:
    task = load_task("visdial", root)
    first = task.topics[0]
    assert (task.name, len(task.topics), len(task.pool)) == ("visdial/val", 3, 3)
    assert first.query.text == "Q: is it sunny? A: yes. Q: any people? A: 2."
    assert (first.query.images, dict(first.relevant)) == ((), {"000000185565": 1})
    picture = next(iter(task.pool)).image
    assert picture is not None
    assert picture.path == str(root / "VisualDialog_val2018/VisualDialog_val2018_000000185565.jpg")
    assert task.measures[0] == "hit@1"


def test_the_caption_only_where_it_is_asked_for(root: Path) -> None:
    task = load(root, caption=True)
    assert (task.topics[1].query.text or "").startswith("a picture 7. Q: any people? A: no.")
    assert task.facts["caption"] is True
    assert load(root).facts["caption"] is False


def test_faults_are_named(root: Path) -> None:
    write(root, {"questions": ["a"], "answers": ["b"], "dialogs": [dialog(1, (0, 0)), dialog(2, (0, 0), (1, 0))]})
    with pytest.raises(RecordError, match=r"val\.json: dialog 1, round 2: question is 1; .* list of 1 questions"):
        load(root)
    write(root, {"questions": ["a"], "answers": ["b"], "dialogs": [dialog(1)]})
    with pytest.raises(RecordError, match="dialog 0: there is no round in it"):
        load(root)
    with pytest.raises(InvalidInput, match="unknown split 'test'"):
        load(root, "test")
    (root / "visdial_1.0_val.json").unlink()
    with pytest.raises(MissingPath, match="VisDial's dialogue file is not there"):
        load(root)

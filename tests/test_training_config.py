from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.training.config import claim_folder, from_mapping, read_config, read_resolved, to_mapping, write_resolved


@dataclass(frozen=True)
class Data:
    name: str
    size: int = 500


@dataclass(frozen=True)
class Stage:
    model: str
    rate: float = 1e-5
    epochs: int = 2
    frozen: bool = True
    device: str | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    teachers: tuple[str, ...] = ()
    tasks: tuple[Data, ...] = ()
    data: Data = Data("world")
    more: Mapping[str, int] = field(default_factory=dict)


TOML = """
model = "tiny"
rate = 1
teachers = ["a", "b"]
device = "cpu"
[data]
name = "grocery"
[more]
workers = 2
[[tasks]]
name = "world"
size = 3
"""


def test_keys_are_field_names(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML)
    stage = read_config(tmp_path / "a.toml", Stage)
    assert stage == Stage(
        "tiny",
        1.0,
        device="cpu",
        teachers=("a", "b"),
        tasks=(Data("world", 3),),
        data=Data("grocery"),
        more={"workers": 2},
    )
    assert isinstance(stage.rate, float)
    assert from_mapping(Stage, to_mapping(stage)) == stage
    changed = read_config(tmp_path / "a.toml", Stage, ["epochs=3", "data.size=7", "model=other", "frozen = false"])
    assert (changed.epochs, changed.data, changed.model, changed.frozen) == (3, Data("grocery", 7), "other", False)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"epoch": 3}, "s.toml: unknown key 'epoch'; did you mean 'epochs'"),
        ({"zzz": 3}, "s.toml: unknown key 'zzz'; the keys are model, rate,"),
        ({"model": 3}, "s.toml: model is the number 3; it must be a text"),
        ({"epochs": 1.5}, "s.toml: epochs is the number 1.5; it must be a whole number"),
        ({"epochs": True}, "s.toml: epochs is the boolean true; it must be a whole number"),
        ({"rate": "1e-5"}, 's.toml: rate is the text "1e-5"; it must be a number'),
        ({"rate": False}, "s.toml: rate is the boolean false; it must be a number"),
        ({"frozen": 1}, "s.toml: frozen is the number 1; it must be true or false"),
        ({"device": []}, "s.toml: device is a list; it must be a text"),
        ({"precision": "int8"}, 's.toml: precision is the text "int8"; it must be one of "float32", "bfloat16"'),
        ({"teachers": "a"}, 's.toml: teachers is the text "a"; it must be a list, each item a text'),
        ({"teachers": ["a", 2]}, "s.toml: teachers[1] is the number 2; it must be a text"),
        ({"tasks": [{"name": "x", "sise": 2}]}, "s.toml: tasks[0]: unknown key 'sise'; did you mean 'size'"),
        ({"data": {"size": 2}}, "s.toml: data: the key 'name' is missing; it must be a text"),
        ({"data": 3}, "s.toml: data is the number 3; it must be a table"),
        ({"more": {"a": "b"}}, 's.toml: more.a is the text "b"; it must be a whole number'),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_mapping(Stage, {"model": "tiny", **values}, "s.toml")
    assert why in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_without_a_default_must_be_there() -> None:
    with pytest.raises(InvalidInput, match="s: the key 'model' is missing; it must be a text"):
        from_mapping(Stage, {}, "s")


def test_files_that_hold_no_settings(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="no such settings file"):
        read_config(tmp_path / "none.toml", Stage)
    for content in (b"a = ", b"\xff\xfe", b"a" * (2 << 20)):
        (tmp_path / "b.toml").write_bytes(content)
        with pytest.raises(RecordError, match=r"b\.toml"):
            read_config(tmp_path / "b.toml", Stage)
    (tmp_path / "a.toml").write_text(TOML)
    changed = read_config(tmp_path / "a.toml", Stage, ["tasks.0.size=9"])
    assert changed.tasks == (Data("world", 9),)
    more = read_config(tmp_path / "a.toml", Stage, ['tasks.1.name="own"', "tasks.1.size=4"])
    assert [one.name for one in more.tasks] == ["world", "own"] and more.tasks[1].size == 4
    for override in ("epochs", "=3", "model.x=3", "tasks.x=3", "tasks.2.size=3", "model.x.y=3"):
        with pytest.raises(InvalidInput, match="cannot set"):
            read_config(tmp_path / "a.toml", Stage, [override])


def test_a_folder_belongs_to_its_settings(tmp_path: Path) -> None:
    claim_folder(tmp_path, Stage("tiny"), ignoring=("device",), digest="a")
    claim_folder(tmp_path, Stage("tiny", device="cpu"), ignoring=("device",), digest="a")
    for other, digest, why in ((Stage("tiny", epochs=3), "a", "epochs was 2"), (Stage("tiny"), "b", 'digest was "a"')):
        with pytest.raises(InvalidInput, match=f"made with other settings: {why}"):
            claim_folder(tmp_path, other, ignoring=("device",), digest=digest)


def test_an_output_folder_says_how_it_was_made(tmp_path: Path) -> None:
    path = write_resolved(tmp_path, Stage("tiny"), examples=3)
    content = read_resolved(tmp_path)
    assert content == json.loads(path.read_text())
    assert content["settings"]["epochs"] == 2 and content["settings"]["device"] is None and content["examples"] == 3
    assert {"vretrver", "python", "numpy"} <= set(content["versions"])
    assert from_mapping(Stage, content["settings"]) == Stage("tiny")
    path.write_text("[]")
    with pytest.raises(RecordError, match="holds no settings"):
        read_resolved(tmp_path)

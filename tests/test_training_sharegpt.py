from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vretrver.errors import MissingPath, RecordError
from vretrver.images import open_image, render
from vretrver.messages import ImagePart, Message, TextPart, View
from vretrver.training.examples import Example
from vretrver.training.sharegpt import ShownPictures, read_sharegpt, row_of, write_sharegpt
from vretrver.types import ImageRef

Paint = Callable[..., str]


def noisy(path: Path, size: tuple[int, int] = (400, 300)) -> ImageRef:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert("RGB").save(path)
    return ImageRef(str(path))


def example(ref: ImageRef) -> Example:
    whole, part = ImagePart(View(ref, 56, 84), 1), ImagePart(View(ref, 112, 56, (10, 20, 200, 120)), 1)
    return Example(
        (
            Message("system", (TextPart("Rank."),)),
            Message("user", (TextPart("Query: red\n\nCandidates:\n(1) "), whole, TextPart("\n\nGuidelines: rank"))),
            Message("assistant", (TextPart("<think>Über (1)?</think>\n<tool_call>{}</tool_call>"),)),
            Message("user", (TextPart("Here is the cropped image.\n"), part)),
            Message("assistant", (TextPart("<think>Fits.</think>\n<answer>[1]</answer>"),)),
        ),
        {"teacher": "me", "relevant": [1]},
    )


@pytest.mark.parametrize("name", ["sft.jsonl", "sft.json"])
def test_what_is_written_is_read_again_and_the_folder_is_whole_by_itself(tmp_path: Path, name: str) -> None:
    ref = noisy(tmp_path / "elsewhere" / "a.png")
    first = example(ref)
    pixels = [render(part.view).tobytes() for part in first.pictures]
    assert write_sharegpt(tmp_path / "data" / name, [first, first], "png") == 2
    Path(ref.label).unlink()
    (tmp_path / "data").rename(tmp_path / "moved")
    back = list(read_sharegpt(tmp_path / "moved" / name))
    assert len(back) == 2 and len(list((tmp_path / "moved" / "images").rglob("*.png"))) == 2
    for one in back:
        assert [(message.role, message.text) for message in one.messages] == [
            (message.role, message.text) for message in first.messages
        ]
        assert one.facts == first.facts
        assert [part.index for part in one.pictures] == [1, 1]
        assert [(part.view.width, part.view.height) for part in one.pictures] == [(56, 84), (112, 56)]
        assert [open_image(part.view.image).tobytes() for part in one.pictures] == pixels


def test_a_row_has_the_released_layout(tmp_path: Path) -> None:
    write_sharegpt(tmp_path / "sft.jsonl", [example(noisy(tmp_path / "a.png"))])
    (line,) = (tmp_path / "sft.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    assert [turn["from"] for turn in row["conversations"]] == ["system", "human", "gpt", "human", "gpt"]
    assert row["conversations"][3]["value"] == "Here is the cropped image.\n<image>"
    assert "Über (1)" in line and len(row["images"]) == 2
    for path in row["images"]:
        assert path.startswith("images/") and (tmp_path / path).is_file()


def test_jpeg_is_smaller_and_near(tmp_path: Path) -> None:
    Image.linear_gradient("L").resize((800, 600)).convert("RGB").save(tmp_path / "a.png")
    view = View(ImageRef(str(tmp_path / "a.png")), 224, 168)
    for encoding in ("png", "jpeg"):
        pictures = ShownPictures(tmp_path / encoding, encoding)
        path = tmp_path / encoding / pictures.path(view)
        assert pictures.path(view) == str(path.relative_to(tmp_path / encoding))
        shown = open_image(ImageRef(str(path)))
        assert shown.size == (224, 168)
        differences = [abs(a - b) for a, b in zip(shown.tobytes(), render(view).tobytes(), strict=True)]
        assert max(differences) <= (0 if encoding == "png" else 12)


RELEASED: dict[str, Any] = {
    "conversations": [
        {"from": "system", "value": "You are a helpful assistant for multimodal retrieval tasks."},
        {"from": "human", "value": "Query: <image> same\nCandidates: (1) <image> (2) <image>\nGuidelines: rank"},
        {"from": "gpt", "value": '<think>a</think><tool_call>{"name": "select_images"}</tool_call>'},
        {"from": "human", "value": "Here are the selected images: <image><image>"},
        {"from": "gpt", "value": "<think>b</think><answer>[2, 1]</answer>"},
    ],
    "images": ["a.png", "a.png", "a.png", "/data/them/mbeir_images/a.png", "mbeir_images/a.png"],
}


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A file as the released one is described, of our own making."""
    for name in ("a.png", "mbeir_images/a.png"):
        noisy(tmp_path / name, (256, 171))
    (tmp_path / "released.json").write_text(json.dumps([RELEASED]))
    return tmp_path / "released.json"


def test_the_released_layout_loads_unchanged(released: Path) -> None:
    (one,) = read_sharegpt(released)
    assert [part.index for part in one.pictures] == [0, 1, 2, 0, 0]
    assert {(part.view.width, part.view.height) for part in one.pictures} == {(252, 168)}
    assert one.tool_turns == 1 and one.facts == {}
    assert (
        json.loads(json.dumps(row_of(one, lambda view: view.image.label)))["conversations"] == RELEASED["conversations"]
    )
    without = {**RELEASED, "conversations": RELEASED["conversations"][1:]}
    released.write_text(json.dumps([without]))
    assert len(next(read_sharegpt(released)).messages) == 4


def tear(path: Path) -> None:
    Image.effect_noise((300, 300), 90).convert("RGB").save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def changed(at: int, **turn: Any) -> dict[str, Any]:
    turns: list[Any] = list(RELEASED["conversations"])
    turns[at] = {**turns[at], **turn}
    return {**RELEASED, "conversations": turns}


def pictured(path: Any) -> dict[str, Any]:
    return {**RELEASED, "images": [path, *RELEASED["images"][1:]]}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "the turns are none"),
        ([], "the example is a list; it must be an object"),
        ({**RELEASED, "conversations": {}}, "turns is an object; it must be a list"),
        ({**RELEASED, "conversations": RELEASED["conversations"][:4]}, "the turns are system, user, assistant, user"),
        ({**RELEASED, "conversations": RELEASED["conversations"][2:]}, "the turns are assistant, user, assistant"),
        (changed(2, **{"from": "human"}), "the turns are system, user, user"),
        (changed(2, **{"from": "observation"}), "turn 3 is from 'observation'; it must be from system, human, gpt"),
        (changed(2, **{"from": 3}), "turn 3 is from '3'"),
        (changed(2, value=None), "turn 3 has null as its value; it must be a text"),
        (changed(2, value="x" * 400_001), "turn 3 has 400001 characters"),
        (changed(1, value="no marks"), "2 <image> marks came with 5 images"),
        ({**RELEASED, "images": None}, "5 <image> marks came with 0 images"),
        (pictured("b.png"), "no such image"),
        (pictured("../a.png"), "lies outside"),
        (pictured("/etc/hosts"), "lies outside"),
        (pictured("C:\\a.png"), "lies outside"),
        (pictured(3), "the picture's path is a number"),
        (pictured("torn.jpg"), "torn.jpg"),
        (pictured("text.png"), "not a picture"),
        ({**RELEASED, "facts": []}, None),
        ({**RELEASED, "facts": [1]}, "facts is a list"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_and_row(released: Path, row: Any, why: str | None) -> None:
    tear(released.parent / "torn.jpg")
    (released.parent / "text.png").write_text("no picture")
    released.write_text(json.dumps([RELEASED, row]))
    if why is None:
        assert len(list(read_sharegpt(released))) == 2
        return
    with pytest.raises(RecordError) as caught:
        list(read_sharegpt(released))
    assert why in str(caught.value) and f"{released}: row 2: " in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_hold_no_examples(tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        list(read_sharegpt(tmp_path / "none.jsonl"))
    for name, content in (("a.jsonl", ""), ("a.json", "[]"), ("b.json", "{}"), ("b.jsonl", "[]"), ("c.jsonl", '{"a"')):
        (tmp_path / name).write_text(content)
        with pytest.raises(RecordError, match=name):
            list(read_sharegpt(tmp_path / name))


def test_a_truncated_picture_goes_unseen_where_only_headers_are_read(released: Path) -> None:
    tear(released.parent / "torn.jpg")
    released.write_text(json.dumps([pictured("torn.jpg")]))
    assert len(list(read_sharegpt(released, decode=False))) == 1
    with pytest.raises(RecordError, match="row 1: cannot read image"):
        list(read_sharegpt(released))


def test_a_picture_that_is_gone_is_named_with_its_example(tmp_path: Path) -> None:
    gone = example(ImageRef(str(tmp_path / "gone.png")))
    with pytest.raises(RecordError, match=r"example 1: no such image: .*gone\.png"):
        write_sharegpt(tmp_path / "sft.jsonl", [gone])
    assert not (tmp_path / "sft.jsonl").exists()


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=6), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
TURN = st.fixed_dictionaries({}, optional={"from": st.sampled_from(["human", "gpt", "system"]) | JSON, "value": JSON})


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["conversations", "images", "numbers", "facts"]), st.lists(TURN, max_size=4) | JSON)
)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, row: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(json.dumps([row]))
    with contextlib.suppress(RecordError):
        list(read_sharegpt(path))

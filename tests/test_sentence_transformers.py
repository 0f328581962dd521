"""The sentence-transformers embedder on a tiny CLIP with random weights, made here: nothing is downloaded."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vretrver.embedders import Embedder, load_embedder
from vretrver.embedders.sentence_transformers import SentenceTransformersEmbedder
from vretrver.errors import ImageError, InvalidInput
from vretrver.types import Document, ImageRef, Query

Paint = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP of 8 dimensions whose tokenizer knows single letters."""
    pytest.importorskip("sentence_transformers", reason="the extra [models] is not installed")
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = ["<|startoftext|>", "<|endoftext|>", *string.ascii_lowercase, *(c + "</w>" for c in string.ascii_lowercase)]
    sides = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **sides,
            "vocab_size": len(words),
            "max_position_embeddings": 16,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
        vision_config={**sides, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    path = str(tmp_path_factory.mktemp("clip"))
    CLIPModel(config).eval().save_pretrained(path)
    tokenizer = CLIPTokenizer(vocab={word: at for at, word in enumerate(words)}, merges=[], model_max_length=16)
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def embedder(folder: str) -> Embedder:
    return load_embedder(f"sentence-transformers:{folder}")


def test_texts_pictures_and_both_live_in_one_space(embedder: Embedder, paint: Paint) -> None:
    red, blue = paint("red.png"), paint("blue.png", "blue")
    items: list[Query | Document] = [
        Query("red"),
        Query(images=(ImageRef(red),)),
        Query("red", (ImageRef(red),)),
        Document("a", "red"),
        Document("b", image=ImageRef(red)),
        Document("c", "red", ImageRef(red)),
        Document("d", image=ImageRef(blue)),
        Query(images=(ImageRef(red), ImageRef(blue))),
    ]
    vectors = embedder.encode(items)
    assert vectors.shape == (8, 8) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    text, image, both = vectors[:3]
    assert np.allclose(vectors[3:6], vectors[:3], atol=1e-5)
    assert np.allclose(both, (text + image) / np.linalg.norm(text + image), atol=1e-5)
    pair = image + vectors[6]
    assert np.allclose(vectors[7], pair / np.linalg.norm(pair), atol=1e-5)
    assert not np.allclose(image, vectors[6], atol=1e-3)


def test_batches_agree_with_single_items(embedder: Embedder, paint: Paint) -> None:
    picture = ImageRef(paint())
    items = [Document(str(at), chr(97 + at % 26) * (at + 1), picture if at % 3 else None) for at in range(40)]
    together = embedder.encode(items)
    alone = np.concatenate([embedder.encode([item]) for item in items[::7]])
    assert np.allclose(together[::7], alone, atol=1e-5)
    assert embedder.encode([]).shape == (0, 8)


def test_a_caption_that_looks_like_a_path_or_a_url_is_only_words(embedder: Embedder, paint: Paint) -> None:
    path = paint("secret.png")
    as_text, as_image = embedder.encode([Document("a", path), Document("b", image=ImageRef(path))])
    assert not np.allclose(as_text, as_image, atol=1e-3)
    embedder.encode([Document("c", "http://host.invalid/picture.jpg"), Query("gone.png")])


def test_a_picture_that_cannot_be_read_is_an_image_error(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(ImageError):
        embedder.encode([Document("a", image=ImageRef.of(tmp_path / "bad.png"))])


def test_the_fingerprint_follows_the_files(embedder: Embedder, folder: str, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    same = load_embedder(f"sentence-transformers:{copy}")
    (copy / "README.md").write_text("notes")
    assert same.fingerprint == embedder.fingerprint
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert load_embedder(f"sentence-transformers:{copy}").fingerprint != embedder.fingerprint
    assert embedder.name == f"sentence-transformers:{folder}"
    assert isinstance(embedder, Embedder) and embedder.dim == 8


@pytest.fixture(scope="module")
def maskless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SigLIP whose tokenizer knows single letters. Its text tower sees the padding."""
    pytest.importorskip("sentence_transformers", reason="the extra [models] is not installed")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessorPil,
        SiglipModel,
        SiglipProcessor,
        SiglipTextConfig,
    )

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = {word: at for at, word in enumerate(["<pad>", "</s>", "<unk>", *string.ascii_lowercase])}
    letters = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=16
    )
    sides = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sides, "vocab_size": len(words), "max_position_embeddings": 16, "projection_size": 16}
    ends = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    config = SiglipConfig(
        text_config=SiglipTextConfig(**text, **ends), vision_config={**sides, "image_size": 32, "patch_size": 16}
    )
    path = str(tmp_path_factory.mktemp("siglip"))
    SiglipModel(config).eval().save_pretrained(path)
    images = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    SiglipProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(path)
    return path


def test_a_caption_has_one_vector_whatever_its_batch(maskless: str, paint: Paint) -> None:
    embedder = load_embedder(f"sentence-transformers:{maskless}")
    items = [Document("a", "abc"), Document("b", "abcdefghij" * 9), Document("c", "xy", ImageRef(paint()))]
    together = embedder.encode(items)
    alone = np.concatenate([embedder.encode([item]) for item in items])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(embedder.encode([Query("abc")])[0], together[0], atol=1e-5)


class Conversational:
    """Stands for a loaded model that reads text and pictures as one input; its vector counts what it was given."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[list[str]], str | None]] = []

    def supports(self, _modality: object) -> bool:
        return True

    def get_embedding_dimension(self) -> int:
        return 2

    def encode_query(self, inputs: Sequence[dict[str, Any]], prompt: str | None = None, **_: Any) -> Any:
        self.asked.append(("query", [list(part) for part in inputs], prompt))
        return np.array([[len(part), 1] for part in inputs], np.float32)

    def encode_document(self, inputs: Sequence[dict[str, Any]], **_: Any) -> Any:
        self.asked.append(("document", [list(part) for part in inputs], None))
        return np.array([[len(part), 1] for part in inputs], np.float32)


def test_a_model_that_takes_both_gets_both_at_once_and_the_instruction_as_prompt(paint: Paint) -> None:
    model, picture = Conversational(), ImageRef(paint())
    embedder = SentenceTransformersEmbedder("some-model", loaded=model)
    vectors = embedder.encode(
        [Query("a", (picture,), "Find the same."), Document("d", "b", picture), Document("e", "c")]
    )
    assert model.asked == [
        ("query", [["image", "text"]], "Find the same."),
        ("document", [["image", "text"]], None),
        ("document", [["text"]], None),
    ]
    assert np.allclose(vectors[0], [2 / 5**0.5, 1 / 5**0.5]) and np.allclose(vectors[2], [0.5**0.5, 0.5**0.5])


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra [models] is not installed")
    with pytest.raises(InvalidInput, match="cannot load"):
        load_embedder(f"sentence-transformers:{tmp_path}")

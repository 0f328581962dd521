"""The cross-encoder policy on a tiny BERT and a tiny LLaVA with random weights, made here: nothing is downloaded."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vretrver.errors import InvalidInput, PolicyError
from vretrver.policies import Policy, load_policy
from vretrver.policies.cross_encoder import CrossEncoderPolicy
from vretrver.protocol import permutation
from vretrver.reranker import Reranker
from vretrver.trace import Ranking, StopReason
from vretrver.types import Document, ImageRef, Query

Paint = Callable[..., str]
WORDS = ["kite", "boat", "red", "blue", "sea", "sky", "big", "small", "old", "new"]
TEXTS = [f"{one} {other}" for one in WORDS[:5] for other in WORDS[5:]]


def build(folder: Path, labels: int = 1) -> str:
    """A BERT of 16 dimensions that knows ten words, saved as a cross-encoder."""
    pytest.importorskip("sentence_transformers", reason="the extra [models] is not installed")
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        num_labels=labels,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    BertTokenizer(vocab={word: at for at, word in enumerate(vocabulary)}, model_max_length=32).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def policy(folder: str) -> Policy:
    return load_policy(f"cross-encoder:{folder}")


def documents(texts: Sequence[str | None], picture: str | None = None) -> list[Document]:
    image = None if picture is None else ImageRef(picture)
    return [Document(f"{at:02}", text, image) for at, text in enumerate(texts)]


def test_it_ranks_as_the_library_ranks(policy: Policy, folder: str) -> None:
    from sentence_transformers import CrossEncoder

    ranking = Reranker(policy).rerank("red kite", documents(TEXTS[:12]))
    want = CrossEncoder(folder).rank("red kite", TEXTS[:12])
    assert list(ranking.ids) == [f"{found['corpus_id']:02}" for found in want]
    assert [result.confidence for result in ranking.results] == pytest.approx([found["score"] for found in want])
    assert len({round(found["score"], 3) for found in want}) > 6  # the order says something
    (trace,) = ranking.traces
    assert trace.stop is StopReason.ANSWERED and not trace.repairs and not trace.tool_calls
    assert trace.policy == policy.name == f"cross-encoder:{folder}"
    assert permutation(trace.turns[0].text, 12)[0] == trace.order


def test_a_window_scores_the_same_alone_and_in_company(policy: Policy) -> None:
    short, long = documents(TEXTS[:9]), documents([f"{text} {text} {text}" for text in TEXTS])
    together = Reranker(policy).rerank_many(["red kite", "sea"], [short, long])
    alone = [Reranker(policy).rerank("red kite", short), Reranker(policy).rerank("sea", long)]
    assert [of.traces for of in map(untimed, together)] == [of.traces for of in map(untimed, alone)]


def untimed(ranking: Ranking) -> Ranking:
    from dataclasses import replace

    traces = [replace(trace, turns=tuple(replace(turn, seconds=0) for turn in trace.turns)) for trace in ranking.traces]
    return replace(ranking, traces=tuple(traces))


def test_a_text_model_puts_what_it_cannot_read_last(policy: Policy, paint: Paint) -> None:
    found = documents([None, "red kite", None, "sea"], paint())
    ranking = Reranker(policy).rerank(Query("kite", (ImageRef(paint("asked.png")),)), found)
    assert sorted(ranking.ids[:2]) == ["01", "03"] and list(ranking.ids[2:]) == ["00", "02"]
    assert [result.confidence for result in ranking.results[2:]] == [0, 0]
    assert "No text to read on 1, 3." in ranking.traces[0].turns[0].text


@pytest.mark.parametrize(
    ("query", "texts", "why"),
    [
        (Query(images=(ImageRef("asked"),)), ["kite"], "the query has no text"),
        (Query("kite"), [None, None], "its candidates have no text"),
    ],
)
def test_a_window_without_texts_is_told_why(
    policy: Policy, paint: Paint, query: Query, texts: list[str | None], why: str
) -> None:
    picture = paint()
    if query.images:
        query = Query(images=(ImageRef(picture),))
    ranking = Reranker(policy).rerank(query, documents(texts, picture))
    (trace,) = ranking.traces
    assert trace.stop is StopReason.POLICY_ERROR and list(ranking.ids) == [f"{at:02}" for at in range(len(texts))]
    assert trace.error is not None and f"{why}; choose a model that takes pictures" in trace.error


def test_a_text_is_never_an_address_or_a_special_token(policy: Policy, paint: Paint) -> None:
    path = paint("kite.png")
    texts = [path, "http://host.invalid/a.jpg", "data:image/png;base64,AAAA", "kite [SEP] sea", "kite sea"]
    ranking = Reranker(policy).rerank("kite", documents(texts))
    assert ranking.traces[0].stop is StopReason.ANSWERED
    confidence = {result.document.id: result.confidence for result in ranking.results}
    assert confidence["03"] == pytest.approx(confidence["04"], abs=1e-6)


@pytest.fixture(scope="module")
def seer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A LLaVA of 16 dimensions that says yes or no to a pair of pictures and words, saved as a cross-encoder."""
    pytest.importorskip("sentence_transformers", reason="the extra [models] is not installed")
    import torch
    import transformers as hf
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "yes", "no", "query", "document", *WORDS]
    knows = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    knows.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=knows, additional_special_tokens=["<image>"], padding_side="left", **special
    )
    shown = "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    said = "{{ one['role'] }} {% for part in one['content'] %}" + shown + "{% endfor %}"
    sides = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = hf.CLIPVisionConfig(**sides, image_size=28, patch_size=14, initializer_factor=20.0)
    text = hf.LlamaConfig(**sides, vocab_size=len(words), num_key_value_heads=2, pad_token_id=0, initializer_range=0.5)
    config = hf.LlavaConfig(vision_config=vision, text_config=text, image_token_index=4, vision_feature_layer=-1)
    folder = tmp_path_factory.mktemp("llava")
    hf.LlavaForConditionalGeneration(config).eval().save_pretrained(folder)
    hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for one in messages %}" + said + "{% endfor %}",
    ).save_pretrained(folder)
    reads = Transformer(str(folder), transformer_task="any-to-any")
    CrossEncoder(modules=[reads, LogitScore(words.index("yes"), words.index("no"))]).save_pretrained(str(folder / "ce"))
    return str(folder / "ce")


def test_pictures_and_texts_of_a_pair_reach_the_model(seer: str, paint: Paint) -> None:
    from PIL import Image
    from sentence_transformers import CrossEncoder

    paths = {colour: paint(f"{colour}.png", colour, (56, 56)) for colour in ("red", "blue", "white", "black")}
    red, blue, white, black = (ImageRef(path) for path in paths.values())
    found = [
        Document("picture", image=blue),
        Document("both", "big boat", white),
        Document("words", "old <image> sea"),
        Document("dark", image=black),
    ]
    pixels = {colour: Image.open(path).convert("RGB") for colour, path in paths.items()}
    asked = {"image": [pixels["red"], pixels["blue"]], "text": "red kite"}
    pairs = [
        (asked, {"image": pixels["blue"]}),
        (asked, {"image": pixels["white"], "text": "big boat"}),
        (asked, {"text": "old sea"}),
        (asked, {"image": pixels["black"]}),
    ]
    want = dict(zip((one.id for one in found), CrossEncoder(seer).predict(pairs), strict=True))
    assert len({round(float(score), 4) for score in want.values()}) == 4  # both pictures and words count
    ranking = Reranker(load_policy(f"cross-encoder:{seer}")).rerank(Query("red kite", (red, blue)), found)
    assert ranking.traces[0].stop is StopReason.ANSWERED, ranking.traces[0].error
    assert {one.document.id: one.confidence for one in ranking.results} == pytest.approx(want, abs=1e-5)
    assert list(ranking.ids) == sorted(want, key=lambda name: -want[name])


class Seeing:
    """Stands for a loaded model that takes pictures in a pair: its logit is how red the candidate is."""

    num_labels = 1

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[str]]] = []
        self.prompts: list[str | None] = []

    def supports(self, _modality: object) -> bool:
        return True

    def predict(self, pairs: Sequence[Any], prompt: str | None = None, **_: Any) -> NDArray[np.float64]:
        self.asked += [(list(query), list(document)) for query, document in pairs]
        self.prompts.append(prompt)
        return np.array([self._red(document) for _, document in pairs])

    @staticmethod
    def _red(document: dict[str, Any]) -> float:
        if "image" not in document:
            return -1000.0
        return float(np.asarray(document["image"], np.float64)[0, 0, 0]) / 100


def test_a_model_that_takes_pictures_gets_pictures_and_texts(paint: Paint) -> None:
    model, red, grey = Seeing(), ImageRef(paint("red.png", "red")), ImageRef(paint("grey.png", "grey"))
    found = [Document("grey", "a kite", grey), Document("red", image=red), Document("words", "a kite")]
    ranking = Reranker(CrossEncoderPolicy("seer", loaded=model)).rerank(Query("kite", (red, grey), "Find it."), found)
    assert list(ranking.ids) == ["red", "grey", "words"]
    assert ranking.results[0].confidence == pytest.approx(1 / (1 + math.exp(-2.55)), abs=1e-3)
    assert ranking.results[2].confidence == 0
    assert model.asked == [
        (["image", "text"], ["image", "text"]),
        (["image", "text"], ["image"]),
        (["image", "text"], ["text"]),
    ]
    assert model.prompts == ["Find it."]


def test_what_cannot_be_loaded(folder: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no cross-encoder .* can be loaded from this machine"):
        load_policy(f"cross-encoder:{tmp_path}")
    with pytest.raises(InvalidInput, match=r"no cross-encoder 'nobody/nothing'"):
        load_policy("cross-encoder:nobody/nothing")
    with pytest.raises(InvalidInput, match="gives 3 labels"):
        load_policy(f"cross-encoder:{build(tmp_path / 'three', labels=3)}")
    for name in ("cross-encoder", "cross-encoder:", "evidence:x"):
        with pytest.raises(InvalidInput, match=f"unknown policy '{name}'; choose evidence, cross-encoder:<model>"):
            load_policy(name)


def test_a_score_that_is_no_number_is_a_policy_error(policy: Policy) -> None:
    class Broken(Seeing):
        def predict(self, pairs: Sequence[Any], prompt: str | None = None, **_: Any) -> NDArray[np.float64]:
            return np.full(len(pairs), np.nan)

    ranking = Reranker(CrossEncoderPolicy("broken", loaded=Broken())).rerank("kite", documents(["a", "b"]))
    assert ranking.traces[0].stop is StopReason.POLICY_ERROR
    assert isinstance(policy, Policy) and issubclass(PolicyError, RuntimeError)


def test_the_fingerprint_follows_the_files(policy: Policy, folder: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert isinstance(policy, CrossEncoderPolicy)
    assert CrossEncoderPolicy(str(copy)).fingerprint == policy.fingerprint
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert CrossEncoderPolicy(str(copy)).fingerprint != policy.fingerprint

"""MTEB itself on collections made here: nothing is fetched, no result is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
pytest.importorskip("mteb", reason="the extra [mteb] is not installed")

import mteb
from datasets import Dataset, Features, Image, Value
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import EncoderProtocol, SearchProtocol

from conftest import MeanColour
from vretrver import metrics
from vretrver.adapters.mteb import MtebEncoder, MtebSearch
from vretrver.coarse import coarse_candidates
from vretrver.errors import InvalidInput
from vretrver.messages import Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer
from vretrver.reranker import Reranker
from vretrver.types import Document, ImageRef, Query

Paint = Callable[..., str]
COLOURS = {"d0": "red", "d1": "darkred", "d2": "blue", "d3": "navy", "d4": "green", "d5": "white"}
PICTURE = Image()
TEXT = Value("string")
INSTRUCTION = "Find the same colour."
PROMPT: Any = {"query": INSTRUCTION}


def task(category: Any, queries: Any, corpus: Any, qrels: Any, top_ranked: Any = None) -> AbsTaskRetrieval:
    """A task of MTEB that holds its data already."""

    class Local(AbsTaskRetrieval):  # type: ignore[misc]  # it has no types for us
        metadata = TaskMetadata(
            name=f"Local{category.upper()}Retrieval",
            description="Colours made for a test.",
            dataset={"path": "nowhere/nothing", "revision": "1"},
            type="Any2AnyRetrieval",
            category=category,
            modalities=["text", "image"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
            prompt=PROMPT,
        )

    local = Local()
    data: Any = {"queries": queries, "corpus": corpus, "relevant_docs": qrels, "top_ranked": top_ranked}
    local.dataset = {"default": {"test": data}}
    local.data_loaded = True
    return local


def rows(features: dict[str, Any], **columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns, features=Features({"id": TEXT, **features}))


def pictures(paint: Paint) -> dict[str, str]:
    return {name: paint(f"{name}.png", colour) for name, colour in COLOURS.items()}


def held(path: str) -> dict[str, Any]:
    """A picture as a downloaded data set holds it: its file's bytes."""
    return {"bytes": Path(path).read_bytes(), "path": None}


def corpus_of(paths: dict[str, str]) -> Any:
    return rows({"image": PICTURE}, id=list(paths), image=[held(path) for path in paths.values()])


def scores(model: Any, local: AbsTaskRetrieval) -> dict[str, float]:
    found = mteb.evaluate(model, local, cache=None, co2_tracker=False, show_progress_bar=False)
    (one,) = found.task_results[0].scores["test"]
    return dict(one)


def agrees(measured: dict[str, float], runs: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> None:
    """What MTEB measured is what our metrics give for the same orders."""
    pairs = [(runs[name], grades) for name, grades in qrels.items()]
    for theirs, ours in (
        ("ndcg_at_10", "ndcg@10"),
        ("map_at_5", "map@5"),
        ("recall_at_3", "recall@3"),
        ("hit_rate_at_1", "hit@1"),
        ("hit_rate_at_3", "hit@3"),
        ("mrr_at_10", "mrr@10"),
    ):
        assert measured[theirs] == pytest.approx(metrics.mean_of(ours, pairs), abs=1e-5), theirs


def ordered(embedder: MeanColour, query: Query, documents: list[Document]) -> list[str]:
    return [candidate.document.id for candidate in coarse_candidates(query, documents, embedder)]


def by_name(conversation: Conversation) -> str:
    """An agent that puts the last id first, so that what it did shows in every score."""
    names = [candidate.document.id for candidate in conversation.window.candidates]
    return render_answer(sorted(range(len(names)), key=names.__getitem__, reverse=True))


def test_pictures_for_a_picture_embedded_and_reranked(embedder: MeanColour, paint: Paint) -> None:
    paths = pictures(paint)
    asked = {"q0": paint("q0.png", "crimson"), "q1": paint("q1.png", "mediumblue")}
    qrels = {"q0": {"d0": 1, "d1": 1}, "q1": {"d3": 2, "d2": 1}}
    queries = rows({"image": PICTURE}, id=list(asked), image=[held(path) for path in asked.values()])
    local = task("i2i", queries, corpus_of(paths), qrels)
    documents = [Document(name, image=ImageRef(path)) for name, path in paths.items()]
    coarse = {name: ordered(embedder, Query(images=(ImageRef(path),)), documents) for name, path in asked.items()}
    assert coarse["q0"] != coarse["q1"]
    for model in (MtebEncoder(embedder), MtebSearch(embedder)):
        agrees(scores(model, local), coarse, qrels)

    policy = ScriptedPolicy(by_name)
    search = MtebSearch(embedder, Reranker(policy), k=4)
    reranked = {name: [*sorted(order[:4], reverse=True), *order[4:]] for name, order in coarse.items()}
    assert reranked != coarse
    agrees(scores(search, local), reranked, qrels)
    assert len(policy.seen) == 2 and all(len(one.window.candidates) == 4 for one in policy.seen)
    (first, *_), _ = (one.window.candidates for one in policy.seen)
    assert first.document.image == ImageRef(data=Path(paths[first.document.id]).read_bytes())  # the file's own


def test_text_and_picture_for_pictures_with_the_instruction_apart(embedder: MeanColour, paint: Paint) -> None:
    paths = pictures(paint)
    queries = rows({"image": PICTURE, "text": TEXT}, id=["q"], image=[held(paint("q.png", "navy"))], text=["but green"])
    qrels = {"q": {"d4": 1}}
    local = task("it2i", queries, corpus_of(paths), qrels)
    policy = ScriptedPolicy(by_name)
    found = scores(MtebSearch(embedder, Reranker(policy)), local)
    agrees(found, {"q": sorted(paths, reverse=True)}, qrels)
    query = policy.seen[0].window.query
    assert (query.text, query.instruction, len(query.images)) == ("but green", INSTRUCTION, 1)

    given = Query("but green", (ImageRef(str(paint("q.png", "navy"))),), INSTRUCTION)
    order = ordered(embedder, given, [Document(name, image=ImageRef(path)) for name, path in paths.items()])
    agrees(scores(MtebEncoder(embedder), local), {"q": order}, qrels)


def test_captions_that_a_task_does_not_offer_are_not_read(embedder: MeanColour, paint: Paint) -> None:
    paths = pictures(paint)
    images = [held(path) for path in paths.values()]
    corpus = rows({"image": PICTURE, "text": TEXT}, id=list(paths), image=images, text=list(COLOURS.values()))
    queries = rows({"text": TEXT, "image": PICTURE}, id=["q"], text=["navy"], image=[images[3]])
    local = task("t2i", queries, corpus, {"q": {"d5": 1}})
    policy = ScriptedPolicy(by_name)
    order = ordered(embedder, Query("navy"), [Document(name, image=ImageRef(path)) for name, path in paths.items()])
    agrees(scores(MtebEncoder(embedder), local), {"q": order}, {"q": {"d5": 1}})
    agrees(scores(MtebSearch(embedder), local), {"q": order}, {"q": {"d5": 1}})
    scores(MtebSearch(embedder, Reranker(policy)), local)
    window = policy.seen[0].window
    assert not window.query.images and {candidate.document.modality for candidate in window.candidates} == {"image"}


def test_texts_for_texts_with_titles_and_given_candidates(embedder: MeanColour) -> None:
    corpus = rows(
        {"text": TEXT, "title": TEXT}, id=["a", "b", "c", "d"], text=["x", "", "z", ""], title=["t", "", "", "u"]
    )
    queries = rows({"text": TEXT, "instruction": TEXT}, id=["q", "r"], text=["t x", "z"], instruction=["Do.", ""])
    qrels = {"q": {"a": 1}, "r": {"c": 1}}
    seen = ScriptedPolicy(by_name)
    given = {"q": ["d", "a", "b"], "r": ["c", "a"]}
    local = task("t2t", queries, corpus, qrels, given)
    found = scores(MtebSearch(embedder, Reranker(seen), k=2), local)
    words = [Document("a", "t x"), Document("b", "(empty)"), Document("c", "z"), Document("d", "u")]
    runs = {}
    for name, text in (("q", "t x"), ("r", "z")):
        order = ordered(embedder, Query(text), [one for one in words if one.id in given[name]])
        runs[name] = [*sorted(order[:2], reverse=True), *order[2:]]
    agrees(found, runs, qrels)
    assert [one.window.query.instruction for one in seen.seen] == ["Do.", INSTRUCTION]
    assert runs["q"][0] in ("a", "b", "d") and "c" not in runs["q"]


def test_scores_fall_strictly_even_among_equals(embedder: MeanColour) -> None:
    corpus = rows({"text": TEXT}, id=[f"{at:02}" for at in range(9)], text=["same"] * 9)
    queries = rows({"text": TEXT}, id=["q"], text=["same"])
    for reranker in (None, Reranker(ScriptedPolicy(by_name))):
        search = MtebSearch(embedder, reranker, k=3)
        search.index(corpus, task_metadata=None)
        found = search.search(queries, task_metadata=None, top_k=5)["q"]
        assert list(found) == (["02", "01", "00", "03", "04"] if reranker else ["00", "01", "02", "03", "04"])
        assert (np.diff(np.array(list(found.values()), np.float32)) < 0).all()


def test_it_is_what_mteb_asks_for(embedder: MeanColour) -> None:
    encoder, search = MtebEncoder(embedder), MtebSearch(embedder, Reranker(ScriptedPolicy(by_name)), k=7)
    assert isinstance(encoder, EncoderProtocol) and isinstance(search, SearchProtocol)
    assert not isinstance(search, EncoderProtocol)
    assert encoder.mteb_model_meta.name == "vretrver/mean-colour"
    assert search.mteb_model_meta.name == "vretrver/mean-colour+scripted-k7"
    assert search.mteb_model_meta.revision != MtebSearch(MeanColour("other"), None).mteb_model_meta.revision
    assert encoder.mteb_model_meta.modalities == ["text", "image"]
    assert encoder.encode([], task_metadata=None).shape == (0, 8)
    vectors = embedder.encode([Query("a"), Query("b")])
    assert np.asarray(encoder.similarity(vectors, vectors)).shape == (2, 2)
    assert np.asarray(encoder.similarity_pairwise(vectors, vectors)) == pytest.approx([1, 1])


def test_what_cannot_be_taken(embedder: MeanColour) -> None:
    search = MtebSearch(embedder)
    with pytest.raises(InvalidInput, match="share an id"):
        search.index(rows({"text": TEXT}, id=["a", "a"], text=["x", "y"]), task_metadata=None)
    search.index(rows({"text": TEXT}, id=["a"], text=["x"]), task_metadata=None)
    with pytest.raises(InvalidInput, match=r"not in the corpus, such as \['z'\]"):
        search.search(rows({"text": TEXT}, id=["q"], text=["x"]), task_metadata=None, top_k=1, top_ranked={"q": ["z"]})
    with pytest.raises(InvalidInput, match="conversations are not supported"):
        MtebEncoder(embedder).encode([{"text": [["a", "b"]]}], task_metadata=None)
    with pytest.raises(InvalidInput, match="a picture is a int"):
        MtebEncoder(embedder).encode([{"image": [3]}], task_metadata=None)
    with pytest.raises(InvalidInput, match="k is 0"):
        MtebSearch(embedder, k=0)

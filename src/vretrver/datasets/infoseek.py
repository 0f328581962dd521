"""InfoSeek: questions about an entity that a picture shows (Chen et al., EMNLP 2023), over Wikipedia's passages.

    infoseek_{val,train,test,human}.jsonl     data_id, image_id, question, answer, answer_eval, data_split
    infoseek_{val,train}_withkb.jsonl         data_id, entity_id: whose article answers
    infoseek_val_qtype.jsonl                  data_id, question_type: String, Numerical or Time
    oven_images/04/oven_04925844.jpg          OVEN's pictures, or oven_images/oven_04925844.jpg
    Wiki6M_ver_1_0.jsonl                      wikidata_id, wikipedia_title, wikipedia_content, an article a line
    wikipedia_images_full/Q178/Q178185.jpg    pictures of the articles, if they are to be image-text documents

Articles are cut into passages of 100 words led by the title, as M-BEIR cuts them; every passage of the entity's article
is relevant. `articles.jsonl` takes the same lines, for a smaller knowledge base; `passages.jsonl`, .csv or .parquet are
passages that are cut already, of which none is labelled. M-BEIR's own InfoSeek tasks are in `datasets.mbeir`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.datasets import Card, Expected, Pool, Task, Topic
from vretrver.datasets.passages import WORDS, Article, ArticlePool, checked_ids, rows_of
from vretrver.datasets.records import (
    MAX_LINE,
    chosen,
    first_of,
    folder,
    id_of,
    list_of,
    object_of,
    picture,
    read_jsonl,
    text_of,
)
from vretrver.errors import RecordError
from vretrver.types import ImageRef, Query

INSTRUCTION = "Find a passage that answers the question about what the picture shows."
SPLITS = ("val", "train", "test", "human")
MEASURES = ("pr@5", "hit@1", "hit@5", "hit@10", "mrr@10", "pr@1", "pr@10")
CARD = Card(
    title="InfoSeek",
    source="https://github.com/open-vision-language/infoseek (pictures: OVEN; articles: Wiki6M_ver_1_0, 2022-10-01)",
    licence="not confirmed here; each picture keeps its own source's licence; Wikipedia's texts are CC BY-SA",
    metric="accuracy: exact match of strings and times, relaxed match of numbers; the harmonic mean over "
    "questions about unseen entities and unseen questions. PR@5: a passage that contains an answer is among the first "
    "five",
    notes="The answers of test and human are not public; papers report val, or M2KR's sample of it. hit@k counts any "
    "passage of the entity's article, whether it holds the answer or not. The paper's own 100k knowledge base is not "
    "released, so numbers over other knowledge bases differ.",
)
Rows: TypeAlias = dict[str, Mapping[str, Any]]


def load(
    root: str | os.PathLike[str], split: str = "val", *, words: int = WORDS, instruction: str = INSTRUCTION
) -> Task:
    """One part of InfoSeek; grouped by what is unseen, with the kind of question in `Topic.expected`.

    Args:
        root: the folder that holds the files above.
        split: `val`, `train`, or `test` or `human`, whose answers are not public.
        words: of a passage that articles are cut into.
        instruction: what every query asks for, apart from its question; "" for nothing.

    Raises:
        InvalidInput: another split, or words below 1.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    chosen(split, SPLITS, "split")
    path = first_of(place / f"infoseek_{split}.jsonl", what="InfoSeek's questions")
    entities = {name: id_of(one.get("entity_id"), str(path), "entity_id")
                for name, one in _by_id(place / f"infoseek_{split}_withkb.jsonl").items()}  # fmt: skip
    kinds = _by_id(place / f"infoseek_{split}_qtype.jsonl")
    pool, corpus, relevant = _corpus(place, words, set(entities.values()))
    questions = _Questions(place, split, kinds, {name: relevant.get(key, {}) for name, key in entities.items()})
    topics = tuple(questions.topic(record, where, instruction) for where, record in read_jsonl(path))
    if len({topic.id for topic in topics}) != len(topics) or not topics:
        raise RecordError(f"{path} holds no question, or a data_id twice; ids must be unique")
    facts: dict[str, Any] = {
        "instruction": instruction,
        "corpus": corpus.name,
        "passage words": words if isinstance(pool, ArticlePool) else None,
        "question types": "file" if kinds else "read off the answers",
        "questions whose entity has no article": sum(topic.id in entities and not topic.relevant for topic in topics),
    }
    return Task(f"infoseek/{split}", split, topics, pool, MEASURES, CARD, place, facts=facts)


# -- passages -----------------------------------------------------------------------------------------------------


def _corpus(place: Path, words: int, wanted: Collection[str]) -> tuple[Pool, Path, Mapping[str, Mapping[str, int]]]:
    """The pool, its file, and by entity the passages of its article."""
    articles = next((one for name in ("articles.jsonl", "Wiki6M_ver_1_0.jsonl")
                     if (one := place / name).is_file()), None)  # fmt: skip
    if articles is None:
        names = ("passages.jsonl", "passages.csv", "passages.parquet", "articles.jsonl", "Wiki6M_ver_1_0.jsonl")
        rows, path = rows_of(place, *names, what="InfoSeek's corpus")
        checked_ids(rows)
        return rows, path, {}
    pictures = (place / "wikipedia_images_full").is_dir()
    pool = ArticlePool(partial(_articles, articles, place if pictures else None), words)
    sections = pool.sections_of(wanted)
    return pool, articles, {key: dict.fromkeys(passages, 1) for key, passages in sections.items()}


def _articles(path: Path, pictures: Path | None) -> Iterator[Article]:
    for where, record in read_jsonl(path):
        key = id_of(record.get("wikidata_id"), where, "wikidata_id")
        title = text_of(record.get("wikipedia_title"), where, "wikipedia_title") or key
        names = ("wikipedia_content", "wikipedia_summary")
        body = next((text for name in names if (text := text_of(record.get(name), where, name, MAX_LINE))), "")
        yield Article(key, where, title, [("", body)], None if pictures is None else _image(pictures, key, where))


def _image(place: Path, key: str, where: str) -> ImageRef | None:
    """The article's picture where there is one; many have none, so that none is missing."""
    found = picture(place, f"wikipedia_images_full/{key[:4]}/{key}.jpg", where)
    return found if found.path is not None and Path(found.path).exists() else None


# -- questions ----------------------------------------------------------------------------------------------------


def _by_id(path: Path) -> Rows:
    """The records of a file by data_id; none where there is no file."""
    return {_id(record, where): record for where, record in read_jsonl(path)} if path.is_file() else {}


def _id(record: Mapping[str, Any], where: str) -> str:
    return id_of(record.get("data_id"), where, "data_id")


@dataclass(frozen=True)
class _Questions:
    """What makes a line a topic: the kinds of question, and the passages that are relevant, both by data_id."""

    place: Path
    split: str
    kinds: Rows
    relevant: Mapping[str, Mapping[str, int]]

    def topic(self, record: Mapping[str, Any], where: str, instruction: str) -> Topic:
        name = _id(record, where)
        text = text_of(record.get("question"), where, "question")
        if text is None:
            raise RecordError(f"{where}: question is empty")
        part = text_of(record.get("data_split"), where, "data_split") or ""
        shown = _shown(self.place, id_of(record.get("image_id"), where, "image_id"), where)
        return Topic(
            name,
            Query(text, (shown,), instruction or None),
            self.relevant.get(name, {}),
            group=part.removeprefix(f"{self.split}_"),
            expected=_expected(record, self._kind(name, where), where),
        )

    def _kind(self, name: str, where: str) -> str | None:
        if not self.kinds:
            return None
        kind = text_of(self.kinds.get(name, {}).get("question_type"), where, "question_type")
        if kind is None:
            raise RecordError(f"{where}: the file of question types says nothing of {name}; take both from one release")
        return kind


def _shown(place: Path, image: str, where: str) -> ImageRef:
    """OVEN's picture, in the shard that its number names or beside the others."""
    names = [f"oven_images/{folder}{image}{ending}"
             for folder in (f"{image[-8:-6]}/", "") for ending in (".jpg", ".JPEG")]  # fmt: skip
    found = [picture(place, name, where) for name in names]
    return next((one for one in found if one.path is not None and Path(one.path).exists()), found[0])


def _expected(record: Mapping[str, Any], kind: str | None, where: str) -> Expected:
    """The official preparation: of a number the range in `answer_eval`, of anything else all that stands there.

    Sought is `answer` alone: an alias such as `ES` stands in nearly every passage.
    """
    accepted: tuple[str, ...] = ()
    span = None
    marks = _listed(record.get("answer_eval"), where, "answer_eval")
    if any(isinstance(one, Mapping) for one in marks) if kind is None else kind.lower() == "numerical":
        span = _span(marks, where)
    else:
        accepted = _words(marks, where, "answer_eval")
    sought = dict.fromkeys(
        one.lower() for one in _words(_listed(record.get("answer"), where, "answer"), where, "answer")
    )
    return Expected("infoseek", accepted, tuple(sought), kind or ("String" if span is None else "Numerical"), span)


def _listed(value: Any, where: str, name: str) -> list[Any]:
    return [value] if isinstance(value, str | Mapping) else list_of(value, where, name)


def _words(values: list[Any], where: str, name: str) -> tuple[str, ...]:
    made: Callable[[Any], Any] = lambda one: str(one) if isinstance(one, int | float) else one  # noqa: E731
    return tuple(text for one in values if (text := text_of(made(one), where, f"an entry of {name}")))


def _span(marks: list[Any], where: str) -> tuple[float, float] | None:
    if not marks:
        return None
    ends = list_of(object_of(marks[0], where, "answer_eval").get("range"), where, "range")
    if len(ends) < 2 or any(isinstance(end, bool) or not isinstance(end, int | float | str) for end in ends[:2]):
        raise RecordError(f"{where}: the range of a numerical answer is {str(ends)[:60]}; it must be [low, high]")
    try:
        low, high = (float(end) for end in ends[:2])
    except (ValueError, OverflowError) as fault:
        raise RecordError(f"{where}: the range of a numerical answer is no number: {str(fault)[:80]}") from fault
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RecordError(f"{where}: the range of a numerical answer is not finite")
    return low, high

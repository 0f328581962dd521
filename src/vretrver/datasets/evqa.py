"""Encyclopedic-VQA: questions about species and landmarks that pictures show (Mensink et al., ICCV 2023).

    {train,val,test}.csv                      question, answer, dataset_name, dataset_image_ids, question_type, ...
    encyclopedic_kb_wiki.json                 two million articles by URL: title, section_titles, section_texts
    inat/val/05736_.../....jpg                iNaturalist 2021, and inat/val.json or inat/val_id2name.json for the names
    google-landmark/train/a/b/c/abc....jpg    Google Landmarks v2

Answers that are as good as one another are separated by `|`, those of a list by `&&`. Articles are cut at their
sections and those into passages of 100 words. A passage of the question's article is relevant (1), one of the section
that holds the evidence more so (2). `passages.jsonl`, .csv or .parquet stand in the articles' place, without labels.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vretrver.datasets import Card, Expected, Pool, Task, Topic
from vretrver.datasets.passages import WORDS, Article, ArticlePool, checked_ids, read_csv, rows_of
from vretrver.datasets.records import (
    MAX_LINE,
    chosen,
    first_of,
    folder,
    id_of,
    list_of,
    object_of,
    picture,
    read_json,
    read_members,
    text_of,
)
from vretrver.errors import RecordError
from vretrver.types import ImageRef, Query

INSTRUCTION = "Find a passage that answers the question about what the picture shows."
KINDS = ("templated", "automatic", "multi_answer", "2_hop")
MEASURES = ("pr@5", "hit@1", "hit@5", "hit@10", "ndcg@10", "mrr@10", "pr@1", "pr@10")
CARD = Card(
    title="Encyclopedic-VQA",
    source="https://github.com/google-research/google-research/tree/master/encyclopedic_vqa",
    licence="not confirmed here; iNaturalist's and Google Landmarks' pictures keep theirs; Wikipedia's texts: CC BY-SA",
    metric="BEM, a BERT model in TensorFlow, after exact match; here exact match alone (IoU >= 0.5 of lists). "
    "PR@5: a passage that contains an answer is among the first five",
    notes="Accuracy is a lower bound of the published one: BEM may only add to what matches exactly, and the answers "
    "for it are in the run folder. A question with several pictures is asked once with each, as published. hit@k "
    "counts any passage of the right article. EchoSight and others leave two-hop questions out and ask "
    "with one picture.",
)


def load(
    root: str | os.PathLike[str],
    split: str = "test",
    *,
    pictures: Literal["all", "first"] = "all",
    words: int = WORDS,
    instruction: str = INSTRUCTION,
) -> Task:
    """One part of Encyclopedic-VQA, grouped by whether the article occurs in training.

    Args:
        root: the folder that holds the files above.
        split: `test`, `val` or `train`.
        pictures: a topic for each picture of a question, or for its first alone.
        words: of a passage.
        instruction: what every query asks for, apart from its question; "" for nothing.

    Raises:
        InvalidInput: another split or choice of pictures, or words below 1.
        MissingPath, RecordError: a file is missing or does not parse.
    """
    place = folder(root)
    chosen(split, ("test", "val", "train"), "split")
    chosen(pictures, ("all", "first"), "choice of pictures")
    path = first_of(place / f"{split}.csv", what="Encyclopedic-VQA's questions")
    rows = list(read_csv(path))
    wanted = {url for _where, row in rows for url in _parts(row, "wikipedia_url")}
    pool, corpus, sections = _corpus(place, words, wanted)
    names = _Names(place, split)
    topics: list[Topic] = []
    for at, (where, row) in enumerate(rows):
        shown = _shown(place, row, names, where)[: 1 if pictures == "first" else None]
        topics += _topics(f"{split}-{at}", row, where, _asked(row, where, shown, instruction), sections)
    if not topics:
        raise RecordError(f"{path} holds no question")
    facts: dict[str, Any] = {
        "instruction": instruction,
        "corpus": corpus.name,
        "passage words": words if isinstance(pool, ArticlePool) else None,
        "pictures": pictures,
        "questions without their article": sum(not topic.relevant for topic in topics),
    }
    return Task(f"evqa/{split}", split, tuple(topics), pool, MEASURES, CARD, place, facts=facts)


# -- passages -----------------------------------------------------------------------------------------------------


def _corpus(place: Path, words: int, wanted: Collection[str]) -> tuple[Pool, Path, dict[str, dict[str, int]]]:
    """The pool, its file, and by article's URL its passages with their sections."""
    path = place / "encyclopedic_kb_wiki.json"
    if not path.is_file():
        names = ("passages.jsonl", "passages.csv", "passages.parquet", path.name)
        rows, found = rows_of(place, *names, what="Encyclopedic-VQA's knowledge base")
        checked_ids(rows)
        return rows, found, {}
    pool = ArticlePool(partial(_articles, path), words)
    return pool, path, pool.sections_of(wanted)


def _articles(path: Path) -> Iterator[Article]:
    for where, key, record in read_members(path):
        url = id_of(key, where, "the URL")
        title = text_of(record.get("title"), where, "title") or url
        headings = list_of(record.get("section_titles"), where, "section_titles")
        texts = list_of(record.get("section_texts"), where, "section_texts")
        if len(headings) != len(texts):
            raise RecordError(f"{where}: {len(headings)} section_titles and {len(texts)} section_texts")
        sections = [
            (text_of(heading, where, "a section's title") or "", text_of(text, where, "a section", MAX_LINE) or "")
            for heading, text in zip(headings, texts, strict=True)
        ]
        yield Article(url, where, title, sections)


# -- questions ----------------------------------------------------------------------------------------------------


def _topics(
    name: str, row: Mapping[str, str], where: str, queries: list[Query], sections: Mapping[str, Mapping[str, int]]
) -> list[Topic]:
    """A topic for each picture."""
    seen = (row.get("wikipedia_url_used_in_train") or "").strip().lower()
    group = {"true": "article in training", "false": "article unseen in training"}.get(seen, "")
    relevant, expected = _relevant(row, sections), _expected(row, where)
    return [Topic(f"{name}-{at}", query, relevant, group=group, expected=expected) for at, query in enumerate(queries)]


def _asked(row: Mapping[str, str], where: str, shown: list[ImageRef], instruction: str) -> list[Query]:
    text = text_of(row.get("question"), where, "question")
    if text is None:
        raise RecordError(f"{where}: question is empty")
    return [Query(text, (image,), instruction or None) for image in shown]


def _expected(row: Mapping[str, str], where: str) -> Expected:
    kind = _kind(row.get("question_type") or "", where)
    answers = _parts(row, "answer")
    if not answers:
        raise RecordError(f"{where}: answer is empty")
    sought = dict.fromkeys(one.strip().lower() for answer in answers for one in answer.split("&&") if one.strip())
    return Expected("evqa", answers, tuple(sought), kind)


def _kind(kind: str, where: str) -> str:
    """A kind of question that the marking knows.

    Raises:
        RecordError: it is none.
    """
    if kind.strip() not in KINDS:
        raise RecordError(f"{where}: question_type is {kind[:60]!r}; it must be one of {', '.join(KINDS)}")
    return kind.strip()


def _relevant(row: Mapping[str, str], sections: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Passages of the articles, those of the section with the evidence graded higher."""
    numbers = [one.strip() for one in (row.get("evidence_section_id") or "").split("|")]
    relevant: dict[str, int] = {}
    for at, url in enumerate(_parts(row, "wikipedia_url")):
        evidence = numbers[at] if at < len(numbers) else ""
        relevant |= {name: 2 if str(section) == evidence else 1 for name, section in sections.get(url, {}).items()}
    return relevant


def _parts(row: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in (row.get(name) or "").split("|") if one.strip())


# -- pictures -----------------------------------------------------------------------------------------------------


class _Names:
    """iNaturalist's files by the picture's number, read when the first one is asked for."""

    def __init__(self, place: Path, split: str) -> None:
        self._folder = place / "inat"
        self._stems = ("train", "val") if split == "train" else ("val",)
        self._names: dict[str, str] | None = None

    def of(self, number: str, where: str) -> str:
        if self._names is None:
            self._names = {name: file for stem in self._stems for name, file in self._read(stem)}
        if number not in self._names:
            raise RecordError(f"{where}: iNaturalist's list of pictures has no picture {number[:60]!r}")
        return self._names[number]

    def _read(self, stem: str) -> Iterator[tuple[str, str]]:
        names = (self._folder / f"{stem}_id2name.json", self._folder / f"{stem}.json")
        path = first_of(*names, what="iNaturalist 2021's list of pictures")
        data = object_of(read_json(path), str(path), "the file")
        if path == names[0]:
            yield from ((str(name), str(file)) for name, file in data.items())
            return
        for at, entry in enumerate(list_of(data.get("images"), str(path), "images")):
            where = f"{path}: image {at}"
            record = object_of(entry, where, "the entry")
            yield (
                id_of(record.get("id"), where, "id"),
                text_of(record.get("file_name"), where, "file_name") or "",
            )


def _shown(place: Path, row: Mapping[str, str], names: _Names, where: str) -> list[ImageRef]:
    source = (row.get("dataset_name") or "").strip()
    numbers = _parts(row, "dataset_image_ids")
    if not numbers:
        raise RecordError(f"{where}: dataset_image_ids is empty")
    if source == "inaturalist":
        return [picture(place, f"inat/{names.of(number, where)}", where) for number in numbers]
    if source != "landmarks":
        raise RecordError(f"{where}: dataset_name is {source[:60]!r}; it must be inaturalist or landmarks")
    if odd := next((number for number in numbers if not number.isalnum() or len(number) < 3), None):
        raise RecordError(f"{where}: {odd[:60]!r} is no picture of Google Landmarks")
    return [picture(place, f"google-landmark/train/{'/'.join(number[:3])}/{number}.jpg", where) for number in numbers]

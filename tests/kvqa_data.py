"""Three rows of each benchmark of questions, in the exact published form, with pictures painted on the spot."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

PASSAGES = [
    ("0", "Surfing is a water sport; a surfer rides a wave on a board."),
    ("1", "The harbour bus leaves at nine. Start early."),
    ("2", "Racing bicycles have narrow tyres."),
    ("3", "Leeks are grown for their stems."),
]
OKVQA = [
    (2971475, 297147, "What sport can you use this for?", "four", ["race"] * 6 + ["motocross"] * 2 + ["ride"] * 2),
    (3397315, 339731, "Which vegetable is this?", "five", ["leek"] * 10),
    (3, 3, "Where does this bus go?", "one", ["harbor"] * 8 + ["harbour"] * 2),
]
INFOSEEK: list[dict[str, Any]] = [
    {"data_id": "infoseek_val_00000000", "image_id": "oven_04925844", "question": "What is this bird called?",
     "answer": ["carrion crow"], "answer_eval": ["carrion crow", "crow", "Corvus corone"],
     "data_split": "val_unseen_entity"},
    {"data_id": "infoseek_val_00000001", "image_id": "oven_00000012", "question": "How long is this bridge?",
     "answer": ["1280.16"], "answer_eval": [{"wikidata": 1280.16, "range": [1152.144, 1408.176]}],
     "data_split": "val_unseen_question"},
    {"data_id": "infoseek_val_00000002", "image_id": "oven_00000012", "question": "When was this bridge opened?",
     "answer": ["1937"], "answer_eval": ["1937", "27 May 1937", "1936", "1938"], "data_split": "val_unseen_question"},
]  # fmt: skip
ENTITIES = [("Q25394", "carrion crow"), ("Q44440", "Golden Gate Bridge"), ("Q44440", "Golden Gate Bridge")]
KINDS = ["String", "Numerical", "Time"]
ARTICLES: list[dict[str, Any]] = [
    {"wikidata_id": "Q25394", "wikipedia_title": "Carrion crow", "wikipedia_summary": "A bird.",
     "wikipedia_content": "The carrion crow is a passerine bird . " * 30},
    {"wikidata_id": "Q44440", "wikipedia_title": "Golden Gate Bridge", "wikipedia_image_url": "https://x/y.jpg",
     "wikipedia_summary": "A bridge.", "wikipedia_content": "It opened in 1937 and its span is 1280.16 metres."},
    {"wikidata_id": "Q1", "wikipedia_title": "Universe", "wikipedia_summary": "All of space.", "wikipedia_content": ""},
]  # fmt: skip
CROW, ROSE = "https://en.wikipedia.org/wiki/Crow", "https://en.wikipedia.org/wiki/Rose"
EVQA_HEAD = (
    "question", "answer", "dataset_image_ids", "dataset_name", "dataset_category_id", "question_type", "wikipedia_url",
    "wikipedia_title", "evidence", "evidence_section_id", "evidence_section_title", "encyclopedic_vqa_split",
    "question_original", "wikipedia_url_used_in_train",
)  # fmt: skip
EVQA = [
    ("What does this bird eat?", "worms|earthworms", "2686843|2686844", "inaturalist", "5736", "templated", CROW,
     "Crow", "Crows eat worms.", "1", "Diet", "test", "What does this bird eat?", "False"),
    ("Which colours has this flower?", "red&&white&&pink", "abcdef0123456789", "landmarks", "7", "multi_answer", ROSE,
     "Rose", "", "0", "Rose", "test", "Which colours has the rose?", "True"),
    ("Who named the family of this bird?", "Carl Linnaeus", "2686844", "inaturalist", "5736", "2_hop",
     f"{CROW}|{ROSE}", "Crow|Rose", "", "0|0", "Crow|Rose", "test", "Who named it?", "False"),
]  # fmt: skip
KNOWLEDGE: dict[str, dict[str, Any]] = {
    CROW: {"title": "Crow", "section_titles": ["Crow", "Diet"],
           "section_texts": ["A crow is a bird.", "Worms, mostly."], "image_urls": [],
           "image_reference_descriptions": [], "image_section_indices": [], "url": CROW},
    ROSE: {"title": "Rose", "section_titles": ["Rose"], "section_texts": ["Roses are red, white or pink."],
           "image_urls": ["https://x/rose.jpg"], "image_reference_descriptions": [""], "image_section_indices": [0],
           "url": ROSE},
}  # fmt: skip


def okvqa(root: Path) -> Path:
    """OK-VQA's test part with Google Search's corpus."""
    shared = {"info": {}, "license": {}, "data_subtype": "val2014", "data_type": "mscoco"}
    questions = [{"image_id": image, "question": text, "question_id": name} for name, image, text, _k, _a in OKVQA]
    annotations = [
        {
            "image_id": image, "answer_type": "other", "question_type": kind, "question_id": name, "confidence": 3,
            "answers": [{"answer_id": at, "raw_answer": said, "answer_confidence": "yes", "answer": said}
                        for at, said in enumerate(answers, start=1)],
        }
        for name, image, _text, kind, answers in OKVQA
    ]  # fmt: skip
    types = {"one": "Vehicles and Transportation", "four": "Sports and Recreation", "five": "Cooking and Food"}
    put(root / "OpenEnded_mscoco_val2014_questions.json",
        shared | {"task_type": "Open-Ended", "questions": questions})  # fmt: skip
    put(root / "mscoco_val2014_annotations.json", shared | {"annotations": annotations, "question_types": types})
    put_csv(root / "okvqa_full_corpus.csv", ("kid", "text"), PASSAGES)
    for _name, image, *_rest in OKVQA:
        paint(root / f"val2014/COCO_val2014_{image:012d}.jpg")
    return root


def infoseek(root: Path, split: str = "val") -> Path:
    """InfoSeek's validation part, one article with its picture."""
    put_lines(root / f"infoseek_{split}.jsonl", INFOSEEK)
    both = list(zip(INFOSEEK, ENTITIES, KINDS, strict=True))
    put_lines(
        root / f"infoseek_{split}_withkb.jsonl",
        [{"data_id": one["data_id"], "entity_id": key, "entity_text": name} for one, (key, name), _kind in both],
    )
    put_lines(root / f"infoseek_{split}_qtype.jsonl",
              [{"data_id": one["data_id"], "question_type": kind} for one, _entity, kind in both])  # fmt: skip
    put_lines(root / "Wiki6M_ver_1_0.jsonl", ARTICLES)
    paint(root / "oven_images/04/oven_04925844.jpg")
    paint(root / "oven_images/oven_00000012.JPEG")
    paint(root / "wikipedia_images_full/Q444/Q44440.jpg")
    return root


def evqa(root: Path) -> Path:
    """Encyclopedic-VQA's test part."""
    put_csv(root / "test.csv", EVQA_HEAD, EVQA)
    put(root / "encyclopedic_kb_wiki.json", KNOWLEDGE)
    names = {2686843: "val/05736_Corvus/a.jpg", 2686844: "val/05736_Corvus/b.jpg"}
    put(root / "inat/val.json", {"images": [{"id": key, "file_name": name} for key, name in names.items()]})
    for name in names.values():
        paint(root / "inat" / name)
    paint(root / "google-landmark/train/a/b/c/abcdef0123456789.jpg")
    return root


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def put_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def put_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


def paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), f"hsl({sum(path.name.encode()) % 360}, 80%, 50%)").save(path)

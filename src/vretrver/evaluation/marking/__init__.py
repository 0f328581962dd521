"""Whether an answer is right, by each benchmark's own rule, and whether a passage contains an answer.

    vqa        VQA's soft accuracy over ten annotators, with its normalisation (Antol et al., ICCV 2015; OK-VQA)
    infoseek   exact match of strings and times, relaxed match of numbers (Chen et al., EMNLP 2023)
    evqa       exact match, and of lists an overlap (Mensink et al., ICCV 2023), without BEM's second chance
    exact      of one's own questions: exact match as of InfoSeek's strings
    contains   PR@k's pseudo-relevance

Answers are what a model wrote: at most `MAX_ANSWER` characters of one are read, by scans that are linear in them.
"""

from __future__ import annotations

from vretrver.datasets import Expected
from vretrver.evaluation.marking import evqa, infoseek, vqa

MAX_ANSWER = 1000


def mark(answer: str, expected: Expected) -> float | None:
    """How right an answer is, 0..1; 0 for one that is empty, None where the right ones are not public.

    Args:
        answer: without marks of citations.
    """
    if not expected.known:
        return None
    said = answer[:MAX_ANSWER]
    if not said.strip():
        return 0.0
    match expected.rule:
        case "vqa":
            return vqa.accuracy(vqa.submitted(said), expected.accepted)
        case "infoseek" if expected.span is not None:
            return infoseek.number_accuracy(said, expected.span)
        case "infoseek" | "exact":
            return infoseek.text_accuracy(said, expected.accepted)
        case "evqa":
            return evqa.accuracy(said, expected.accepted, listed=expected.kind == "multi_answer")

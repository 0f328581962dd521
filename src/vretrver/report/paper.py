"""The paper's own figures, for reading beside ours. They were measured with another model, on other hardware.

Source of all: "V-Retrver: Evidence-Driven Agentic Reasoning for Universal Multimodal Retrieval", arXiv 2602.06034, as
its tables report them, in percent. Nothing here is a target that a test holds.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "V-Retrver paper, arXiv 2602.06034"
SETTING = (
    "The paper reranks with a fine-tuned 7B multimodal model, 50 candidates on M-BEIR and 10 on unseen sets, over the "
    "full local pools. R@5, but R@10 on Fashion200K and FashionIQ (*). "
    "Embedders, agents and often pools differ here: the figures give a scale, not a contest."
)

# The 16 cells of M-BEIR as UniIR names its files; other sets in M-BEIR's layout are not part of its average.
CELLS = (
    "visualnews_task0", "mscoco_task0", "fashion200k_task0", "webqa_task1", "edis_task2", "webqa_task2",
    "visualnews_task3", "mscoco_task3", "fashion200k_task3", "nights_task4", "oven_task6", "infoseek_task6",
    "fashioniq_task7", "cirr_task7", "oven_task8", "infoseek_task8",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the paper.

    Args:
        system: whose. what: on what, in words. measure: as the paper names it. percent: the figure.
        prefix: tasks it stands beside start with this; "" when there is none.
    """

    system: str
    what: str
    measure: str
    percent: float
    prefix: str = ""


_AVERAGE = "M-BEIR, local pools, average of 16 cells"
ABLATED = "Average of MSCOCO t→i, Fashion200K i→t, CIRR and OVEN, R@5 (R@10 on Fashion200K)"
_RECALL = "R@5, or R@10 *"

FIGURES = (
    Figure("V-Retrver-7B", _AVERAGE, _RECALL, 69.7, "mbeir/"),
    Figure("U-MARVEL", _AVERAGE, _RECALL, 64.8),
    Figure("LamRA", _AVERAGE, _RECALL, 63.7),
    Figure("Qwen2.5-VL-7B", _AVERAGE, _RECALL, 46.7),
    Figure("V-Retrver-7B", "CIRCO, unseen in training", "mAP@5", 48.2, "circo"),
    Figure("V-Retrver-7B", "GeneCIS, unseen in training", "R@1", 30.7, "genecis"),
    Figure("V-Retrver-7B", "VisDial, unseen in training", "R@1", 75.1, "visdial"),
    Figure("V-Retrver-7B", "VIST, unseen in training", "R@1", 31.2, "vist"),
    Figure("V-Retrver-7B", "Multi-turn FashionIQ, unseen in training", "R@5", 68.3, "mtfiq"),
    Figure("V-Retrver-7B", "held-out tasks, average", "average", 61.1),
    Figure("LamRA", "held-out tasks, average", "average", 50.9),
)
ABLATION = (
    Figure("base model", ABLATED, _RECALL, 47.2),
    Figure("tools without training", ABLATED, _RECALL, 45.8),
    Figure("SFT", ABLATED, _RECALL, 59.4),
    Figure("SFT + RSFT", ABLATED, _RECALL, 60.9),
    Figure("text-only RL (tools off)", ABLATED, _RECALL, 61.8),
    Figure("SFT + RL", ABLATED, _RECALL, 66.3),
    Figure("full: SFT + RSFT + RL", ABLATED, _RECALL, 67.2),
)


def beside(task: str) -> Figure | None:
    """The figure that stands beside a task, such as `circo` or `mbeir/cirr_task7`; None when the paper has none."""
    name, _, cell = task.partition("/")
    if name == "mbeir":
        return FIGURES[0] if cell in CELLS else None
    return next((figure for figure in FIGURES if figure.prefix and figure.prefix == name), None)

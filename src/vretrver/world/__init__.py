"""The small-detail world: a generated benchmark, exact truth included, whose deciding detail no thumbnail shows.

    for index in range(1000):
        one = group(seed=7, split="train", index=index)      # words and scenes, no pixels
        pictures = [draw(scene) for scene in one.candidates if isinstance(scene, Scene)]

`generate` writes such groups as files with their truth, `truth` and `topics` read them back; `vretrver.datasets.world`
makes a task of them. Scenes are composed of icons that the extra `[world]` brings; nothing is downloaded. docs/world.md
measures the difficulty.
"""

from vretrver.world.drawing import draw
from vretrver.world.facts import Truth
from vretrver.world.files import generate, topics, truth
from vretrver.world.groups import MAX_DISTRACTORS, MODALITIES, Group, group
from vretrver.world.icons import SPLITS
from vretrver.world.scenes import KINDS, Layout, Scene, Tag, layout
from vretrver.world.wording import description

__all__ = [
    "KINDS",
    "MAX_DISTRACTORS",
    "MODALITIES",
    "SPLITS",
    "Group",
    "Layout",
    "Scene",
    "Tag",
    "Truth",
    "description",
    "draw",
    "generate",
    "group",
    "layout",
    "topics",
    "truth",
]

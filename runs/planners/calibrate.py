"""Where `topics.SLOPE` and `OFFSET` come from: the scale on which the product's chances are right for this first stage.

    python -m runs.planners.calibrate

`fusion.confidences` was fitted on real searches; a simulated first stage has to put its scores on that scale, or the
gate and the adaptive planner would go by nonsense. A grid of log loss over topics that no measurement uses.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from runs.planners import topics

from vretrver.fusion import confidences
from vretrver.types import Document

FROM, COUNT = 1_000_000, 300


def main() -> None:
    found = [topics.topic(FROM + index) for index in range(COUNT)]
    grid = product(np.arange(0.5, 3.01, 0.25), np.arange(2.0, 10.01, 0.5))
    losses = {(float(slope), float(offset)): loss(found, float(slope), float(offset)) for slope, offset in grid}
    slope, offset = min(losses, key=lambda pair: losses[pair])
    print(f"slope {slope}, offset {offset}: log loss {losses[slope, offset]:.3f} a topic")
    print(f"in use {topics.SLOPE}, {topics.OFFSET}: {loss(found, topics.SLOPE, topics.OFFSET):.3f}")


def loss(found: list[topics.Topic], slope: float, offset: float) -> float:
    """Mean over topics of the summed log loss of their candidates' chances."""
    total = 0.0
    for one in found:
        for number, chance in zip(one.order, chances(one, slope, offset), strict=True):
            total -= math.log(chance if number in one.relevant else 1 - chance)
    return total / len(found)


def chances(one: topics.Topic, slope: float = topics.SLOPE, offset: float = topics.OFFSET) -> list[float]:
    """The product's chances of a topic's candidates, best first, its scores put on another scale."""
    scores = [slope * (score - topics.OFFSET) / topics.SLOPE + offset for score in one.coarse]
    placed = topics.candidates(topics.Topic(one.index, one.hidden, tuple(scores), one.relevant), DOCUMENTS)
    return confidences(placed, "text")


DOCUMENTS = [Document(str(number), topics.passage(number)) for number in range(topics.K)]


if __name__ == "__main__":
    main()

"""The chances that `adaptive` plans with and the gate goes by, fitted for this first stage on topics of no measurement.

As a user would with judged answers of their own: the product's own model and its own fit.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from runs.planners.topics import topic

from vretrver.calibration import Calibration, packaged
from vretrver.calibration.logistic import fit
from vretrver.calibration.signals import of_scores

FROM, COUNT = 1_000_000, 500


@cache
def fitted() -> Calibration:
    found = [topic(FROM + index) for index in range(COUNT)]
    signals = [of_scores(np.array([one.coarse[number] for number in one.order])) for one in found]
    right = [number in one.relevant for one in found for number in one.order]
    rows = {name: np.concatenate([one[name] for one in signals]) for name in signals[0]}
    return Calibration({"*": fit(rows, right)}, packaged().result, packaged().no_match_below, fused=False)

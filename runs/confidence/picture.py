"""The reliability picture of docs/confidence.md: what rank 1 says against how often it is right, on half 1.

python -m runs.confidence.picture --work FOLDER -o docs/confidence.png     # needs the extra [train]: matplotlib
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from runs.confidence.simulate import Rows, load

from vretrver.calibration import packaged
from vretrver.evaluation.statistics import calibration, interval

INK, QUIET = "#1f2430", "#9aa3b2"
COLOURS = ("#b4532a", "#2a6fb4")


def main() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    rows = load(options.work / "rows.npz")
    rows = rows.kept((rows.half == 1) & rows.first & ~rows.absent.astype(bool) & rows.known.astype(bool))
    plt.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": QUIET})
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True, layout="constrained")
    _draw(axes[0], "By looks", {"one look": rows.looks == 1, "two looks": rows.looks == 2}, rows)
    weak, strong = rows.skill < 2, rows.skill >= 4
    _draw(axes[1], "By the agent's skill, which nobody tells it", {"weak": weak, "strong": strong}, rows)
    axes[0].set_ylabel("rank 1 is right")
    figure.savefig(options.output, dpi=110)


def _draw(axis: Any, title: str, groups: dict[str, np.ndarray], rows: Rows) -> None:
    axis.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
    for (name, mask), colour in zip(groups.items(), COLOURS, strict=True):
        some = rows.kept(mask)
        sure, right = packaged().result.chances(some.signals), some.right.astype(float)
        found = calibration(sure, right)
        bins = [one for one in found["bins"] if one["n"] >= 15]
        ends = [_ends(sure, right, one) for one in bins]
        x, y = [one["confidence"] for one in bins], [one["right"] for one in bins]
        low, high = (
            [a - b for a, (b, _c) in zip(y, ends, strict=True)],
            [c - a for a, (_b, c) in zip(y, ends, strict=True)],
        )
        label = f"{name}: {len(right):,} rankings, ECE {found['ece']:.3f}"
        axis.errorbar(
            x, y, yerr=[low, high], color=colour, marker="o", markersize=4, linewidth=1.5, capsize=2, label=label
        )
    axis.set(title=title, xlabel="confidence of rank 1", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.legend(loc="upper left", frameon=False, fontsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _ends(sure: np.ndarray, right: np.ndarray, one: dict[str, Any]) -> tuple[float, float]:
    return interval(right[(sure >= one["low"]) & ((sure < one["high"]) | (one["high"] == 1))], resamples=1000)


if __name__ == "__main__":
    main()

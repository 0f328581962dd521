"""The picture: quality against the prompt tokens that had to be computed, one panel a track."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

OURS, THEIRS, PAPER = "#1a6e4c", "#7a4fa3", "#b5532a"


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Write a PNG; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(13, 5.2), sharey=True)
    for panel, track in zip(panels, ("text", "image"), strict=True):
        _panel(panel, {key: one for key, one in found.items() if one["track"] == track}, track)
    panels[0].set_ylabel("R@5, 95 % interval")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(panel: Any, found: Mapping[str, Any], track: str) -> None:
    for key, one in found.items():
        colour = PAPER if key.startswith("paper") else OURS if one["name"].startswith("ours") else THEIRS
        mean, (low, high) = one["R@5"]["mean"], one["R@5"]["interval"]
        error = [[mean - low], [high - mean]]
        panel.errorbar(one["uncached"], mean, yerr=error, fmt="o", color=colour, capsize=2, lw=1, alpha=0.8)
        panel.annotate(
            key.removesuffix("/text"), (one["uncached"], mean), xytext=(5, 4), textcoords="offset points", fontsize=7.5,
            color=colour,
        )  # fmt: skip
    panel.set_xscale("log")
    panel.set_xlabel("uncached prompt tokens a query")
    panel.set_title(f"{track} track", fontsize=10)
    panel.grid(alpha=0.25, which="both")

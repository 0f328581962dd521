"""The picture: quality against the prompt tokens that had to be computed, one panel a track."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OURS, THEIRS, PAPER = "#1a6e4c", "#7a4fa3", "#b5532a"


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Write a PNG; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(14, 5), sharey=True)
    for panel, track in zip(panels, ("text", "image"), strict=True):
        if shown := {key: one for key, one in found.items() if one["track"] == track}:
            _panel(panel, shown, track)
    panels[0].set_ylabel("R@5, 95 % interval")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(panel: Any, found: Mapping[str, Any], track: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    named: dict[tuple[int, int], list[int]] = {}
    for number, (key, one) in enumerate(found.items(), start=1):
        mean, (low, high) = one["R@5"]["mean"], one["R@5"]["interval"]
        error = [[mean - low], [high - mean]]
        panel.errorbar(one["uncached"], mean, yerr=error, fmt="o", color=_colour(key, one), capsize=2, lw=1, alpha=0.8)
        named.setdefault((round(40 * math.log10(one["uncached"])), round(mean * 100)), []).append(number)
        words = f"{number}  {key.removesuffix('/text')}"
        panel.text(1.02, 0.97 - 0.058 * number, words, transform=panel.transAxes, fontsize=8, color=_colour(key, one))
    shown = list(found.values())
    for numbers in named.values():
        one = shown[numbers[0] - 1]
        panel.annotate(
            ", ".join(map(str, numbers)), (one["uncached"], one["R@5"]["mean"]), xytext=(5, 4),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    panel.set_xscale("log")
    panel.set_xlim(panel.get_xlim()[0], panel.get_xlim()[1] * 1.12)  # room for the last numbers
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value / 1000:g}k"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("uncached prompt tokens a query")
    panel.set_title(f"{track} track, {next(iter(found.values()))['topics']} topics", fontsize=10)
    panel.grid(alpha=0.25, which="both")


def _colour(key: str, one: Mapping[str, Any]) -> str:
    return PAPER if key.startswith("paper") else OURS if one["name"].startswith("ours") else THEIRS

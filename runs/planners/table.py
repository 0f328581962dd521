"""Results as a Markdown table, and the issue's targets beside what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = (
    "contender", "topics", "calls", "rounds", "prompt", "cached", "uncached", "image", "output", "p50 s", "p95 s",
    "CPU ms", "hit@1", "hit@5", "hit@10", "R@5 [95 %]",
)  # fmt: skip


def table(found: Mapping[str, Any], track: str) -> str:
    """One line a contender of a track: means a query, simulated seconds, and the client's CPU a call (median)."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|" + "---:|" * (len(HEAD) - 1)]
    for key, one in found.items():
        if one["track"] == track:
            lines.append("| " + " | ".join(cells(key, one)) + " |")
    return "\n".join(lines)


def cells(key: str, one: Mapping[str, Any]) -> list[str]:
    low, high = one["R@5"]["interval"]
    tokens = [f"{one[name]:,.0f}" for name in ("prompt", "cached", "uncached", "image", "completion")]
    return [
        f"`{key.removesuffix('/text')}` {one['name']}, {one['setting']}",
        str(one["topics"]),
        f"{one['calls']:.2f}".removesuffix(".00"),
        f"{one['rounds']:.2f}".removesuffix(".00"),
        *tokens,
        f"{one['p50']:.2f}",
        f"{one['p95']:.2f}",
        f"{one['cpu_ms']:.2f}",
        *(f"{one[name]['mean']:.3f}" for name in ("hit@1", "hit@5", "hit@10")),
        f"{one['R@5']['mean']:.3f} [{low:.3f}, {high:.3f}]",
    ]


def targets(found: Mapping[str, Any], differences: Mapping[str, Any]) -> list[str]:
    """Each target of the issue with what was found; those whose contenders did not run are left out."""
    lines = []
    for key, change in differences.items():
        low, high = change["interval"]
        costs = ", ".join(f"{name} x{change[name]:.2f}" for name in ("calls", "rounds", "uncached", "seconds"))
        lines.append(f"{key}, {change['topics']} topics: R@5 {change['R@5']:+.3f} [{low:+.3f}, {high:+.3f}], {costs}")
    for before, factor in (("paper/2/uncached", 10), ("paper/0", 3)):
        for key, one in found.items():
            if before in found and one["track"] == "image" and not key.startswith("paper"):
                times = found[before]["uncached"] / one["uncached"]
                verdict = "met" if times >= factor else "missed"
                lines.append(f"uncached prefill, {before} over {key}: x{times:.1f} (at least x{factor}: {verdict})")
    return lines

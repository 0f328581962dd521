"""Numbers and sentences as people read them: in a terminal, in tables, at the head of a report."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

from vretrver.report.run_folder import RunFolder, mapping, number

DASH = "–"
QUERIES = {"text": "a text query", "image": "a picture", "image,text": "a picture with text"}


def plain(text: str, limit: int = 120) -> str:
    """One line without control characters, bounded: what a terminal can be given."""
    kept = "".join(" " if unicodedata.category(char).startswith(("C", "Z")) else char for char in text[: 4 * limit])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def value(given: float | None) -> str:
    """A measure of 0..1 as tables print it: .438."""
    return DASH if given is None else f"{given:.3f}".replace("0.", ".", 1) if given < 1 else f"{given:.3f}"


def percent(given: float | None, digits: int = 1) -> str:
    return DASH if given is None else f"{100 * given:.{digits}f} %"


def difference(given: float | None) -> str:
    """A signed difference of measures in points: +1.3."""
    if given is None:
        return DASH
    return f"{100 * given:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "\N{MINUS SIGN}")


def p_value(given: float | None) -> str:
    if given is None:
        return DASH
    if given >= 0.9995:
        return "1"
    return "< .001" if given < 0.001 else f"{given:.3f}".replace("0.", ".", 1)


def amount(given: float | None) -> str:
    """A count or time per query, as few digits as tell it."""
    if given is None:
        return DASH
    if given == int(given) or given >= 1000:
        return f"{given:,.0f}"
    return f"{given:.1f}" if given >= 100 else f"{given:.2f}" if given >= 0.095 else f"{given:.3f}"


def money(given: float | None) -> str:
    """A sum of money, three digits wherever they begin: one answer may cost a hundredth of a cent."""
    if given is None:
        return DASH
    return f"{given:,.2f}" if given >= 1 or given == 0 else f"{given:.{2 - math.floor(math.log10(given))}f}"


def setting(given: Any) -> str:
    """A configuration's value as a table shows it."""
    if isinstance(given, list):
        return ", ".join(map(str, given)) or "none"
    if given is None:
        return "none"
    text = str(given)
    return text if len(text) <= 80 else text[:79] + "…"


def opening(run: RunFolder) -> str:
    """One sentence or two that say what was asked and what came of it, for someone who has never seen a report."""
    n, known = number(run.metrics.get("n")) or 0, number(run.metrics.get("n_judged"))
    part = f" ({known:,.0f} of them with a known answer)" if known and known < n else ""
    asked = f"{n:,.0f} queries{part}, each {_asked_with(run)}{_pool(run)}."
    if not run.judged:
        return f"{asked} The right answers are not public, so nothing could be measured here."
    before, after = run.value("coarse", "hit@1"), run.value("reranked", "hit@1")
    right = "A right passage" if mapping(run.metrics, "pseudo") else "The right answer"
    right = "A passage with an answer" if "relevant" in run.metrics else right
    if not _reranked(run):
        return f"{asked} {right} came first for {percent(before)}. No agent looked at anything.{_answers(run)}"
    done = "looking" if number(mapping(run.metrics, "looking").get("looked")) else "reranking without a look"
    said = f"{right} came first for {percent(before)} before {done} and for {percent(after)} after"
    ends = run.interval("difference", "hit@1")
    if ends and before is not None and after is not None:
        within = f"95 % interval {difference(ends[0])} to {difference(ends[1])}"
        said += f" (a change of {difference(after - before)} points, {within})"
    won, lost = (int(number(run.metrics.get(kind)) or 0) for kind in ("wins", "losses"))
    return f"{asked} {said}: {won:,} won, {lost:,} lost, {_verdict(ends)}.{_answers(run)}"


def overview(runs: Sequence[RunFolder]) -> str:
    """The runs in a few lines each, for a terminal."""
    return typed("\n".join(f"{plain(run.name)} ({plain(run.task)}): {opening(run)}" for run in runs))


def typed(text: str) -> str:
    """Minus signs and dashes as a keyboard has them: a terminal may know no others."""
    return text.replace("\N{MINUS SIGN}", "-").replace(DASH, "-")


def _answers(run: RunFolder) -> str:
    """A sentence about the answers of a run that gave any."""
    told = mapping(run.metrics, "answers")
    accuracy, grounded = number(told.get("accuracy")), number(told.get("grounded"))
    if accuracy is None:
        return ""
    ends = ends_of(mapping(told, "interval").get("accuracy"))
    within = f" (95 % interval {percent(ends[0])} to {percent(ends[1])})" if ends else ""
    borne_out = f"{percent(grounded)} right and borne out by a cited source"
    return f" Accuracy of the answers: {percent(accuracy)}{within}, {borne_out}."


def ends_of(given: Any) -> tuple[float, float] | None:
    """An interval as metrics.json has it; None for anything else."""
    ends = [number(end) for end in given] if isinstance(given, list) and len(given) == 2 else [None, None]
    low, high = ends
    return None if low is None or high is None else (low, high)


def _asked_with(run: RunFolder) -> str:
    kinds = {outcome.modality for outcome in run.outcomes}
    return QUERIES.get(kinds.pop(), "a query") if len(kinds) == 1 else "text or pictures"


def _pool(run: RunFolder) -> str:
    if run.config.get("galleries"):
        return ", each with candidates of its own"
    pool = number(run.config.get("n_pool"))
    return f", over {pool:,.0f} items" if pool else ""


def _reranked(run: RunFolder) -> bool:
    calls = number(mapping(run.metrics, "usage", "policy_calls").get("total"))
    return bool(calls) or any(outcome.order != outcome.coarse for outcome in run.outcomes)


def _verdict(ends: tuple[float, float] | None) -> str:
    if ends is None or ends[0] <= 0 <= ends[1]:
        return "which chance alone could explain"
    return "more than chance explains" if ends[0] > 0 else "so reranking made it worse, beyond chance"

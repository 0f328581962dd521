"""The report's part about questions: passages that contain an answer, how right the answers are, by part and kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vretrver.report.markup import Child, Html, h
from vretrver.report.run_folder import RunFolder, mapping, number
from vretrver.report.tables import table
from vretrver.report.words import DASH, amount, difference, ends_of, money, value

_LEAD = (
    "A passage counts as found when it contains an answer. An answer is marked by its benchmark's own rule; it is "
    "grounded where a source that it cites contains a right answer."
)
_SHARES = ("answered", "cited", "no_answer")


def answers(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html | None:
    """Tables of the runs that asked questions; None when none did."""
    looked = [run for run in runs if mapping(run.metrics, "pseudo")]
    told = [run for run in runs if mapping(run.metrics, "answers")]
    if not looked and not told:
        return None
    parts = [drawn for run in runs if (drawn := _by_part(run, names[run])) is not None]
    return h("div", {}, h("p", {"class": "lead"}, _LEAD), _found(looked, names), _given(told, names), parts)


def _found(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html | None:
    head = ["Run", "Questions", "PR@5 before", "PR@5 after", "Change, points", "95 % interval", "Whole words before",
            "after", "Ceiling"]  # fmt: skip
    rows = []
    for run in runs:
        told = mapping(run.metrics, "pseudo")
        before, after = (number(mapping(told, stage).get("pr@5")) for stage in ("coarse", "reranked"))
        words = [number(mapping(told, stage).get("pr@5 whole words")) for stage in ("coarse", "reranked")]
        change = None if before is None or after is None else after - before
        ends = ends_of(mapping(told, "interval", "difference").get("pr@5"))
        within = f"{difference(ends[0])} to {difference(ends[1])}" if ends else DASH
        rows.append([names[run], amount(number(told.get("n"))), value(before), value(after), difference(change), within,
                     *map(value, words), value(number(told.get("ceiling")))])  # fmt: skip
    return _titled("Passages that contain an answer", table("Passages", head, rows)) if rows else None


def _given(runs: Sequence[RunFolder], names: Mapping[RunFolder, str]) -> Html | None:
    head = ["Run", "Answered by", "Questions", "Accuracy", "95 % interval", "Grounded", "95 % interval", "Borne out",
            "Answered", "Cited", "None found", "Combined", "Calls", "Tokens / answer", "Money / answer"]  # fmt: skip
    rows: list[list[Child]] = []
    for run in runs:
        told = mapping(run.metrics, "answers")
        marks: list[Child] = []
        for name in ("accuracy", "grounded"):
            ends = ends_of(mapping(told, "interval").get(name))
            within = f"{value(ends[0])} to {value(ends[1])}" if ends else DASH
            marks += [value(number(told.get(name))), within]
        combined = [f"{name.replace('_', ' ')} {value(number(given))}"
                    for name, given in mapping(told, "combined").items()]  # fmt: skip
        rows.append([names[run], str(run.config.get("answers") or DASH), amount(number(told.get("n"))), *marks,
                     value(number(told.get("borne_out"))), *(value(number(told.get(name))) for name in _SHARES),
                     ", ".join(combined) or DASH, *_cost(told)])  # fmt: skip
    return _titled("Answers", table("Answers", head, rows, words=(0, 1, 11))) if rows else None


def _titled(title: str, body: Html) -> Html:
    return h("div", {"class": "part"}, h("h3", {}, title), body)


def _cost(told: Mapping[str, object]) -> list[str]:
    spent = {name: mapping(told, "usage", name) for name in ("policy_calls", "prompt_tokens", "completion_tokens")}
    read, written = (number(spent[name].get("mean")) for name in ("prompt_tokens", "completion_tokens"))
    tokens = None if read is None or written is None else read + written
    paid = number(mapping(told, "usage", "money").get("mean"))
    return [amount(number(spent["policy_calls"].get("total"))), amount(tokens), money(paid)]


def _by_part(run: RunFolder, name: str) -> Html | None:
    """By part of the benchmark, then by kind of question."""
    rows: list[list[Child]] = []
    for by in ("groups", "kinds"):
        found, told = mapping(run.metrics, "pseudo", by), mapping(run.metrics, "answers", by)
        for part in dict.fromkeys((*found, *told)):
            before, after = (number(mapping(found, part, stage).get("pr@5")) for stage in ("coarse", "reranked"))
            count = number(mapping(found, part).get("n"))
            count = number(mapping(told, part).get("n")) if count is None else count
            marks = [value(number(mapping(told, part).get(one))) for one in ("accuracy", "grounded", "answered")]
            rows.append([part or "(no name)", amount(count), value(before), value(after), *marks])
    if not rows:
        return None
    head = ["Part or kind", "Questions", "PR@5 before", "PR@5 after", "Accuracy", "Grounded", "Answered"]
    return _titled(f"{name} by part", table(f"Questions of {name} by part", head, rows))

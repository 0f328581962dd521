"""Two runs of one task against each other: is the difference real, which topics made it, what did it cost.

Paired: every statistic is over the topics that both runs asked, one value of each run per topic. It leaves out how a
single run's reranking did against its own coarse stage, which its metrics.json says already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.evaluation.measured import OF_ANSWERS, measured
from vretrver.evaluation.outcome import Outcome, spending
from vretrver.evaluation.outcome import spent as spent_on
from vretrver.evaluation.statistics import RESAMPLES, paired_interval, sign_p
from vretrver.report.run_folder import RunFolder, mapping, read_run
from vretrver.report.words import amount, difference, money, p_value, plain, typed, value
from vretrver.usage import Usage

_RESTATED = ("hash", "version", "versions", "facts")
LISTED = 10  # topics named in a summary

COSTS = {
    "windows": "windows",
    "rounds": "rounds",
    "policy_calls": "policy calls",
    "tool_calls": "tool calls",
    "images": "pictures shown",
    "cache_hits": "calls from a cache",
    "prompt_tokens": "prompt tokens",
    "cached_tokens": "of them cached",
    "image_tokens": "of them of pictures",
    "completion_tokens": "completion tokens",
    "money": "money",
    "answer_calls": "calls for answers",
    "answer_tokens": "tokens of answers",
    "answer_money": "money of answers",
    "seconds": "seconds",
}


@dataclass(frozen=True, slots=True)
class Contrast:
    """One measure of two runs over the same topics.

    Args:
        measure: such as `hit@5`.
        a, b: the means.
        interval: 95 % paired bootstrap of the mean of b - a.
        won, lost: topics where b is above a, and below.
        p: two-sided exact sign test of won against lost.
    """

    measure: str
    a: float
    b: float
    interval: tuple[float, float]
    won: tuple[str, ...]
    lost: tuple[str, ...]
    p: float

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def verdict(self) -> str:
        low, high = self.interval
        if not self.won and not self.lost:
            return "the same on every topic"
        if low <= 0 <= high:
            return "chance alone could explain the difference"
        return "b is better" if low > 0 else "a is better"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found.

    Args:
        a, b: the runs' names. task, split: of both.
        topics: how many topics with a known answer both runs hold. only_a, only_b: how many only one of them holds.
        failed_a, failed_b: how many of the common topics could not be asked; they count as misses.
        same_candidates: whether both ranked the same candidates, so that only the ranking differs.
        changed: configuration that differs, name -> (a's, b's).
        contrasts: the headline, and hit@1 where that is another measure; then what both runs answered, where they did.
        cost: per query and over the common topics, `COSTS` -> (a's, b's); None where it was not measured.
    """

    a: str
    b: str
    task: str
    split: str
    topics: int
    only_a: int
    only_b: int
    failed_a: int
    failed_b: int
    same_candidates: bool
    changed: Mapping[str, tuple[Any, Any]]
    contrasts: tuple[Contrast, ...]
    cost: Mapping[str, tuple[float | None, float | None]]

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        record = asdict(self) | {"contrasts": []}
        for one in self.contrasts:
            record["contrasts"].append(asdict(one) | {"difference": one.difference, "verdict": one.verdict})
        return record

    def summary(self) -> str:
        """A page for a terminal."""
        lines = [f"{plain(self.task)} {plain(self.split)}: a = {plain(self.a)}, b = {plain(self.b)}", self._scope()]
        lines += [f"  {name}: {_setting(a)} -> {_setting(b)}" for name, (a, b) in self.changed.items()]
        for one in self.contrasts:
            lines += ["", *_contrast_lines(one)]
        lines += ["", f"{'cost per query':<26}{'a':>10}{'b':>10}"]
        told = [(name, given) for name, given in self.cost.items() if any(given)]
        lines += [f"{COSTS[name]:<26}{_cost_said(name, a):>10}{_cost_said(name, b):>10}" for name, (a, b) in told]
        return typed("\n".join(lines))

    def _scope(self) -> str:
        said = f"{self.topics:,} topics that both hold"
        if self.only_a or self.only_b:
            said += f"; left out: {self.only_a:,} that only a holds and {self.only_b:,} that only b holds"
        if self.failed_a or self.failed_b:
            said += f"; could not be asked, so missed: {self.failed_a:,} by a, {self.failed_b:,} by b"
        candidates = "the same candidates" if self.same_candidates else "different candidates"
        return f"{said}; {candidates} before ranking"


def compare(
    run_a: RunFolder | str | PathLike[str],
    run_b: RunFolder | str | PathLike[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two runs of one task, topic by topic.

    Args:
        run_a, run_b: run folders, read or to be read. Differences are b - a.
        resamples, seed: of the bootstrap.

    Raises:
        InvalidInput: the runs are of different tasks or data, their answers are not public, or they share no topic.
        MissingPath, RecordError: as `read_run`.
    """
    a = run_a if isinstance(run_a, RunFolder) else read_run(run_a)
    b = run_b if isinstance(run_b, RunFolder) else read_run(run_b)
    _check(a, b)
    held_a, held_b = _answerable(a), _answerable(b)
    pairs = [(one, held_b[topic]) for topic, one in held_a.items() if topic in held_b]
    if not pairs:
        raise InvalidInput(f"{a.path} and {b.path} share no topic with a known answer; run them on the same topics")
    measures = dict.fromkeys((a.headline, "hit@1", *_of_questions(pairs)))
    names = (a.name, b.name) if a.name != b.name else (str(a.path), str(b.path))
    return Comparison(
        a=names[0],
        b=names[1],
        task=a.task,
        split=str(a.metrics.get("split", "")),
        topics=len(pairs),
        only_a=len(held_a) - len(pairs),
        only_b=len(held_b) - len(pairs),
        failed_a=sum(one.error is not None for one, _other in pairs),
        failed_b=sum(other.error is not None for _one, other in pairs),
        same_candidates=all(one.coarse == other.coarse for one, other in pairs if not (one.error or other.error)),
        changed=changed_settings([a.config, b.config]),
        contrasts=tuple(_contrast(name, pairs, resamples, seed) for name in measures),
        cost=_cost(pairs),
    )


def changed_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The settings that are not the same in all configurations, name -> one value each.

    Hashes that only restate another setting are left out where that setting differs already.
    """
    names = dict.fromkeys(name for config in configs for name in config if name not in _RESTATED)
    facts = dict.fromkeys(name for config in configs for name in mapping(config, "facts"))
    values = {name: tuple(config.get(name) for config in configs) for name in names}
    values |= {f"facts: {name}": tuple(mapping(config, "facts").get(name) for config in configs) for name in facts}
    changed = {name: given for name, given in values.items() if any(one != given[0] for one in given[1:])}
    for stated, restated in (("embedder", "fingerprint"), ("policy", "policy_fingerprint")):
        if stated in changed:
            changed.pop(restated, None)
    return changed


def _check(a: RunFolder, b: RunFolder) -> None:
    for what, one, other in (
        ("task", a.task, b.task),
        ("split", a.metrics.get("split"), b.metrics.get("split")),
        ("data", a.config.get("data"), b.config.get("data")),
    ):
        if one != other:
            raise InvalidInput(
                f"{a.path} and {b.path} cannot be compared: their {what} differs ({_setting(one)}, {_setting(other)}); "
                "compare runs of the same task on the same data"
            )
    for run in (a, b):
        if not run.judged:
            raise InvalidInput(f"{run.path} has no measures: the answers of {plain(run.task)} are not public")


def _answerable(run: RunFolder) -> dict[str, Outcome]:
    return {topic: one for topic, one in run.by_topic.items() if one.judged}


def _of_questions(pairs: Sequence[tuple[Outcome, Outcome]]) -> list[str]:
    """The measures of questions that both runs have."""
    both = [one for pair in pairs for one in pair]
    names = [] if any(one.bearing is None for one in both) else ["pr@5"]
    marked = all(one.answered is not None and one.answered.score is not None for one in both)
    return [*names, *(OF_ANSWERS if marked else ())]


def _contrast(name: str, pairs: Sequence[tuple[Outcome, Outcome]], resamples: int, seed: int) -> Contrast:
    value_of = measured(name)
    before = [value_of(a, a.order) for a, _b in pairs]
    after = [value_of(b, b.order) for _a, b in pairs]
    rows = list(zip(pairs, before, after, strict=True))
    won = tuple(pair[0].topic for pair, x, y in rows if y > x)
    lost = tuple(pair[0].topic for pair, x, y in rows if y < x)
    ends = paired_interval(before, after, resamples=resamples, seed=seed)
    p = sign_p(len(won), len(lost))
    return Contrast(name, sum(before) / len(before), sum(after) / len(after), ends, won, lost, p)


def _cost(pairs: Sequence[tuple[Outcome, Outcome]]) -> dict[str, tuple[float | None, float | None]]:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    spent = [{name: cost["mean"] for name, cost in spending(one).items()} for one in (a, b)]
    seconds = [math.fsum(one.seconds for one in side) / len(side) for side in (a, b)]
    answers = [_cost_of_answers(one) for one in (a, b)]
    spent = [one | more for one, more in zip(spent, answers, strict=True)]
    return {name: (spent[0][name], spent[1][name]) for name in spent[0]} | {"seconds": (seconds[0], seconds[1])}


def _cost_of_answers(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Per question; nothing of what ranking cost."""
    told = spent_on([Usage() if one.answered is None else one.answered.usage for one in outcomes])
    read, written = told["prompt_tokens"]["mean"], told["completion_tokens"]["mean"]
    return {
        "answer_calls": told["policy_calls"]["mean"],
        "answer_tokens": None if read is None or written is None else read + written,
        "answer_money": told["money"]["mean"],
    }


def _cost_said(name: str, given: float | None) -> str:
    return money(given) if name.endswith("money") else amount(given)


def _contrast_lines(one: Contrast) -> list[str]:
    low, high = one.interval
    lines = [
        f"{one.measure}: a {value(one.a)}, b {value(one.b)}, difference {difference(one.difference)} "
        f"(95 % interval {difference(low)} to {difference(high)})",
        f"  won {len(one.won):,}, lost {len(one.lost):,}, p {p_value(one.p)} (sign test): {one.verdict}",
    ]
    for what, topics in (("won", one.won), ("lost", one.lost)):
        if topics:
            rest = f" and {len(topics) - LISTED:,} more" if len(topics) > LISTED else ""
            lines.append(f"  {what}: {', '.join(map(plain, topics[:LISTED]))}{rest}")
    return lines


def _setting(given: Any) -> str:
    if isinstance(given, list):
        return plain(", ".join(map(str, given))) or "none"
    return "none" if given is None else plain(str(given))

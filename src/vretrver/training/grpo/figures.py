"""What a step's rollouts come to, in figures, for the log and the curves.

    reward, reward/<term>, hit@1, format_valid, tool_rate, calls, redundant_calls, length: means over rollouts
    reward_std, zero_variance: means over groups; kept_groups: how many there were to learn from

Each figure is a list of values, one a rollout or one a group, so that processes can be averaged together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import pstdev

from vretrver.trace import StopReason, Trace
from vretrver.training.grpo.rollouts import Group, Rollout
from vretrver.training.rewards.looks import looks_of

FIGURE = "rollouts/"
"""Begins the names of these figures among TRL's."""


def of_rollout(rollout: Rollout) -> dict[str, float]:
    """The figures of one rollout; a term that was not scored is left out."""
    trace = rollout.trace
    valid = trace.stop is StopReason.ANSWERED and not trace.repairs
    looked = any(turn.observation is not None and turn.observation.valid for turn in trace.turns)
    terms = {f"reward/{name}": value for name, value in rollout.score.terms.items() if value is not None}
    return {
        "reward": rollout.score.total,
        **terms,
        "hit@1": float(rollout.right),
        "format_valid": float(valid),
        "tool_rate": float(looked),
        "calls": float(trace.tool_calls),
        "redundant_calls": float(redundant_calls(trace)),
        "length": float(rollout.tape.drawn),
    }


def of_group(group: Group) -> dict[str, float]:
    """The figures of one group, as it was drawn first."""
    spread = pstdev([one.score.total for one in group.rollouts])
    return {"reward_std": spread, "zero_variance": float(group.flat)}


def of_step(groups: Sequence[Group], trained: Iterable[Group]) -> dict[str, list[float]]:
    """All values of a step in one process.

    Args:
        groups: that were drawn first, before any was replaced. trained: those that are in the loss.
    """
    found: defaultdict[str, list[float]] = defaultdict(list)
    told: list[Mapping[str, float]] = [of_rollout(one) for group in groups for one in group.rollouts]
    for figures in [*told, *map(of_group, groups)]:
        for name, value in figures.items():
            found[name].append(value)
    found["kept"] += [float(not group.flat) for group in trained]
    return dict(found)


def redundant_calls(trace: Trace) -> int:
    """Calls beyond the first, and a first one that was refused or showed only what had been shown."""
    return sum(at > 0 or look.redundant for at, look in enumerate(looks_of(trace)))

"""Rewards of stage III (paper, section 3.4, EAPO): the traces of a group in, named and weighted terms out.

    judged.py          Judged, Score, Reward: what a reward is given and what it gives
    answers.py         what an answer says, as it was written: nothing mended, nothing evaluated
    looks.py           what a look cost, and whether it showed anything new
    paper.py           the reward of the paper's text
    released.py        the reward of the released code, which differs
    ours.py            only permutations earn, a look pays where it bore on a right answer, and looks have a price
    counterfactual.py  what a policy would have answered without a look

    reward = load_reward("ours", tool=0.3)
    for score in reward(group):             # all rollouts of one prompt
        score.total, score.terms["rank"]

No torch, no picture and no model here: rewards are arithmetic on traces. docs/rewards.md has the formulas, and which
hack fools which of them. It leaves out advantages (`grpo`) and where rollouts come from.
"""

from __future__ import annotations

from collections.abc import Mapping

from vretrver.errors import InvalidInput
from vretrver.training.config import from_mapping
from vretrver.training.rewards.judged import Judged, Reward, Score
from vretrver.training.rewards.ours import Ours
from vretrver.training.rewards.paper import Paper
from vretrver.training.rewards.released import Released

__all__ = ["TERMS", "Judged", "Reward", "Score", "load_reward"]

TERMS: Mapping[str, tuple[str, ...]] = {one.name: one.terms for one in (Paper, Released, Ours)}
"""The names of each reward's terms, by the reward's name."""


def load_reward(name: str, **weights: float) -> Reward:
    """The reward of a name.

    Args:
        name: `paper`, `released` or `ours`.
        weights: any of its fields, by name (`Paper`, `Released`, `Ours` say what each means).

    Raises:
        InvalidInput: no such reward or weight; the message names the nearest. Or a weight is out of range.
    """
    kinds: dict[str, type[Reward]] = {one.name: one for one in (Paper, Released, Ours)}
    if name not in kinds:
        raise InvalidInput(f"unknown reward {name!r}; choose from {', '.join(kinds)}, or pass an object of your own")
    return from_mapping(kinds[name], weights, f"weights of the reward {name!r}")

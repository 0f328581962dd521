"""The agent that the options of a command ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from vretrver.answering import Writer
    from vretrver.budget import Budget
    from vretrver.policies import Policy
    from vretrver.reranker import Reranker


def reranker_of(
    options: Namespace, policy: Policy | str | None = None, budget: Budget | None = None
) -> Reranker | None:
    """The reranker that the options ask for; None for `--policy none`.

    Args:
        policy: in place of `--policy`.
        budget: in place of `--budget`.

    Raises:
        InvalidInput: an option is not usable, or the policy cannot be loaded.
        MissingExtra: the policy's library is not installed.
    """
    policy = options.policy if policy is None else policy
    if policy == "none":
        return None
    from vretrver.budget import Budget
    from vretrver.calibration import load_calibration
    from vretrver.policies import load_policy
    from vretrver.protocol import Wire
    from vretrver.reranker import Reranker
    from vretrver.tools import load_toolbox
    from vretrver.usage import Prices
    from vretrver.windows import load_planner

    policy = load_policy(policy)
    wire = getattr(policy, "wire", None) or Wire()
    return Reranker(
        policy,
        planner=load_planner(options.planner),
        toolbox=None if options.tools is None else load_toolbox(options.tools),
        max_tool_turns=options.max_tool_turns,
        wire=wire if options.window_tokens is None else wire.showing(options.window_tokens),
        budget=budget or (Budget.parse(options.budget) if options.budget else None),
        prices=Prices.parse(options.prices) if options.prices else None,
        second_look=options.second_look,
        fusion=options.fusion,
        gate=options.gate,
        calibration=load_calibration(options.calibration) if options.calibration else None,
    )


def writer_of(options: Namespace, reranker: Reranker | None) -> Writer | None:
    """Who answers questions, as `--answers` says; None without it. The policy that ranks is not loaded twice.

    Raises:
        InvalidInput: the policy does not write words, or cannot be loaded.
        MissingExtra: its library is not installed.
    """
    if options.answers is None:
        return None
    from vretrver.answering import Writer, names_a_writer
    from vretrver.budget import Budget
    from vretrver.policies import load_policy
    from vretrver.usage import Prices

    name = names_a_writer(options.answers)
    policy = reranker.policy if reranker is not None and name == options.policy else load_policy(name)
    prices = Prices.parse(options.prices) if options.prices else None
    budget = Budget.parse(options.budget) if options.budget else None
    return Writer(policy, source_tokens=options.source_tokens, budget=budget, prices=prices)

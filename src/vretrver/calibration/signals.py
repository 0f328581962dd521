"""What a result's confidence is read from: its place, the coarse stage, and how steady the agent's order is.

Everything comes from a ranking and its traces, so a record read back gives the same signals. What is not known is 0,
and a signal beside it says so: a weight learned where something was known is not spent where it was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vretrver.trace import Ranking, StopReason, Trace

COARSE = ("score", "lead", "first", "place", "deep")
"""Of a first stage's candidate: its score; the score's lead over the best other one's, negative for all but the first;
that it is the first; log(rank); and log(rank / 10) below the tenth, where what is left is mostly out of reach."""

RESULT = (
    "place",  # log(rank)
    "first",  # it is rank 1
    "coarse",  # logit of the coarse chance
    "coarse_first",  # the same, at rank 1
    "lead",  # by how much that logit leads the best other one's
    "unknown",  # no coarse chance is known
    "came",  # log(coarse rank), where no chance is known
    "alone",  # log(number of candidates)
    "twice_first",  # there was a second look, at rank 1
    "twice_place",  # there was a second look that held it, times log(rank)
    "steady_first",  # agreement of both looks, -1..1, at rank 1
    "steady_place",  # agreement of both looks times log(rank)
    "kept",  # both looks had it first
    "overlap_first",  # windows met twice, at rank 1
    "overlap_agree",  # agreement of the windows that held it on its pairs, -1..1, at rank 1
    "seen",  # an agent looked at its picture
    "seen_first",  # the same, at rank 1
    "unranked",  # no window that held it was answered
)
_NEAREST = 6.0  # logits beyond this differ in nothing that matters


def of_scores(scores_N: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """`COARSE` of a first stage's scores, best first, shape (N,) each."""
    rivals = np.full(len(scores_N), scores_N[0] if len(scores_N) else 0.0)
    rivals[:1] = scores_N[:2][-1:]
    place = np.log(np.arange(1, len(scores_N) + 1, dtype=float))
    return {
        "score": scores_N,
        "lead": scores_N - rivals,
        "first": np.asarray(place == 0, float),
        "place": place,
        "deep": np.maximum(0, place - np.log(10)),
    }


def of_ranking(ranking: Ranking, chances: Sequence[float] | None) -> dict[str, NDArray[np.float64]]:
    """`RESULT` of every result of a ranking, shape (N,) each.

    Args:
        chances: of the results by the coarse stage alone, in the ranking's order; None where they are not known.
    """
    ids = ranking.ids
    found = {name: np.zeros(len(ids)) for name in RESULT}
    if not ids:
        return found
    first = np.zeros(len(ids))
    first[0] = 1.0
    place = np.log(np.arange(1, len(ids) + 1, dtype=float))
    found |= {"place": place, "first": first, "alone": np.full(len(ids), np.log(len(ids)))}
    if chances is None:
        came = np.array([result.candidate.rank for result in ranking.results], float)
        found |= {"unknown": np.ones(len(ids)), "came": np.log(np.maximum(1.0, came))}
    else:
        logits = _logits(np.array(chances, float))
        found |= {"coarse": logits, "coarse_first": logits * first, "lead": logits - _rivals(logits)}
    plan = [trace for trace in ranking.traces if trace.look is None and trace.stop is StopReason.ANSWERED]
    at = {key: place for place, key in enumerate(ids)}
    _add_second_look(found, ranking, at, plan)
    _add_windows(found, at, plan)
    seen = np.array([bool(result.evidence) for result in ranking.results], float)
    return found | {"seen": seen, "seen_first": seen * first}


def _add_second_look(
    found: dict[str, NDArray[np.float64]], ranking: Ranking, at: dict[str, int], plan: Sequence[Trace]
) -> None:
    again = next((trace for trace in ranking.traces if trace.look and trace.stop is StopReason.ANSWERED), None)
    if again is None or ranking.agreement is None:
        return
    held = np.zeros(len(at))
    held[[at[key] for key in again.candidates if key in at]] = 1.0
    steady = 2 * ranking.agreement - 1
    found["twice_first"], found["twice_place"] = held * found["first"], held * found["place"]
    found["steady_first"], found["steady_place"] = steady * found["twice_first"], steady * found["twice_place"]
    winner = again.candidates[again.order[0]]
    if winner in at and plan and winner == plan[-1].candidates[plan[-1].order[0]]:
        found["kept"][at[winner]] = 1.0


def _add_windows(found: dict[str, NDArray[np.float64]], at: dict[str, int], plan: Sequence[Trace]) -> None:
    """Who was in an answered window, and how far the windows that shared candidates agree on the ranking's first."""
    found["unranked"] = np.ones(len(at))
    for trace in plan:
        found["unranked"][[at[key] for key in trace.candidates if key in at]] = 0.0
    first = next(iter(at))
    votes = []
    for one, other in combinations([_places(trace) for trace in plan if first in trace.candidates], 2):
        shared = (one.keys() & other.keys()) - {first}
        votes += [(one[first] < one[key]) == (other[first] < other[key]) for key in shared]
    if votes:
        found["overlap_first"][0] = 1.0
        found["overlap_agree"][0] = 2 * sum(votes) / len(votes) - 1


def _places(trace: Trace) -> dict[str, int]:
    return {trace.candidates[position]: place for place, position in enumerate(trace.order)}


def _logits(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    bounded = np.clip(chances, 1e-6, 1 - 1e-6)
    return np.asarray(np.clip(np.log(bounded / (1 - bounded)), -_NEAREST, _NEAREST))


def _rivals(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each the highest of the others; its own where there is no other."""
    if len(logits) < 2:
        return logits
    second, best = np.sort(logits)[-2:]
    return np.asarray(np.where(np.arange(len(logits)) == int(logits.argmax()), second, best))

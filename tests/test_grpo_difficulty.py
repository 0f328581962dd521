"""Which queries are asked: numbers that can be checked in the head."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vretrver.errors import InvalidInput, RecordError
from vretrver.training.grpo.difficulty import FILE, Estimates
from vretrver.training.grpo.settings import Difficulty, Optimising, Sampling

KEYS = [f"q{at}" for at in range(10)]


def test_estimates_and_weights_by_hand() -> None:
    found = Estimates(KEYS, Difficulty(memory=0.5, floor=0.02), seed=0)
    assert found.weight("q0") == 0.25  # nobody asked it yet
    found.note([("q0", 1.0), ("q1", 0.0), ("q2", 0.5)])
    assert (found.weight("q0"), found.weight("q1"), found.weight("q2")) == (0.02, 0.02, 0.25)
    found.note([("q0", 0.0)])
    assert found.right["q0"] == 0.5 and found.times == {"q0": 2, "q1": 1, "q2": 1}
    assert found.figures == {"asked": 3.0, "uncertain": pytest.approx(2 / 3)}


def test_the_uncertain_are_preferred_and_none_comes_twice_in_a_step() -> None:
    found = Estimates(KEYS, Difficulty(), seed=1)
    found.note([(key, float(at < 4)) for at, key in enumerate(KEYS[:8])])  # q8 and q9 are left uncertain
    drawn = Counter(key for step in range(500) for key in found.draw(2, step))
    assert all(len(set(found.draw(2, step))) == 2 for step in range(50))
    # Weights .02 eight times and .25 twice: the first draw is uncertain with chance .5 / .66 = .76.
    first = sum(found.draw(1, step)[0] in ("q8", "q9") for step in range(2000)) / 2000
    assert first == pytest.approx(0.5 / 0.66, abs=0.03)
    assert min(drawn["q8"], drawn["q9"]) > 4 * max(drawn[key] for key in KEYS[:8])
    assert all(drawn[key] for key in KEYS)  # and the settled come back now and then


def test_alike_asks_each_once_before_any_again() -> None:
    found = Estimates(KEYS, Difficulty(prefer="none"), seed=0)
    seen: list[str] = []
    for step in range(4):
        drawn = found.draw(5, step)
        found.note([(key, 1.0) for key in drawn])
        seen += drawn
    assert Counter(seen) == dict.fromkeys(KEYS, 2) and set(seen[:10]) == set(KEYS)


def test_draws_depend_on_seed_step_and_estimates_alone(tmp_path: Path) -> None:
    one, other = Estimates(KEYS, Difficulty(), seed=3), Estimates(KEYS, Difficulty(), seed=3)
    one.note([("q1", 0.25), ("q5", 1.0)])
    one.save(tmp_path)
    other.load(tmp_path)
    assert [one.draw(4, step) for step in range(9)] == [other.draw(4, step) for step in range(9)]
    assert one.draw(4, 0) != one.draw(4, 1) and one.draw(4, 0) != one.draw(4, 0, again=1)
    assert not set(one.draw(5, 0, but=KEYS[:5])) & set(KEYS[:5])
    assert len(one.draw(25, 0)) == 25 and set(one.draw(25, 0, but=KEYS)) == set(KEYS)  # they come round again
    (tmp_path / FILE).write_text('{"right": 3}')
    with pytest.raises(RecordError, match="cannot be read"):
        other.load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        (Difficulty, {"floor": 0.0}, "floor is 0.0"),
        (Difficulty, {"memory": 1.0}, "memory is 1.0"),
        (Difficulty, {"resample": -1}, "resample is -1"),
        (Sampling, {"rollouts": 1}, "rollouts is 1; it must be 2 or more"),
        (Sampling, {"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        (Sampling, {"memory": 1.5}, "memory is 1.5; it is a share"),
        (Optimising, {"data": ("x",)}, "data means nothing in this stage"),
        (Optimising, {"clip_high": -1.0}, "clip_high is -1.0; it must be 0 or more"),
        (Optimising, {"iterations": 0}, "iterations is 0; it must be 1 or more"),
        (Optimising, {"iterations": 3, "save_every": 10}, "save_every is 10 and iterations 3; it must be a multiple"),
        (Optimising, {"micro_batch": 0}, "micro_batch is 0"),
    ],
)
def test_settings_out_of_range(kind: type, options: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        kind(**options)

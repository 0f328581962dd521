from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from run_folders import make_run
from vretrver.errors import InvalidInput
from vretrver.report import compare, read_run
from vretrver.report.comparison import changed_settings


def test_two_runs_topic_by_topic(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", "RRRRXXXX", pictures=False)
    b = make_run(tmp_path / "b", "RRRLWWWX", pictures=False, config={"tools": [], "hash": "other"})
    found = compare(a, b)
    assert (found.a, found.b, found.topics, found.only_a, found.only_b) == ("a", "b", 8, 0, 0)
    assert found.same_candidates
    assert found.changed == {"tools": (["select_images", "crop_image"], [])}
    headline, first = found.contrasts
    assert (headline.measure, first.measure) == ("mrr@10", "hit@1")
    assert (first.a, first.b, first.difference) == (0.5, 0.75, 0.25)
    assert (first.won, first.lost) == (("q-4", "q-5", "q-6"), ("q-3",))
    assert first.p == pytest.approx(2 * (1 + 4) / 16)  # 3 of 4: P(X <= 1) = 5/16, twice
    assert first.interval[0] <= 0.25 <= first.interval[1]
    assert headline.b - headline.a == pytest.approx((3 * 0.5 - 0.5) / 8)  # second place is worth one half


def test_the_summary_is_fit_to_print(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", "X" * 20, pictures=False)
    b = make_run(tmp_path / "b\x1b[31m", "W" * 20, pictures=False, config={"policy": "loud\x07\nline"})
    found = compare(a, b)
    said = found.summary()
    assert "a .000, b 1.000, difference +100.0 (95 % interval +100.0 to +100.0)" in said
    assert "won 20, lost 0, p < .001 (sign test): b is better" in said
    assert "and 10 more" in said
    assert all(char == "\n" or char.isprintable() for char in said)
    record = json.loads(json.dumps(found.to_json()))
    assert record["contrasts"][1]["difference"] == 1
    assert record["contrasts"][1]["verdict"] == "b is better"
    assert record["cost"]["prompt_tokens"] == [None, None] and "tokens" not in said.partition("cost")[2]
    assert record["cost"]["policy_calls"] == [1, 1]


def test_a_run_against_itself(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "a", "WLRX", pictures=False))
    found = compare(run, run)
    assert all(one.difference == 0 and one.interval == (0, 0) and one.p == 1 for one in found.contrasts)
    assert "the same on every topic" in found.summary()


def test_only_topics_of_both_count_and_failures_are_misses(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", "RRRRRR", pictures=False)
    b = make_run(tmp_path / "b", "REX", pictures=False)
    found = compare(a, b)
    assert (found.topics, found.only_a, found.only_b, found.failed_a, found.failed_b) == (3, 3, 0, 0, 1)
    assert found.contrasts[1].b == pytest.approx(1 / 3)
    assert "left out: 3 that only a holds" in found.summary()
    assert "could not be asked, so missed: 0 by a, 1 by b" in found.summary()


@pytest.mark.parametrize(("config", "complaint"), [
    ({"task": "circo"}, "their task differs"), ({"split": "val"}, "their split differs"),
    ({"data": "e"}, "their data differs"),
])  # fmt: skip
def test_runs_that_cannot_be_compared(tmp_path: Path, config: dict[str, str], complaint: str) -> None:
    a = make_run(tmp_path / "a", "RW", pictures=False)
    b = make_run(tmp_path / "b", "RW", pictures=False, config=config)
    with pytest.raises(InvalidInput, match=complaint):
        compare(a, b)


def test_answers_that_are_not_public_cannot_be_compared(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", "RW", pictures=False)
    metrics = json.loads((a / "metrics.json").read_text()) | {"judged": False, "reranked": None, "coarse": None}
    (a / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(InvalidInput, match="not public"):
        compare(a, a)


values = st.none() | st.integers(0, 3) | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2)


@settings(max_examples=60)
@given(st.lists(st.dictionaries(st.sampled_from(["k", "policy", "tools", "hash"]), values), min_size=1, max_size=4))
def test_changed_settings_are_those_that_differ(configs: list[dict[str, object]]) -> None:
    changed = changed_settings(configs)
    for name in ("k", "policy", "tools"):
        given_values = [config.get(name) for config in configs]
        assert (name in changed) == any(value != given_values[0] for value in given_values)
    assert "hash" not in changed


def test_a_fingerprint_says_nothing_that_the_name_did_not() -> None:
    one, other = {"policy": "a", "policy_fingerprint": "1"}, {"policy": "b", "policy_fingerprint": "2"}
    assert list(changed_settings([one, other])) == ["policy"]
    assert list(changed_settings([one, one | {"policy_fingerprint": "2"}])) == ["policy_fingerprint"]
    assert changed_settings([{"facts": {"pool": "local"}}, {"facts": {"pool": "global"}}]) == {
        "facts: pool": ("local", "global")
    }

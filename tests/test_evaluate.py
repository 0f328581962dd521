"""evaluate: a task becomes a run folder; cut off anywhere it goes on, pays no call twice and gives the same bytes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import MeanColour, Paint
from vretrver.datasets import Card, Task, Topic
from vretrver.errors import InvalidInput, MissingPath, PolicyError
from vretrver.evaluation.evaluate import evaluate
from vretrver.evaluation.folder import merge, outcomes_of
from vretrver.evaluation.settings import Settings
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.report import overview, read_run, write_report
from vretrver.types import Document, ImageRef, Query
from vretrver.usage import Tokens
from vretrver.viewer import read_traces

COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "gray", "black"]
CARD = Card("Colours", "made here", "none", "hit rate")
LAST_FIRST = "<think>the last one</think><answer>[4, 3, 2, 1]</answer>"


@pytest.fixture
def task(tmp_path: Path, paint: Paint) -> Task:
    """Ten colours; each query is a colour, its answer the next one in the list."""
    pool = tuple(
        Document(f"d{at}", image=ImageRef(path=paint(f"pool/{name}.png", name))) for at, name in enumerate(COLOURS)
    )
    topics = tuple(
        Topic(
            f"q{at}",
            Query(images=(ImageRef(path=paint(f"asked/{name}.png", name, (32, 32))),)),
            {f"d{(at + 1) % 10}": 1},
        )
        for at, name in enumerate(COLOURS)
    )
    return Task("colours", "test", topics, pool, ("hit@5", "mrr@10"), CARD, tmp_path)


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(task: Task, tmp_path: Path) -> Run:
    def go(name: str = "run", policy: Any = None, given: Task = task, **settings: Any) -> dict[str, Any]:
        return evaluate(
            given,
            tmp_path / name,
            replace(Settings(k=4, ocr=False, coarse="vector", batch=3), **settings),
            embedder=MeanColour(),
            policy=policy,
            cache=tmp_path / "cache",
            progress=False,
        )

    return go


def files(folder: Path) -> dict[str, bytes]:
    """What a resumed run must give again."""
    names = ("metrics.json", "run.trec", "coarse.trec", "qrels.trec", "config.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_the_coarse_order_alone(run: Run, tmp_path: Path) -> None:
    metrics = run()
    assert (metrics["n"], metrics["k"], metrics["headline"]) == (10, 4, "hit@5")
    assert metrics["coarse"] == metrics["reranked"]
    assert metrics["coarse"]["hit@1"] == 0.0  # each query's own colour comes first, and its answer is another
    assert metrics["ceiling"] == metrics["coarse"]["hit@5"] > 0
    assert (metrics["wins"], metrics["ties"], metrics["losses"]) == (0, 10, 0)
    outcomes = outcomes_of(tmp_path / "run")
    assert [one.topic for one in outcomes] == [f"q{at}" for at in range(10)]
    assert all(one.coarse[0] == f"d{at}" for at, one in enumerate(outcomes))


def test_what_the_policy_changed_is_counted_with_the_queries(run: Run, tmp_path: Path) -> None:
    metrics = run(policy=ScriptedPolicy([LAST_FIRST]))
    outcomes = outcomes_of(tmp_path / "run")
    assert all(one.order == one.coarse[::-1] for one in outcomes)
    won = [one.topic for one in outcomes if one.coarse[3] in one.relevant]
    assert (metrics["won"], metrics["lost"]) == (won, [])
    assert metrics["reranked"]["hit@1"] == len(won) / 10
    assert metrics["usage"]["policy_calls"] == {"total": 10, "mean": 1.0}
    traces = read_traces(tmp_path / "run" / "traces.jsonl")
    assert [trace.ids for trace in traces] == [one.order for one in outcomes]


def test_a_second_run_asks_nothing_and_changes_no_byte(run: Run, tmp_path: Path) -> None:
    policy = ScriptedPolicy([LAST_FIRST])
    run(policy=policy)
    before, asked = files(tmp_path / "run"), len(policy.seen)
    run(policy=policy)
    assert len(policy.seen) == asked == 10
    assert files(tmp_path / "run") == before


def test_the_journal_names_its_configuration_and_every_call_its_window(run: Run, tmp_path: Path) -> None:
    run(policy=ScriptedPolicy([LAST_FIRST]))
    lines = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    assert lines[0] == {"config": json.loads((tmp_path / "run/config.json").read_text())["hash"]}
    calls = [line["call"] for line in lines if "call" in line]
    assert [(call["topic"], call["window"], call["turn"]) for call in calls] == [(f"q{at}", 0, 1) for at in range(10)]
    (tmp_path / "run/config.json").unlink()
    with pytest.raises(InvalidInput, match="journal of another configuration"):
        run(policy=ScriptedPolicy([LAST_FIRST]), k=3)


def test_another_configuration_is_refused_and_named(run: Run) -> None:
    run()
    with pytest.raises(InvalidInput, match="holds another run: k is 3, not 4; give this run a folder"):
        run(k=3)


class Dies(ScriptedPolicy):
    """Answers so many calls and is then interrupted, as by Ctrl-C."""

    def __init__(self, after: int) -> None:
        super().__init__([LAST_FIRST])
        self.after = after

    def complete(self, conversations: Any) -> list[Completion]:
        if len(self.seen) >= self.after:
            raise KeyboardInterrupt
        return super().complete(conversations)


@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_a_run_that_was_stopped_goes_on_and_pays_no_call_twice(run: Run, tmp_path: Path, after: int) -> None:
    run("whole", policy=ScriptedPolicy([LAST_FIRST]), shuffles=1)
    with pytest.raises(KeyboardInterrupt):
        run("cut", policy=(first := Dies(after)), shuffles=1)
    second = ScriptedPolicy([LAST_FIRST])
    run("cut", policy=second, shuffles=1)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    whole = [trace.ids for trace in read_traces(tmp_path / "whole" / "traces.jsonl")]
    assert [trace.ids for trace in read_traces(tmp_path / "cut" / "traces.jsonl")] == whole
    assert len(first.seen) + len(second.seen) == 20


def test_a_policy_that_works_one_by_one_loses_no_answer_in_the_middle_of_a_batch(run: Run, tmp_path: Path) -> None:
    class OneByOne(Dies):
        at_once = 1

    first, second = OneByOne(4), ScriptedPolicy([LAST_FIRST])
    with pytest.raises(KeyboardInterrupt):
        run(policy=first, batch=6)
    run(policy=second, batch=6)
    assert (len(first.seen), len(second.seen)) == (4, 6)


def test_what_a_batch_had_answered_when_it_was_stopped_is_not_paid_again(run: Run) -> None:
    class Stopped(ScriptedPolicy):
        """Is stopped in its first batch, when it has answered two of its conversations."""

        def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
            self.half = super().complete(conversations[:2])
            raise KeyboardInterrupt

        def answered(self, conversations: Sequence[Conversation]) -> list[Completion | None]:
            return [*self.half, *[None] * (len(conversations) - 2)]

    first, second = Stopped([LAST_FIRST]), ScriptedPolicy([LAST_FIRST])
    with pytest.raises(KeyboardInterrupt):
        run(policy=first, batch=6)
    run(policy=second, batch=6)
    assert (len(first.seen), len(second.seen)) == (2, 8)


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import MeanColour
from test_evaluate import LAST_FIRST, colours
from vretrver.evaluation.evaluate import evaluate
from vretrver.evaluation.settings import Settings
from vretrver.policies.scripted import ScriptedPolicy

def slow(conversation):
    with open(sys.argv[4], "a") as calls:
        calls.write(conversation.window.query.images[0].label + "\\n")
    time.sleep(0.02)
    return LAST_FIRST

settings = Settings(k=4, ocr=False, coarse="vector", batch=1)
evaluate(colours(Path(sys.argv[2])), sys.argv[3], settings, embedder=MeanColour(), policy=ScriptedPolicy(slow),
         cache=Path(sys.argv[2]) / "cache", progress=False)
"""


def colours(root: Path) -> Task:
    """The task of `task`, its pictures painted already."""
    pool = tuple(Document(f"d{at}", image=ImageRef(path=f"{root}/pool/{name}.png")) for at, name in enumerate(COLOURS))
    topics = tuple(
        Topic(f"q{at}", Query(images=(ImageRef(path=f"{root}/asked/{name}.png"),)), {f"d{(at + 1) % 10}": 1})
        for at, name in enumerate(COLOURS)
    )
    return Task("colours", "test", topics, pool, ("hit@5", "mrr@10"), CARD, root)


def test_killed_without_warning_again_and_again_it_gives_the_same_bytes(task: Task, run: Run, tmp_path: Path) -> None:
    run("whole", policy=ScriptedPolicy([LAST_FIRST]), batch=1)
    calls, cut = tmp_path / "calls", tmp_path / "cut"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), str(cut), str(calls)]
    kills = 0
    while kills < 3:
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        before = calls.read_text().count("\n") if calls.exists() else 0
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            if calls.exists() and calls.read_text().count("\n") >= before + 2:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        assert process.wait() in (0, -signal.SIGKILL)
        if process.returncode == 0:
            break
    assert kills >= 1
    subprocess.run(command, check=True)
    assert files(cut) == files(tmp_path / "whole")
    paid = calls.read_text().splitlines()
    assert len(paid) <= 10 + kills  # only what was in flight is asked again


def test_shards_merge_into_the_run_they_are_parts_of(run: Run, tmp_path: Path) -> None:
    policy = ScriptedPolicy([LAST_FIRST])
    run("whole", policy=policy)
    for number in (1, 2, 3):
        run(f"part{number}", policy=policy, shard=f"{number}/3")
    with pytest.raises(InvalidInput, match="merge takes every shard of a run once; these are 1/3, 2/3"):
        merge([tmp_path / "part1", tmp_path / "part2"], tmp_path / "merged")
    merge([tmp_path / f"part{number}" for number in (3, 1, 2)], tmp_path / "merged")
    whole, merged = files(tmp_path / "whole"), files(tmp_path / "merged")
    assert merged == whole
    assert [one.ids for one in read_traces(tmp_path / "merged/traces.jsonl")] == [
        one.ids for one in read_traces(tmp_path / "whole/traces.jsonl")
    ]


def test_shards_of_different_runs_do_not_merge(run: Run, tmp_path: Path) -> None:
    run("a", shard="1/2")
    run("b", shard="2/2", k=3)
    with pytest.raises(InvalidInput, match="shard of another run"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")


def test_missing_pictures_are_named_before_anything_starts(run: Run, task: Task, tmp_path: Path) -> None:
    for gone in ("asked/red.png", "pool/blue.png"):
        (tmp_path / gone).unlink()
    with pytest.raises(MissingPath, match=r"2 pictures of colours are missing.*missing\.txt"):
        run()
    assert (tmp_path / "run/missing.txt").read_text().count("\n") == 2
    metrics = evaluate(
        task, tmp_path / "rest", Settings(k=4, ocr=False, coarse="vector"), embedder=MeanColour(), policy=None,
        cache=tmp_path / "cache", allow_missing=True, progress=False,
    )  # fmt: skip
    assert metrics["n"] == 9
    assert metrics["config"]["n_pool"] == 9


def test_a_query_that_cannot_be_read_counts_as_missed_and_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "asked/red.png").write_bytes(b"no picture")
    metrics = run(policy=ScriptedPolicy([LAST_FIRST]))
    assert metrics["n"] == 10
    assert [topic for topic, _why in metrics["errors"]] == ["q0"]
    assert len(read_traces(tmp_path / "run/traces.jsonl")) == 9


def test_a_policy_that_is_down_ends_the_run_and_loses_nothing(run: Run, task: Task, tmp_path: Path) -> None:
    many = tuple(replace(topic, id=f"{topic.id}-{n}") for n in range(2) for topic in task.topics)
    with pytest.raises(PolicyError, match=r"failed on 16 windows in a row.*a text number 1 was asked for"):
        run(policy=ScriptedPolicy([]), given=replace(task, topics=many), batch=20)
    assert outcomes_of(tmp_path / "run") == []
    assert run(policy=ScriptedPolicy([LAST_FIRST]), given=replace(task, topics=many), batch=20)["n"] == 20


def test_galleries_of_their_own_are_kept_to(run: Run, task: Task, tmp_path: Path) -> None:
    topics = tuple(replace(topic, candidates=("d1", "d2", "d3"), group="g") for topic in task.topics)
    run(given=replace(task, topics=topics))
    assert {frozenset(one.coarse) for one in outcomes_of(tmp_path / "run")} == {frozenset({"d1", "d2", "d3"})}
    assert "each with candidates of its own" in overview([read_run(tmp_path / "run")])
    page = write_report([tmp_path / "run"], tmp_path / "report.html").read_text()
    assert "made here" in page  # the card's source
    given = replace(task, topics=topics, given_order=True)
    run("given", given=given)
    assert {one.coarse for one in outcomes_of(tmp_path / "given")} == {("d1", "d2", "d3")}


def test_what_a_topic_excludes_is_not_ranked_and_others_move_up(run: Run, task: Task, tmp_path: Path) -> None:
    topics = tuple(replace(topic, excluded=(f"d{at}",)) for at, topic in enumerate(task.topics))
    run("all")
    run("excluded", given=replace(task, topics=topics))
    for at, (every, kept) in enumerate(
        zip(outcomes_of(tmp_path / "all"), outcomes_of(tmp_path / "excluded"), strict=True)
    ):
        assert kept.coarse[:3] == every.coarse[1:]
        assert len(kept.coarse) == 4
        assert f"d{at}" not in kept.coarse


def test_another_systems_run_can_be_the_first_stage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.trec").write_text("q0 Q0 d7 1 9.5 other\nq0 Q0 d1 2 9.0 other\nq1 Q0 d2 1 3 other\n")
    metrics = run(coarse=f"run:{tmp_path / 'other.trec'}")
    outcomes = outcomes_of(tmp_path / "run")
    assert [one.coarse for one in outcomes[:3]] == [("d7", "d1"), ("d2",), ()]
    assert metrics["coarse"]["hit@1"] == 0.1
    assert re.fullmatch(r"run:other\.trec@[0-9a-f]{12}", metrics["config"]["coarse"])
    (tmp_path / "other.trec").write_text("q0 Q0 d1 1 9.5 other\n")
    with pytest.raises(InvalidInput, match="holds another run: coarse is"):
        run(coarse=f"run:{tmp_path / 'other.trec'}")
    (tmp_path / "wrong.trec").write_text("q0 Q0 nobody 1 9.5 other\n")
    with pytest.raises(InvalidInput, match="names 1 documents that the pool does not have, such as"):
        run("wrong", coarse=f"run:{tmp_path / 'wrong.trec'}")


def test_orders_under_shuffles_are_kept(run: Run, tmp_path: Path) -> None:
    def reds_first(conversation: Conversation) -> str:
        names = [candidate.document.id for candidate in conversation.window.candidates]
        order = sorted(range(len(names)), key=lambda at: names[at])
        return f"<answer>{[at + 1 for at in order]}</answer>"

    metrics = run(policy=ScriptedPolicy(reds_first), shuffles=2)
    assert metrics["stability"]["kendall_tau"] == 1.0
    assert metrics["stability"]["top1"] == 1.0
    unstable = run("unstable", policy=ScriptedPolicy([LAST_FIRST]), shuffles=2)
    assert unstable["stability"]["kendall_tau"] < 1.0
    assert all(len(one.shuffled) == 2 for one in outcomes_of(tmp_path / "unstable"))


def test_tools_and_turns_reach_the_agent(run: Run) -> None:
    policy = ScriptedPolicy([LAST_FIRST])
    run(policy=policy, tools="select", window_tokens=4)
    said = policy.seen[0].messages[0].text
    assert "select_images" in said
    assert "crop_image" not in said
    shown = [part.view for part in policy.seen[0].messages[1].views]
    assert all(view.width * view.height <= 4 * 28 * 28 for view in shown)


def test_the_configuration_says_what_decided(run: Run, tmp_path: Path) -> None:
    run()
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["embedder"] == "mean-colour"
    assert config["policy"] == "none"
    assert len(config["data"]) == 64
    assert len(config["hash"]) == 64


def test_an_mbeir_run_has_seven_columns_too(run: Run, task: Task, tmp_path: Path) -> None:
    run(given=replace(task, task_id=7))
    first = (tmp_path / "run/run.mbeir.txt").read_text().splitlines()[0].split()
    assert first == ["q0", "Q0", "d0", "1", "4.0", "vretrver", "7"]


def test_tokens_prices_and_a_budget_are_counted(run: Run, tmp_path: Path) -> None:
    def say(_conversation: Conversation) -> Completion:
        return Completion(LAST_FIRST, tokens=Tokens(1000, 100, cached=500))

    metrics = run(
        policy=ScriptedPolicy(say), prices="completion=5,prompt=1", budget="money=0.001,calls=9", planner="sliding:2,1"
    )
    assert (metrics["config"]["prices"], metrics["config"]["budget"]) == (
        "prompt=1,completion=5",
        "calls=9,money=0.001",
    )
    spent = metrics["usage"]
    assert spent["prompt_tokens"] == {"total": 10_000, "mean": 1000}  # the first window's call spent it all
    assert spent["cached_tokens"]["mean"] == 500 and spent["completion_tokens"]["mean"] == 100
    assert spent["image_tokens"] == {"total": None, "mean": None}
    assert spent["money"] == {"total": 0.015, "mean": 0.0015}
    assert metrics["looking"]["stops"] == {"budget": 20, "answered": 10}
    assert files(tmp_path / "run")["metrics.json"] == _again(run, tmp_path)
    with pytest.raises(InvalidInput, match="holds another run: prices is 'prompt=2,completion=5', not"):
        run(
            policy=ScriptedPolicy(say),
            prices="prompt=2,completion=5",
            budget="money=0.001,calls=9",
            planner="sliding:2,1",
        )


def _again(run: Run, tmp_path: Path) -> bytes:
    given = {"prices": "prompt=1.0,completion=5", "budget": "calls=9,money=0.001", "planner": "sliding:2,1"}
    run(policy=ScriptedPolicy([]), **given)
    return (tmp_path / "run/metrics.json").read_bytes()


def test_a_policy_whose_tokens_are_none_has_failed(run: Run, tmp_path: Path) -> None:
    odd: Any = 1100
    run(policy=ScriptedPolicy(lambda _conversation: Completion(LAST_FIRST, tokens=odd)), limit=2)
    errors = {trace.error for ranking in read_traces(tmp_path / "run/traces.jsonl") for trace in ranking.traces}
    assert errors == {"PolicyError: policy scripted gave tokens=1100, not Tokens or None"}


def test_a_run_by_another_version_is_not_gone_on_with(run: Run, tmp_path: Path) -> None:
    run(policy=ScriptedPolicy([LAST_FIRST]))
    config = json.loads((tmp_path / "run/config.json").read_text())
    del config["format"]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    with pytest.raises(
        InvalidInput, match="run by another version of vretrver, whose journal this one cannot go on with"
    ):
        run(policy=ScriptedPolicy([LAST_FIRST]))

"""Rollouts are kept, resumed and judged; agents here are scripts, and which rollout is fit can be told by reading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import lessons
from vretrver.datasets import Topic
from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import render_answer
from vretrver.reranker import Reranker
from vretrver.training.filtering import Rules
from vretrver.training.rejection import Asking, Yield, reject, table
from vretrver.training.rollouts import finished, read_rollouts, sample
from vretrver.training.tasks import Asked
from vretrver.types import Candidate, Document, Query
from vretrver.viewer import read_traces

Paint = Callable[..., str]


def asked(documents: list[Document], count: int = 3) -> list[Asked]:
    """`count` queries, each for one document by its name."""
    found: list[Asked] = []
    for at in range(count):
        wanted = documents[at % len(documents)]
        candidates = [Candidate(one, 1.0 / rank, rank) for rank, one in enumerate(documents, start=1)]
        topic = Topic(f"t{at}", Query(wanted.id), {wanted.id: 1}, group="even" if at % 2 == 0 else "odd")
        found.append((topic, candidates))
    return found


class Agents:
    """Scripted rerankers; remembers which rollouts were asked for, and how many conversations each answered."""

    def __init__(self, script: Callable[[int, Conversation], str]) -> None:
        self.script, self.calls = script, []  # type: ignore[var-annotated]

    def __call__(self, number: int) -> Reranker:
        def said(conversation: Conversation) -> str:
            self.calls.append((number, conversation.window.query.text))
            return self.script(number, conversation)

        return Reranker(ScriptedPolicy(said), toolbox=lessons.toolbox(), wire=lessons.WIRE)


def first_right(_number: int, conversation: Conversation) -> str:
    return lessons.script(conversation)


def test_every_query_is_asked_so_many_times_and_kept(paint: Paint, tmp_path: Path) -> None:
    agents = Agents(first_right)
    made = sample(agents, asked(lessons.documents(paint)), tmp_path / "r", 2, at_once=2, progress=False)
    assert made == 6 and finished(tmp_path / "r") == {(f"t{at}", r) for at in range(3) for r in range(2)}
    found = list(read_rollouts(tmp_path / "r"))
    assert [(one.topic, one.number) for one in found] == [(f"t{at}", r) for r in range(2) for at in range(3)]
    assert all(len(one.ranking.traces[0].turns) == 2 for one in found)
    assert len(read_traces(tmp_path / "r" / "000.0-of-1.jsonl")) == 3  # they are trace files


def test_what_is_there_is_not_asked_again_with_any_number_of_processes(paint: Paint, tmp_path: Path) -> None:
    folder, queries = tmp_path / "r", asked(lessons.documents(paint), 5)
    sample(Agents(first_right), queries, folder, 1, part=(0, 2), progress=False)
    assert finished(folder) == {("t0", 0), ("t2", 0), ("t4", 0)}
    with (folder / "000.0-of-2.jsonl").open("ab") as file:
        file.write(b'{"topic": "t1", "roll')  # the process died while it wrote
    agents = Agents(first_right)
    assert sample(agents, queries, folder, 1, progress=False) == 2
    assert {text for _number, text in agents.calls} == {"words", "red"}  # t1 and t3
    assert sorted(one.topic for one in read_rollouts(folder)) == ["t0", "t1", "t2", "t3", "t4"]
    assert sample(agents, queries, folder, 1, progress=False) == 0


def test_a_shuffle_draws_other_orders_for_other_rollouts(paint: Paint, tmp_path: Path) -> None:
    queries = asked(lessons.documents(paint, 6), 4)
    sample(Agents(first_right), queries, tmp_path / "a", 3, shuffle=7, progress=False)
    sample(Agents(first_right), queries, tmp_path / "b", 3, shuffle=7, progress=False)
    orders = {(one.topic, one.number): one.ranking.traces[0].candidates for one in read_rollouts(tmp_path / "a")}
    assert len(set(orders.values())) > 6
    assert orders == {
        (one.topic, one.number): one.ranking.traces[0].candidates for one in read_rollouts(tmp_path / "b")
    }


def test_an_agent_that_always_fails_ends_the_sampling(paint: Paint, tmp_path: Path) -> None:
    def broken(_number: int, _conversation: Conversation) -> str:
        raise PolicyError("no more memory")

    with pytest.raises(PolicyError, match=r"failed on all 3 windows of a batch, the last time with: .*no more memory"):
        sample(Agents(broken), asked(lessons.documents(paint)), tmp_path / "r", 1, progress=False)
    assert not finished(tmp_path / "r")
    twice = [*asked(lessons.documents(paint), 1) * 2]
    with pytest.raises(InvalidInput, match="two queries share an id"):
        sample(Agents(first_right), twice, tmp_path / "r", 1, progress=False)
    with pytest.raises(InvalidInput, match="rollouts is 0"):
        sample(Agents(first_right), twice[:1], tmp_path / "r", 0, progress=False)


# ---- rejection

ASKING = Asking(lessons.toolbox(), 2, "qwen2.5-vl")


def mixed(number: int, conversation: Conversation) -> str:
    """Rollout 0 and 1 say the same and are right, 2 is right in other words, 3 ranks wrongly, 4 has no format."""
    text = lessons.script(conversation)
    turns = sum(message.role == "assistant" for message in conversation.messages)
    wanted = [one.document.id for one in conversation.window.candidates].index(conversation.window.query.text or "")
    others = [at for at in range(3) if at != wanted]
    if number == 2:
        return text.replace("may be it", "could be it")
    if number == 3 and turns:
        return render_answer([*others, wanted], "A guess.")
    if number == 4 and turns:
        return "the first one"
    return text


@pytest.fixture
def sampled(paint: Paint, tmp_path: Path) -> tuple[Path, dict[str, Topic]]:
    queries = asked(lessons.documents(paint))
    sample(Agents(mixed), queries, tmp_path / "r", 5, progress=False)
    return tmp_path / "r", {topic.id: topic for topic, _candidates in queries}


def test_kept_is_what_is_valid_right_and_consistent(sampled: tuple[Path, dict[str, Topic]]) -> None:
    folder, topics = sampled
    examples, yields = reject(read_rollouts(folder), topics, ASKING, cap=9)
    assert [example.facts["topic"] for example in examples] == ["t0", "t0", "t1", "t1", "t2", "t2"]
    assert [example.facts["seed"] for example in examples] == [0, 2] * 3  # 1 said what 0 said
    assert yields == {"even": Yield(2, 10, 8, 6, 10, 6, 4, 2), "odd": Yield(1, 5, 4, 3, 5, 3, 2, 1)}
    assert examples[0].facts["relevant"] == [1] and lessons.said(examples[0])[0].startswith("<think>(1) may be it.")
    assert table(yields).splitlines()[-1].split() == ["all", *map(str, (3, 15, 12, 9, 15, 9, 6, 3))]
    assert json.loads(json.dumps(dict(examples[0].facts)))["group"] == "even"


def test_a_query_keeps_no_more_than_the_cap(sampled: tuple[Path, dict[str, Topic]]) -> None:
    folder, topics = sampled
    examples, yields = reject(read_rollouts(folder), topics, ASKING, cap=1)
    assert len(examples) == 3 and sum(one.kept for one in yields.values()) == 3
    again, _yields = reject(read_rollouts(folder), topics, ASKING, cap=1)
    assert [example.messages for example in again] == [example.messages for example in examples]
    drawn = {reject(read_rollouts(folder), topics, ASKING, cap=1, seed=seed)[0][0].facts["seed"] for seed in range(9)}
    assert drawn == {0, 2}  # which one is a matter of the seed
    with pytest.raises(InvalidInput, match="the cap is 0"):
        reject([], topics, ASKING, cap=0)


def test_rules_decide_and_strangers_are_refused(sampled: tuple[Path, dict[str, Topic]]) -> None:
    folder, topics = sampled
    assert reject(read_rollouts(folder), topics, ASKING, rules=Rules(looks=2))[0] == []
    with pytest.raises(InvalidInput, match="which is no topic of this task"):
        reject(read_rollouts(folder), {}, ASKING)
    with pytest.raises(InvalidInput, match="another system prompt"):
        reject(read_rollouts(folder), topics, Asking(lessons.toolbox(), 1, "qwen2.5-vl"))

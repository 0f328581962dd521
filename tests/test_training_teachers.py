from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from string import Formatter

import pytest

from flat_world import flat_world
from vretrver.boxes import BoxFamily
from vretrver.datasets import Task
from vretrver.errors import InvalidInput, RecordError
from vretrver.messages import Completion, Conversation, ImagePart, Message, TextPart, ToolCall, View
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import parse, render_answer, render_tool_call
from vretrver.testing import FakeEndpoint
from vretrver.tools import default_toolbox
from vretrver.training.filtering import Rules, counts
from vretrver.training.rewards.looks import looks_of
from vretrver.training.teachers import PolicyTeacher, Teacher, load_teacher
from vretrver.training.teachers.evidence import EvidenceTeacher, Translated
from vretrver.training.teachers.oracle import OracleTeacher
from vretrver.training.teachers.phrases import BOOKS, Book
from vretrver.training.trajectories import Attempt, Recipe, Synthesizer, trajectories
from vretrver.training.truths import World, overlap, shows
from vretrver.types import Candidate, Document, ImageRef, Query, Window


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return flat_world(tmp_path_factory.mktemp("worlds"))


def told(
    task: Task, name: str | Teacher = "oracle", rules: Rules | None = None, seed: int = 0, **options: object
) -> list[Attempt]:
    recipe = Recipe(**{"tools": "compare_crops", **options})  # type: ignore[arg-type]
    return Synthesizer(task, load_teacher(name), recipe, rules, seed=seed).attempts(task.topics)


@pytest.mark.parametrize("name", ["oracle:ledger", "oracle:narrator", "oracle:terse", "oracle:nano"])
@pytest.mark.parametrize("tools", ["compare_crops", "select_images,crop_image", "select,zoom,compare"])
def test_what_the_oracle_tells_keeps_every_rule(task: Task, name: str, tools: str) -> None:
    attempts = told(task, name, tools=tools, boxes="qwen2.5-vl", shuffle=True)
    assert counts(attempt.faults for attempt in attempts) == {"kept": 20}
    for attempt in attempts:
        assert attempt.trace and attempt.example
        first = attempt.trace.candidates[attempt.trace.order[0]]
        assert first in attempt.topic.relevant
        assert attempt.example.facts["relevant"] == [attempt.trace.order[0] + 1]
        assert attempt.example.facts["teacher"] == name
        assert 1 <= attempt.example.tool_turns <= 2


def test_a_plain_style_says_verdicts_alone_and_boxes_in_tens(task: Task) -> None:
    for attempt in told(task, "oracle:nano", boxes="0-1000"):
        assert attempt.trace
        first, last = (turn.text for turn in attempt.trace.turns)
        assert first.startswith("<think>The tags decide.</think>")
        numbers = [int(side) for box in re.findall(r'"bbox_2d": \[([^\]]+)\]', first) for side in box.split(",")]
        assert numbers
        assert all(side % 10 == 0 for side in numbers)
        lines = last.split("</think>")[0].splitlines()
        judged = [line for line in lines if "image 0" not in line]
        assert [line.rsplit(" ", 1)[1] for line in judged].count("yes") == 1
        assert len(judged) == len(attempt.trace.candidates)


@pytest.mark.parametrize("boxes", ["released", "qwen2.5-vl", "0-1000"])
def test_a_look_covers_the_detail_in_every_family_of_coordinates(task: Task, boxes: BoxFamily) -> None:
    world = World.of(task)
    for attempt in told(task, boxes=boxes):
        assert attempt.trace and attempt.trace.turns[0].observation
        question = world.question(attempt.trace.candidates)
        known = [one for one in (question.query, *question.pictures.values()) if one]
        for part in attempt.trace.turns[0].observation.message().views:
            (one,) = [one for one in known if one.file == Path(part.view.image.label).name]
            assert shows(part.view, one) and overlap(part.view.box or (0, 0, 1, 1), one.tag) == 1
            assert part.view.box and part.view.box[2] - part.view.box[0] < 2 * (one.tag[2] - one.tag[0])


def test_nothing_is_named_before_it_was_seen_and_nothing_false(task: Task) -> None:
    for attempt in told(task, OracleTeacher("narrator", splits=0)):
        assert attempt.trace
        question = World.of(task).question(attempt.trace.candidates)
        first, last = attempt.trace.turns[0].text, attempt.trace.turns[-1].text
        for number, name in enumerate(attempt.trace.candidates, start=1):
            said = [one for one in re.split(r"(?<=[.])\s", last) if f"({number})" in one]
            assert any(question.named_in(sentence) == question.values[name] for sentence in said)
            if question.pictures:
                assert all(question.named_in(one) is None for one in first.split(". ") if f"({number})" in one)


def test_another_seed_tells_the_same_otherwise_and_one_seed_the_same(task: Task) -> None:
    def texts(seed: int) -> list[str]:
        return [turn.text for one in told(task, seed=seed) if one.trace for turn in one.trace.turns]

    assert texts(0) == texts(0) != texts(1)


def test_with_one_crop_a_turn_it_ranks_what_it_could_not_see_before_what_it_ruled_out(task: Task) -> None:
    attempts = told(task, tools="crop_image", rules=Rules(evidence=False))
    for attempt in attempts:
        assert attempt.trace and len(attempt.trace.turns) <= 3
        question = World.of(task).question(attempt.trace.candidates)
        if question.modality != "t->i" or attempt.faults == ():
            continue
        assert attempt.faults == ("ranking",)  # two of four were seen, both wrong
        assert attempt.trace.order == (2, 3, 0, 1)
        assert "(3): not examined." in attempt.trace.turns[-1].text


def test_some_looks_are_taken_in_two(task: Task) -> None:
    for splits, turns in ((0.0, {1}), (1.0, {1, 2})):
        attempts = told(task, OracleTeacher(splits=splits))
        assert counts(attempt.faults for attempt in attempts) == {"kept": 20}
        assert {one.example.tool_turns for one in attempts if one.example} == turns


def test_a_second_look_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    wide = flat_world(tmp_path, size=8, distractors=9)
    attempts = told(replace(wide, topics=wide.topics[:8]), window=10)
    assert {attempt.example.tool_turns for attempt in attempts if attempt.example} == {1, 2}
    assert counts(attempt.faults for attempt in attempts) == {"kept": 8}
    longest = next(one.trace for one in attempts if one.trace and len(one.trace.turns) == 3)
    looks = [turn.observation.message().views for turn in longest.turns if turn.observation]
    first = [part.index for part in looks[0] if part.index]
    assert first in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5])


@pytest.mark.parametrize("boxes", ["0-1000", "qwen2.5-vl", "released"])
@pytest.mark.parametrize("style", ["nano", "ledger"])
def test_one_that_doubts_looks_again_and_sees_nothing_new(task: Task, style: str, boxes: BoxFamily) -> None:
    once, twice = (told(task, OracleTeacher(style, splits=0, again=again), boxes=boxes) for again in (0, 1))
    assert counts(attempt.faults for attempt in twice) == {"kept": 20}
    for attempt in twice:
        assert attempt.trace
        looks = looks_of(attempt.trace)
        assert all(look.valid for look in looks)
        assert [look.redundant for look in looks][1:] == [True][: len(looks) - 1]
    assert _calls(twice) > 30 > _calls(once)


def _calls(attempts: list[Attempt]) -> int:
    return sum(one.trace.tool_calls for one in attempts if one.trace)


def test_a_habit_stands_in_the_name() -> None:
    assert load_teacher("oracle:nano,again=0.5").name == "oracle:nano,again=0.5"
    assert load_teacher("oracle:nano").name == "oracle:nano"


@pytest.mark.parametrize("name", ["oracle:nano,again=2", "oracle:nano,again=often", "oracle:nano,agin=1"])
def test_a_habit_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"again|share"):
        load_teacher(name)


def test_the_blind_one_only_says_so(task: Task) -> None:
    attempts = told(task, "blind:narrator", tools="none")
    assert counts(attempt.faults for attempt in attempts) == {"unsettled": 20}
    attempts = told(task, "blind:narrator", Rules(evidence=False), tools="none")
    assert counts(attempt.faults for attempt in attempts) == {"kept": 20}
    assert all(one.example and one.example.tool_turns == 0 for one in attempts)


def test_examples_in_memory(task: Task) -> None:
    examples = list(trajectories(task, load_teacher("oracle"), Recipe(tools="compare_crops"), seed=3))
    assert len(examples) == 20 and {example.facts["seed"] for example in examples} == {3}
    assert examples[0].facts["topic"] == task.topics[0].id and examples[0].facts["group"] == "t->i/which"


def literal_words(book: Book) -> set[tuple[str, ...]]:
    """Every four words in a row of a style, fillings left out."""
    found = set()
    for one in fields(book):
        said = getattr(book, one.name)
        for template in said if isinstance(said, tuple) else ():
            for text, *_field in Formatter().parse(template):
                words = re.findall(r"[a-z']+", text.lower())
                found |= {tuple(words[at : at + 4]) for at in range(len(words) - 3)}
    return found


def test_two_styles_share_no_four_words_in_a_row() -> None:
    assert not literal_words(BOOKS["ledger"]) & literal_words(BOOKS["narrator"])
    assert len(literal_words(BOOKS["ledger"])) > 40 < len(literal_words(BOOKS["narrator"]))


@pytest.mark.parametrize("name", ["oracl", "oracle:poet", "chat", "evidence:x"])
def test_a_teacher_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        load_teacher(name)


def test_the_oracle_teaches_nothing_but_the_world(task: Task) -> None:
    with pytest.raises(InvalidInput, match="only the small-detail world's truth is known"):
        load_teacher("oracle").policy(replace(task, name="mbeir/grocery"))
    with pytest.raises(InvalidInput, match="no candidates of one question"):
        World.of(task).question(["a", "b"])


def test_a_world_that_is_not_whole_is_named() -> None:
    with pytest.raises(RecordError, match="the world's question train-1-000000 is not whole: KeyError"):
        World([{"id": "train-1-000000", "values": ["1"]}], {}).question(["train-1-000000-c0"])


def test_any_policy_teaches(task: Task) -> None:
    teacher = PolicyTeacher(ScriptedPolicy(["<think>As it came.</think><answer>[1, 2, 3, 4]</answer>"]))
    assert teacher.policy(task).name == teacher.name == "scripted"
    attempts = Synthesizer(task, teacher, rules=Rules(evidence=False)).attempts(task.topics)
    kept = counts(attempt.faults for attempt in attempts)
    assert kept["kept"] + kept["ranking"] == 20 and kept["ranking"] > 5


def test_a_model_behind_a_server_teaches(task: Task) -> None:
    with FakeEndpoint(lambda query, text, jpeg: float(len(text or "")) + len(jpeg or b"")) as server:
        teacher = load_teacher(server.policy)
        some = replace(task, topics=task.topics[::7])
        attempts = Synthesizer(some, teacher, Recipe(boxes="0-1000"), Rules(evidence=False)).attempts(some.topics)
    assert {fault for attempt in attempts for fault in attempt.faults} <= {"ranking"}
    for attempt in attempts:
        assert attempt.trace and attempt.trace.policy == teacher.name
        if attempt.example:
            assert attempt.example.facts["teacher"] == teacher.name


def test_boxes_of_an_agent_that_writes_pixels_are_rewritten(paint: object, tmp_path: Path) -> None:
    path = paint("wide.png", "red", (1000, 500))  # type: ignore[operator]
    window = Window(Query("red"), (Candidate(Document("a", image=ImageRef(path)), 0, 1),))
    shown = ImagePart(View(ImageRef(path), 196, 112), 1)
    call = ToolCall("crop_image", {"bbox_2d": [100, 100, 500, 400], "target_image": 1})
    for meaning, values in (
        ("thousandths of the image's width and height, from 0 to 1000", [100, 200, 500, 800]),
        ("pixels of the image as it is shown to you", [19, 22, 98, 90]),
        ("pixels of the image", [100, 100, 500, 400]),
    ):
        system = Message("system", (TextPart(f"Coordinates are {meaning}."),))
        conversation = Conversation(window, [system, Message("user", (shown,))])
        policy = Translated(ScriptedPolicy([render_tool_call(call, "Look.")]))
        (completion,) = policy.complete([conversation])
        assert parse(completion.text, default_toolbox()).call == replace(
            call, arguments={**call.arguments, "bbox_2d": values}
        )
        assert completion.text.startswith("<think>Look.</think>")
    answer = Completion(render_answer([0], "Done."), relevance=(0.5,))
    assert Translated(ScriptedPolicy([answer])).complete([conversation]) == [answer]
    assert EvidenceTeacher(ScriptedPolicy([answer])).policy(None).name == "scripted"  # type: ignore[arg-type]

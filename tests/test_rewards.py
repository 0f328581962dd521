"""Numbers by hand. g(k) = exp(-(k - 1)^2 / 2): g(1) = 1, g(2) = .606531, g(3) = .135335, g(5) = .000335."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flat_world import flat_world
from vretrver.datasets import Task
from vretrver.episode import Episode
from vretrver.errors import InvalidInput
from vretrver.messages import Completion, ToolCall
from vretrver.protocol import render_tool_call
from vretrver.tools import load_toolbox
from vretrver.trace import StopReason, Trace
from vretrver.training.rewards import TERMS, Judged, load_reward
from vretrver.training.rewards.answers import numbers, place
from vretrver.training.rewards.looks import looks_of
from vretrver.training.rewards.ours import Ours, echoed
from vretrver.training.rewards.released import read
from vretrver.training.teachers import load_teacher
from vretrver.training.trajectories import Recipe, Synthesizer
from vretrver.training.truths import Question, World
from vretrver.types import Candidate, Window

sys.path.insert(0, str(Path(__file__).parents[1]))
from runs import reward_hacks
from runs.reward_hacks import BESIDE, BEST, LOOK, WORST, answer, crop, judged, played, select

G2, G3, G5 = 0.6065306597, 0.1353352832, 0.0003354626
Texts = list[str]


def terms(reward: str, *group: Judged, at: int = 0, **weights: float) -> dict[str, float | None]:
    score = load_reward(reward, **weights)(group)[at]
    assert score.total == pytest.approx(sum(value or 0.0 for value in score.terms.values()))
    assert tuple(score.terms) == TERMS[reward]
    return dict(score.terms)


# -- paper: R = .2 format + .8 g(k), zero beyond 5, + .2 with a tool at k = 1, - .1 for each call beyond the first


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([answer("[3, 1, 2, 4, 5]")], (0.2, 0.8, 0, 0)),
        ([answer("[1, 3, 2, 4, 5]")], (0.2, 0.8 * G2, 0, 0)),  # .485225
        ([answer("[1, 2, 3, 4, 5]")], (0.2, 0.8 * G3, 0, 0)),  # .108268
        ([answer("[1, 2, 4, 5, 3]")], (0.2, 0.8 * G5, 0, 0)),  # the fifth place still earns
        ([LOOK, answer(BEST)], (0.2, 0.8, 0.2, 0)),  # 1.2
        ([LOOK, answer("[1, 3, 2, 4, 5]")], (0.2, 0.8 * G2, 0, 0)),  # a tool, but k = 2
        ([LOOK, BESIDE, answer(BEST)], (0.2, 0.8, 0.2, -0.1)),  # 1.1
        ([LOOK, LOOK, answer(BEST)], (0.2, 0.8, 0.2, -0.1)),  # repeats are calls
        ([crop(9, 0, 0, 9, 9), answer(BEST)], (0.2, 0.8, 0, 0)),  # refused: a call, no use
        ([LOOK, BESIDE, LOOK], (0, 0, 0, -0.1)),  # the third call is not answered
        (["<answer>[3, 1, 2, 4, 5]</answer>"], (0, 0.8, 0, 0)),
        ([answer("3")], (0, 0.8, 0, 0)),
        ([answer("[3, 3, 3, 3, 3]")], (0.2, 0.8, 0, 0)),
        ([answer("[1, 2]")], (0.2, 0, 0, 0)),
        (["It is candidate 3."], (0, 0, 0, 0)),
    ],
)
def test_paper(texts: Texts, expected: tuple[float, ...]) -> None:
    assert list(terms("paper", judged(texts)).values()) == pytest.approx(list(expected), abs=1e-9)


def test_the_paper_earns_nothing_beyond_the_fifth_place() -> None:
    one = judged([answer("[1, 1, 2, 4, 5, 3]")])  # repeats take places
    assert terms("paper", one)["rank"] == 0 and terms("released", one)["rank"] == pytest.approx(0.7 * 3.7e-6, rel=0.01)
    assert terms("paper", one, reach=6)["rank"] == pytest.approx(0.8 * 3.7e-6, rel=0.01)  # exp(-12.5)


def test_the_best_placed_of_several_right_ones_counts() -> None:
    one = replace(judged([answer("[1, 3, 2, 4, 5]")]), relevant=frozenset({2, 3}))
    assert terms("paper", one)["rank"] == pytest.approx(0.8 * G2)


# -- released: R = .3 format + .7 g(k) + .6 max(0, .6 - share), for tool users, - .05 a valid call beyond the first


@pytest.mark.parametrize(
    ("texts", "form", "rank"),
    [
        ([answer(BEST)], 0.3, 0.7),
        ([answer("[1, 3, 2, 4, 5]")], 0.3, 0.7 * G2),
        ([answer("[3, 3, 3, 3, 3]")], 0.3, 0.7),
        ([answer("[3, 99, -4]")], 0.3, 0.7),
        ([answer("[3]")], 0.3, 0.7),
        ([answer("[3, ]")], 0.3, 0.7),
        ([answer("[]")], 0.3, 0),
        ([answer("3")], 0.15, 0.7),  # .85
        ([answer("the best is 3, then 1")], 0.15, 0.7),
        ([answer("-3")], 0.15, 0.7),  # signs are dropped outside a list
        ([answer("[-3]")], 0.3, 0),  # and kept in it
        ([answer("[3.5, 1]")], 0.15, 0.7),  # digits 3, 5, 1
        ([answer('["3", 1]')], 0.15, 0.7),
        ([answer("[*range(3, 6), 1, 2]")], 0.15, 0),  # its eval would give .3 + .7; ours runs nothing
        ([answer("[3, x]")], 0.15, 0),  # as when its eval fails
        ([answer("[true, 3]")], 0.15, 0),
        ([answer("[3")], 0.15, 0.7),
        ([f"<think>x <answer>{BEST}</answer></think>"], 0, 0.7),
        ([f"<think>x <answer>{BEST}</answer></think><answer>{WORST}</answer>"], 0.3, 0.7),  # the first counts
        ([answer(WORST) + f"<answer>{BEST}</answer>"], 0.3, 0.7 * G5),
        ([" " + answer(BEST)], 0, 0.7),  # a blank before think
        ([answer(BEST) + " So."], 0.3, 0.7),
        (["<think>x</think>"], 0, 0),
    ],
)
def test_released(texts: Texts, form: float, rank: float) -> None:
    found = terms("released", judged(texts))
    assert [found["format"], found["rank"]] == pytest.approx([form, rank], abs=1e-9)
    assert found["curiosity"] == found["redundancy"] == 0


def test_released_pays_curiosity_by_the_share_of_the_group_that_looks() -> None:
    look, none, refused = judged([BESIDE, answer(WORST)]), judged([answer(BEST)]), judged([crop(9, 0, 0, 9, 9)])
    group = [look, none, none, none]  # a quarter: .6 x (.6 - .25) = .21, for a wrong answer
    assert terms("released", *group)["curiosity"] == pytest.approx(0.21)
    assert terms("released", *group, at=1)["curiosity"] == 0
    assert terms("released", look, look, look, none, none)["curiosity"] == pytest.approx(0)  # .6 of the group
    assert terms("released", look)["curiosity"] == 0
    assert terms("released", refused, none)["curiosity"] == 0  # a refused call is none
    twice = judged([BESIDE, BESIDE, answer(BEST)])
    assert terms("released", twice, none)["redundancy"] == pytest.approx(-0.05)  # repeats are calls
    assert terms("released", twice, none)["curiosity"] == pytest.approx(0.06)  # .6 x (.6 - .5)


def test_released_is_held_between_its_bounds() -> None:
    assert load_reward("released", call=9.0)([judged([LOOK, LOOK, "<think>"])])[0].total == -0.5
    assert load_reward("released", rank=9.0)([judged([answer(BEST)])])[0].total == 1.5


@given(st.text("[]0123456789,+- .ex\"'", max_size=40))
def test_released_reads_lists_as_python_would_but_runs_nothing(text: str) -> None:
    order, listed = read(f"<answer>{text}</answer>")
    assert all(isinstance(one, int) for one in order)
    if listed:  # then it is a literal that Python reads alike
        import ast

        assert tuple(ast.literal_eval(text.strip())) == order


# -- ours: nothing but permutations; tool .2 where a look bore; .02 a look + .02 for 1,000 tokens; .05 redundant


def test_ours_pays_for_a_look_that_bore_and_takes_its_price() -> None:
    one = judged([LOOK, answer(BEST)])
    (look,) = looks_of(one.trace)
    # The box of 200 x 200 grows by 224 and 168 on each side to 648 x 536, shown at 644 x 532 = 23 x 19 patches.
    words = len(LOOK[LOOK.index("<tool_call>") :]) + len("Here is the cropped image. (Image Size: 644x532)\n")
    assert look.tokens == 23 * 19 + words / 4 and look.fresh and not look.redundant
    found = terms("ours", one)  # alone in its group: all look, no curiosity
    assert found == pytest.approx(
        {"format": 0.2, "rank": 0.8, "tool": 0.2, "curiosity": 0, "redundancy": 0, "length": 0}
        | {"cost": -(0.02 + 0.02 * look.tokens / 1000)}
    )
    assert found["cost"] == pytest.approx(-0.02 - 0.02 * 0.475, abs=1e-3)


@pytest.mark.parametrize(
    ("texts", "tool", "redundancy"),
    [
        ([answer(BEST)], 0, 0),
        ([BESIDE, answer(BEST)], 0, 0),  # right, and the look did not matter
        ([LOOK, answer(WORST)], 0, 0),  # it mattered, and the answer is wrong
        ([BESIDE, LOOK, answer(BEST)], 0.2, 0),
        ([LOOK, LOOK, answer(BEST)], 0.2, -0.05),
        ([crop(9, 0, 0, 9, 9), answer(BEST)], 0, -0.05),
        ([crop(9, 0, 0, 9, 9), crop(8, 0, 0, 9, 9), answer(BEST)], 0, -0.10),
        ([LOOK, BESIDE, LOOK], 0, 0),  # no answer; the third call was not answered
    ],
)
def test_ours_asks_what_a_look_was_for(texts: Texts, tool: float, redundancy: float) -> None:
    found = terms("ours", judged(texts), judged([answer(BEST)]))
    assert found["tool"] == pytest.approx(tool) and found["redundancy"] == pytest.approx(redundancy)
    assert found["curiosity"] == pytest.approx(0.02 if tool else 0)  # .2 x (.6 - .5), where the look bore


def test_what_nobody_can_say_is_not_scored() -> None:
    one = judged([LOOK, answer(BEST)])
    assert terms("ours", replace(one, without=None))["tool"] is None
    assert terms("ours", replace(one, without=lambda look: None))["curiosity"] is None
    assert (
        terms("ours", replace(judged([LOOK, answer(WORST)]), without=None))["tool"] == 0
    )  # wrong, whatever it was for
    assert terms("ours", replace(judged([answer(BEST)]), without=None))["tool"] == 0
    two = replace(judged([BESIDE, LOOK, answer(BEST)]), without=lambda look: None if look == 0 else (1, 3, 2, 4, 5))
    assert terms("ours", two)["tool"] == 0.2


def test_a_look_that_showed_nothing_new_does_not_bear() -> None:
    one = replace(judged([LOOK, LOOK, answer(BEST)]), without=lambda look: (3, 1, 2, 4, 5) if look == 0 else (1, 2))
    assert terms("ours", one)["tool"] == 0


def test_a_part_shown_again_is_new_when_it_is_shown_larger() -> None:
    sizes = dict.fromkeys(reward_hacks.PICTURES, reward_hacks.SIZE)
    episode = Episode(reward_hacks.WINDOW, sizes, load_toolbox("compare"), max_tool_turns=4)
    # 64 to 256 patches: the whole at .2 of its size, the box of 120 x 120 (a tenth on each side) at 224 / 120 = 1.9.
    for box in ((0, 0, 2240, 1680), (1000, 800, 1100, 900), (1001, 801, 1099, 899), (0, 0, 2200, 1600)):
        crops = [{"target_image": 1, "bbox_2d": list(box)}]
        episode.feed(Completion(render_tool_call(ToolCall("compare_crops", {"crops": crops}), "I look.")))
    assert [look.fresh for look in looks_of(episode.trace)] == [True, True, False, False]


def test_prices_are_held_together() -> None:
    found = terms("ours", judged([select(1, 2, 3, 4), select(1, 2, 3, 4), answer(WORST)]))
    assert found["cost"] + found["redundancy"] == pytest.approx(-0.15)  # type: ignore[operator]
    # Four pictures of 2240 x 1680 are 4 x 4800 tokens, twice: .768 + .04 and words; the repeat is .05 of .861
    assert found["redundancy"] == pytest.approx(-0.15 * 0.05 / 0.861, abs=2e-4)
    long = terms("ours", judged([answer(BEST, "word " * 1800)]))  # 9,000 characters, and 32 of tags and list
    assert long["length"] == pytest.approx(-0.02 * (9000 + len(answer(BEST, "")) - 6000) / 1000)


def test_weights_are_named_and_bounded() -> None:
    assert load_reward("ours", tool=0.5, look=0.0).tool == 0.5  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="unknown key 'tol'; did you mean 'tool'"):
        load_reward("paper", tol=1.0)
    with pytest.raises(InvalidInput, match="unknown reward 'mine'; choose from paper, released, ours"):
        load_reward("mine")
    for bad in ({"rank": -1.0}, {"sigma": 0.0}, {"most": 0.2}, {"look": float("nan")}, {"format": float("inf")}):
        with pytest.raises(InvalidInput):
            Ours(**bad)


def test_the_prompt_said_again_is_no_thought() -> None:
    assert echoed(played([answer(BEST)])) == 0
    assert echoed(played([answer(BEST, "your reasoning")])) == 1
    assert echoed(played([answer(BEST, "dots")])) == 0  # a word of the query is too little to tell
    half = "Rank all 5 candidates from most to least relevant, as I now do here below"
    assert 0.3 < echoed(played([answer(BEST, half)])) < 0.7


# -- where the truth is known


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return flat_world(tmp_path_factory.mktemp("worlds"))


Ask = Callable[..., Judged]


@pytest.fixture
def ask(task: Task) -> Ask:
    topic = next(topic for topic in task.topics if topic.group == "t->i/which")
    documents = [one for one in task.pool if one.id in (topic.candidates or ())]
    question = World.of(task).question(one.id for one in documents)
    right = list(question.values).index(question.relevant) + 1

    def judged(*looks: Callable[[Question], str], first: int | None = None) -> Judged:
        window = Window(topic.query, tuple(Candidate(one, 0, rank) for rank, one in enumerate(documents, 1)))
        images = [one.image for one in documents if one.image]
        sizes = {ref: question.pictures[one.id].size for ref, one in zip(images, documents, strict=True)}
        episode = Episode(window, sizes, load_toolbox("select,zoom,compare"))
        first = first or right
        order = [first, *(at for at in range(1, 5) if at != first)]
        for text in [*(look(question) for look in looks), answer(str(order), "So it is.")]:
            episode.feed(Completion(text))
        return Judged(episode.trace, frozenset({right}), question)

    return judged


def detail_of(*candidates: int, shift: int = 0, wider: int = 0) -> Callable[[Question], str]:
    def look(question: Question) -> str:
        crops = []
        for at in candidates:
            x0, y0, x1, y1 = (edge - shift for edge in list(question.pictures.values())[at - 1].detail)
            crops.append({"target_image": at, "bbox_2d": [x0 - wider, y0 - wider, x1 + wider, y1 + wider]})
        return render_tool_call(ToolCall("compare_crops", {"crops": crops}), "I look.")

    return look


def test_a_look_bears_when_it_is_the_first_to_show_a_deciding_detail(ask: Ask) -> None:
    assert terms("ours", ask(detail_of(1, 2)))["tool"] == 0.2
    assert terms("ours", ask(detail_of(4)))["tool"] == 0.2
    assert terms("ours", ask(detail_of(1, shift=200)))["tool"] == 0  # beside it
    assert terms("ours", ask())["tool"] == 0
    wrong = 1 + min(ask().relevant) % 4
    assert terms("ours", ask(detail_of(1, 2), first=wrong))["tool"] == 0
    assert terms("ours", ask(detail_of(1, 2), first=wrong))["curiosity"] == 0


@pytest.mark.parametrize(
    ("looks", "redundancy"),
    [
        ([detail_of(1, 2)], 0),
        ([detail_of(1, 2), detail_of(3, 4)], 0),
        ([detail_of(1, 2), detail_of(1, 2, wider=60)], -0.05),  # other pixels, no other detail
        ([detail_of(1, shift=200)], -0.05),
        ([detail_of(1, shift=200), detail_of(1)], -0.05),
    ],
)
def test_where_the_truth_is_known_a_look_must_tell_something(
    ask: Ask, looks: list[Callable[[Question], str]], redundancy: float
) -> None:
    assert terms("ours", ask(*looks))["redundancy"] == pytest.approx(redundancy)


@pytest.mark.parametrize(("teacher", "tool"), [("oracle:narrator", 0.2), ("blind:narrator", 0.0)])
def test_who_looks_where_it_matters_earns_more_than_who_knows_without_looking(
    task: Task, teacher: str, tool: float
) -> None:
    recipe = Recipe(tools="select,zoom,compare", shuffle=True)
    for attempt in Synthesizer(task, load_teacher(teacher), recipe, seed=0).attempts(task.topics):
        assert attempt.trace is not None
        question = World.of(task).question(attempt.trace.candidates)
        right = attempt.trace.candidates.index(question.relevant) + 1
        found = terms("ours", Judged(attempt.trace, frozenset({right}), question))
        assert (found["format"], found["rank"], found["tool"]) == (0.2, 0.8, tool)
        assert found["redundancy"] == found["length"] == 0 and -tool <= (found["cost"] or 0.0) <= -0.02 * bool(tool)


# -- properties

LOOKS = st.lists(st.sampled_from([LOOK, BESIDE, crop(9, 0, 0, 9, 9), select(1, 2), select(3), "<think>?"]), max_size=3)
ANSWERS = st.one_of(
    st.permutations(range(1, 6)).map(str),
    st.lists(st.integers(-2, 9), max_size=7).map(str),
    st.sampled_from(["3", "[3", "", "x", "[3, 1, 2, 4, 5] [1]", "[3.0, 1, 2, 4, 5]"]),
)
SAID = st.builds(answer, ANSWERS, st.sampled_from(["It is so.", "", " ", "x"]))
ROLLOUTS = st.builds(lambda looks, said: judged([*looks, said]), LOOKS, SAID)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROLLOUTS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_group_may_come_in_any_order_and_totals_are_bounded(group: list[Judged], draw: object) -> None:
    mixed = list(range(len(group)))
    draw.shuffle(mixed)  # type: ignore[attr-defined]
    # ours: -.15 at worst; at best .2 + .8 + .2 + .2 x .6. paper: at most two calls are answered.
    for name, least, most in (("paper", -0.1, 1.2), ("released", -0.5, 1.5), ("ours", -0.15, 1.32)):
        reward = load_reward(name)
        scores = reward(group)
        assert reward([group[at] for at in mixed]) == [scores[at] for at in mixed]
        assert all(least - 1e-9 <= score.total <= most + 1e-9 for score in scores)


@settings(max_examples=120, deadline=None)
@given(ROLLOUTS)
def test_only_a_permutation_of_the_window_earns_under_ours(one: Judged) -> None:
    (score,) = load_reward("ours")([one])
    last = one.trace.turns[-1].text
    order = numbers(last.rpartition("<answer>")[2])
    if sorted(order) != [1, 2, 3, 4, 5] or one.trace.stop is not StopReason.ANSWERED:
        assert score.terms["format"] == score.terms["rank"] == score.terms["tool"] == 0 and score.total <= 0
    elif score.terms["format"]:
        k = place(order, {3})
        assert k is not None and score.terms["rank"] == pytest.approx(0.8 * 2.718281828459045 ** (-((k - 1) ** 2) / 2))
        assert score.total > 0


def test_nothing_said_is_nothing_earned() -> None:
    empty = Trace(0, ("a", "b"), (0, 1), (), StopReason.POLICY_ERROR)
    for name in TERMS:
        assert load_reward(name)([Judged(empty, frozenset({1}))])[0].total == 0
        assert load_reward(name)([]) == []


# -- hacks


@pytest.mark.parametrize("hack", reward_hacks.hacks(), ids=lambda hack: hack.name)
def test_every_known_hack_scores_below_its_bar_under_ours(hack: reward_hacks.Hack) -> None:
    ours = load_reward("ours")
    assert reward_hacks.score(ours, hack.texts).total < reward_hacks.bar(ours, hack) - 1e-3


def test_the_worst_ranking_there_can_be_is_worth_more_than_none() -> None:
    scores = {name: reward_hacks.score(load_reward("ours"), texts).total for name, texts in reward_hacks.HONEST.items()}
    assert min(scores, key=scores.__getitem__) == "wrong, after two looks at everything"
    assert min(scores.values()) == pytest.approx(0.2 + 0.8 * G5 - 0.15)


def test_the_table_on_the_page_is_what_the_script_prints() -> None:
    page = (Path(__file__).parents[1] / "docs" / "rewards.md").read_text(encoding="utf-8")
    assert reward_hacks.table([load_reward(name) for name in TERMS]) in page


def test_rewards_load_no_model() -> None:
    heavy = ("torch", "trl", "transformers", "accelerate")
    code = f"import sys, vretrver.training.rewards; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

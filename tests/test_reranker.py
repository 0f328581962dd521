from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vretrver.errors import ImageError, InvalidInput, MissingPath, PolicyError
from vretrver.images import image_size, render
from vretrver.messages import Completion, Conversation, ImagePart, ToolCall
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.protocol import Wire, render_answer, render_tool_call
from vretrver.reranker import Reranker
from vretrver.trace import Ranking, StopReason
from vretrver.types import Candidate, Document, ImageRef, Query
from vretrver.usage import Tokens
from vretrver.windows import Chances, Plan, Span, sliding

Paint = Callable[..., str]


def texts(n: int) -> list[Document]:
    return [Document(f"d{at}", f"text {at}") for at in range(n)]


def backwards(conversation: Conversation) -> str:
    return render_answer(range(len(conversation.window.candidates) - 1, -1, -1))


class Failing:
    """Fails on some conversations."""

    name = "failing"

    def __init__(self, fails: Callable[[Conversation], bool], error: Exception) -> None:
        self.fails, self.error = fails, error

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        if any(map(self.fails, conversations)):
            raise self.error
        return [Completion(backwards(conversation)) for conversation in conversations]


class Looking:
    """Renders every picture it is shown, as a model's processor would."""

    name = "looking"

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        for conversation in conversations:
            for message in conversation.messages:
                for part in message.parts:
                    if isinstance(part, ImagePart):
                        render(part.view)
        return [Completion(backwards(conversation)) for conversation in conversations]


def test_a_ranking_has_every_candidate_and_strictly_falling_scores() -> None:
    ranking = Reranker(ScriptedPolicy(backwards)).rerank("q", texts(3))
    assert ranking.ids == ("d2", "d1", "d0")
    assert [result.rank for result in ranking.results] == [1, 2, 3]
    assert [result.score for result in ranking.results] == [1.0, 1 / 2, 1 / 3]
    assert [result.candidate.rank for result in ranking.results] == [3, 2, 1]
    sure = [result.confidence for result in ranking.results]
    assert sure == sorted(sure, reverse=True) and 0 < sure[2] < sure[0] < 1
    assert not ranking.no_match and ranking.query == Query("q")


def test_none_and_one() -> None:
    reranker = Reranker(ScriptedPolicy(["<answer>[1]</answer>"]))
    nothing = reranker.rerank("q", [])
    assert (nothing.ids, nothing.no_match, nothing.traces, nothing.usage.policy_calls) == ((), True, (), 0)
    one = reranker.rerank("q", texts(1))
    assert (one.ids, len(one.traces), one.repairs) == (("d0",), 1, ())
    assert reranker.rerank_many([], []) == []


def test_top_k_keeps_the_best() -> None:
    assert Reranker(ScriptedPolicy(backwards)).rerank("q", texts(5), top_k=2).ids == ("d4", "d3")


def test_windows_carry_the_best_from_the_back_to_the_front() -> None:
    def want_d45(conversation: Conversation) -> str:
        ids = [candidate.document.id for candidate in conversation.window.candidates]
        return render_answer(sorted(range(len(ids)), key=lambda at: ids[at] != "d45"))

    ranking = Reranker(ScriptedPolicy(want_d45)).rerank("q", texts(50))
    assert [trace.start for trace in ranking.traces] == [30, 20, 10, 0]
    assert ranking.ids == ("d45", *(f"d{at}" for at in range(50) if at != 45))


def test_the_last_window_that_held_a_candidate_says_how_likely_it_is() -> None:
    def unsure(conversation: Conversation) -> Completion:
        n = len(conversation.window.candidates)
        return Completion(render_answer(range(n)), relevance=(0.2 if conversation.window.start else 0.04,) * n)

    reranker = Reranker(ScriptedPolicy(unsure), planner=partial(sliding, window=2, stride=1), no_match_below=0.1)
    ranking = reranker.rerank("q", texts(3))
    assert [result.confidence for result in ranking.results] == [0.04, 0.04, 0.2]
    assert not ranking.no_match
    assert reranker.rerank("q", texts(2)).no_match


def test_many_queries_advance_together() -> None:
    policy = ScriptedPolicy(backwards)
    sizes: list[int] = []

    class Counted:
        name = "counted"

        def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
            sizes.append(len(conversations))
            return policy.complete(conversations)

    rankings = Reranker(Counted()).rerank_many(["a", "b", "c"], [texts(25), texts(3), []])
    assert [len(ranking.ids) for ranking in rankings] == [25, 3, 0]
    assert sizes == [2, 1]  # the first query's second window is alone


def both_halves(chances: Chances) -> Plan:
    """A planner of somebody else's: two windows at once, then their order end to end."""
    k = len(chances)
    first, second = yield [Span(0, tuple(range(k // 2))), Span(k // 2, tuple(range(k // 2, k)))]
    return (*second, *first)


def test_a_planner_may_ask_for_several_windows_at_once() -> None:
    ranking = Reranker(ScriptedPolicy(backwards), planner=both_halves).rerank("q", texts(4))
    assert ranking.ids == ("d3", "d2", "d1", "d0")
    assert [trace.start for trace in ranking.traces] == [0, 2]


def test_a_planner_that_loses_a_candidate_is_found_out() -> None:
    def lossy(chances: Chances) -> Plan:
        yield []
        return (0,)

    with pytest.raises(InvalidInput, match="not a permutation"):
        Reranker(ScriptedPolicy(backwards), planner=lossy).rerank("q", texts(2))


@pytest.mark.parametrize("error", [PolicyError("model gone"), ZeroDivisionError("a bug")])
def test_a_failing_policy_costs_only_its_own_window(error: Exception) -> None:
    policy = Failing(lambda conversation: conversation.window.query.text == "bad", error)
    good, bad = Reranker(policy).rerank_many(["good", "bad"], [texts(2), texts(2)])
    assert good.ids == ("d1", "d0") and good.repairs == ()
    assert bad.ids == ("d0", "d1")
    assert bad.traces[0].stop is StopReason.POLICY_ERROR
    assert bad.traces[0].error == f"{type(error).__name__}: {error}"
    assert bad.repairs == ("the policy failed: the incoming order stands",)


NOTHING: Any = None
EIGHT: Any = 8


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ([], "gave 0 texts for 1"),
        (["<answer>[1]</answer>"], "gave a str, not a Completion of text"),
        ([Completion(NOTHING)], "gave a Completion, not a Completion of text"),
        ([Completion("x", tokens=EIGHT)], "gave tokens=8, not Tokens or None"),
        ([Completion("x", tokens=Tokens(-1, 0))], f"gave tokens={Tokens(-1, 0)}, not Tokens or None"),
    ],
)
def test_a_policy_that_gives_something_else_has_failed(given: list[Any], error: str) -> None:
    class Odd:
        name = "odd"

        def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
            return given

    trace = Reranker(Odd()).rerank("q", texts(2)).traces[0]
    assert trace.stop is StopReason.POLICY_ERROR and trace.error is not None
    assert trace.error == f"PolicyError: policy odd {error}"


def test_pictures_that_cannot_be_opened_are_ranked_without(paint: Paint, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    documents = [
        Document("good", image=ImageRef.of(paint())),
        Document("bad", image=ImageRef.of(bad)),
        Document("gone", image=ImageRef(path=str(tmp_path / "gone.jpg"))),
    ]
    ranking = Reranker(Looking()).rerank("q", documents)
    assert ranking.ids == ("gone", "bad", "good")
    assert ranking.repairs == (
        f"candidate (2) is shown without its image, which cannot be read: {bad}",
        f"candidate (3) is shown without its image, which cannot be read: {tmp_path / 'gone.jpg'}",
    )


def test_a_picture_damaged_behind_its_header_is_left_out_when_the_policy_stumbles(paint: Paint, tmp_path: Path) -> None:
    whole = Path(paint("whole.jpg", size=(300, 300))).read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    assert image_size(ImageRef.of(cut)) == (300, 300)
    documents = [Document("cut", image=ImageRef.of(cut)), Document("good", image=ImageRef.of(paint("good.png")))]
    cut_ranking, good_ranking = Reranker(Looking()).rerank_many(["q", "q"], [documents, documents[1:]])
    assert cut_ranking.ids == ("good", "cut") and cut_ranking.traces[0].stop is StopReason.ANSWERED
    assert cut_ranking.repairs == (f"candidate (1) is shown without its image, which cannot be read: {cut}",)
    assert good_ranking.repairs == ()


def test_a_query_picture_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    with pytest.raises(ImageError):
        Reranker(ScriptedPolicy(backwards)).rerank(Query(images=(ImageRef.of(bad),)), texts(2))
    with pytest.raises(MissingPath):
        Reranker(ScriptedPolicy(backwards)).rerank(Query(images=(ImageRef("gone.jpg"),)), texts(2))


def test_arguments_are_checked_before_any_policy_call() -> None:
    policy = ScriptedPolicy(backwards)
    with pytest.raises(InvalidInput, match="comes twice"):
        Reranker(policy).rerank_many(["a", "b"], [texts(2), [*texts(1), *texts(1)]])
    with pytest.raises(InvalidInput, match="2 queries came with 1 lists"):
        Reranker(policy).rerank_many(["a", "b"], [texts(2)])
    with pytest.raises(InvalidInput, match="max_tool_turns is -1"):
        Reranker(policy, max_tool_turns=-1)
    assert policy.seen == []


def test_a_policy_may_bring_its_own_dialect() -> None:
    class Thousandths(ScriptedPolicy):
        wire = Wire(boxes="0-1000")

    policy = Thousandths(backwards)
    Reranker(policy).rerank("q", texts(1))
    assert "thousandths" in policy.seen[0].messages[0].text


def test_text_only_candidates_between_pictures_do_not_shift_the_numbers(paint: Paint) -> None:
    documents = [
        Document("first", image=ImageRef.of(paint("1.png", size=(100, 100)))),
        Document("words", "only words"),
        Document("third", image=ImageRef.of(paint("3.png", size=(200, 100)))),
    ]
    look = render_tool_call(ToolCall("crop_image", {"bbox_2d": [100, 40, 120, 60], "target_image": 2}))
    policy = ScriptedPolicy([look, render_answer([2, 1, 0], "(3) has it.")])
    ranking = Reranker(policy).rerank("q", documents)
    (evidence,) = ranking.results[0].evidence
    assert ranking.ids == ("third", "words", "first")
    assert (evidence.image, evidence.box, evidence.note) == (documents[2].image.label, (80, 30, 140, 70), "(3) has it.")  # type: ignore[union-attr]
    assert ranking.results[1].evidence == ranking.results[2].evidence == ()
    assert (ranking.usage.policy_calls, ranking.usage.tool_calls, ranking.usage.images) == (2, 1, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=3, max_size=3), st.integers(0, 45))
def test_every_rerank_is_a_permutation_and_survives_its_record(script: list[str], k: int) -> None:
    candidates = [Candidate(document, -float(at), at + 1) for at, document in enumerate(texts(k))]
    ranking = Reranker(ScriptedPolicy(script)).rerank("q", candidates)
    assert sorted(ranking.ids) == sorted(f"d{at}" for at in range(k))
    scores = [result.score for result in ranking.results]
    assert scores == sorted(set(scores), reverse=True)
    assert Ranking.from_record(json.loads(json.dumps(ranking.to_record()))) == ranking
